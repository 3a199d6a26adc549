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
