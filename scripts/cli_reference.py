"""Write docs/reference/cli.md from the commands' own help: python scripts/cli_reference.py."""

from __future__ import annotations

from pathlib import Path

import click

from banditroute.cli.main import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
_WIDTH = 110  # columns
_INTRODUCTION = """# Command line

`banditroute --help` lists the commands, and `banditroute COMMAND --help` shows one. This page is their output.
`python scripts/cli_reference.py` writes it.

With `--json`, a command that answers prints one JSON value on standard output, and its remarks on standard error.
`demo` and `report` write `figures.json` instead. Costs are in dollars and times in Unix seconds.
A number that is not finite is `null`.

| exit status | says |
|---|---|
| 0 | done |
| 1 | the input cannot be used, or the answer is no: mistakes in a file, damage in a database, no verdict |
| 2 | the command was not understood; a near name is proposed for a misspelt command or option |
"""


def sections(command: click.Command, name: str, parent: click.Context | None = None) -> list[str]:
    """Return a section for a command, and for each of its subcommands."""
    options = {**command.context_settings, "max_content_width": _WIDTH, "terminal_width": _WIDTH}
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, **options)
    text = "\n".join(line.strip("\b").rstrip() for line in command.get_help(context).replace("  \b", "").splitlines())
    found = [f"## {context.command_path}\n\n```text\n{text}\n```\n"]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found += sections(command.commands[child], child, context)
    return found


def page() -> str:
    """Return the text of the page."""
    return "\n".join([_INTRODUCTION, *sections(main, "banditroute")])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
