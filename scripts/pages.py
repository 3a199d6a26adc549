"""Run the blocks of the documentation and keep what they print: ``python -m scripts.pages [PAGE ...]``.

The blocks of a page run in order, in one namespace and one empty folder:

- ``python``: what it prints is shown by a block ``text`` whose comment is ``<!-- output -->``, if one follows.
- ``console``: each line ``$ banditroute ...`` is run; the lines after it are what it prints.

``<!-- not run: reason -->`` on the line before a block leaves it out. A block within an
HTML comment runs and is not seen.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from banditroute.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
_COMMENT = re.compile(r"^<!-- *(?P<word>not run|run|output)(?:: *(?P<text>.*?))? *-->$")
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:e[-+]?\d+)?")
_CHANGES_WITH_EVERY_RUN = re.compile(r"\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*|\b[\d.]+ s\b")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page, with the comment on the line before it; ``line`` is that of its first line of code."""

    language: str
    code: str
    line: int
    indent: str = ""
    comment: str = ""
    comment_text: str = ""


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = []
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if fence:
            begin = i
            end = next((j for j in range(i + 1, len(lines)) if lines[j].strip() == fence["mark"]), None)
            assert end is not None, f"line {begin + 1}: the block is never closed"
            code = [line.removeprefix(fence["indent"]) for line in lines[begin + 1 : end]]
            comment = _COMMENT.match(lines[begin - 1].strip()) if begin else None
            found.append(
                Block(
                    language=fence["info"].strip(),
                    code="\n".join(code),
                    line=begin + 2,
                    indent=fence["indent"],
                    comment=comment["word"] if comment else "",
                    comment_text=comment["text"] or "" if comment else "",
                )
            )
            i = end
        i += 1
    return found


def run(text: str, name: str) -> list[tuple[Block, str]]:
    """Run the blocks of a page; return each block that ran or shows output, with what it should show."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    found, printed = [], ""
    for block in blocks_of(text):
        if block.comment == "not run":
            continue
        if block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                # Empty lines first, so that a traceback has the page's own line numbers.
                exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), namespace)
            printed = _without_blanks_at_the_end(out.getvalue())
            found.append((block, block.code))
        elif block.language == "console":
            found.append((block, _console(block.code)))
        elif block.comment == "output":
            found.append((block, printed))
    return found


def alike(one: str, other: str) -> bool:
    """Return whether texts have the same words, and numbers that differ by rounding at most.

    Another build of numpy adds in another order, so that a late digit, and with it a draw, may differ. Ids and times
    differ in every run.
    """
    texts = [_CHANGES_WITH_EVERY_RUN.sub("", text) for text in (one, other)]
    words = [_NUMBER.sub("", text).split() for text in texts]
    numbers = [[float(found) for found in _NUMBER.findall(text)] for text in texts]
    return (
        words[0] == words[1]
        and len(numbers[0]) == len(numbers[1])
        and all(math.isclose(a, b, rel_tol=0.05, abs_tol=0.02) for a, b in zip(*numbers, strict=True))
    )


def with_output(text: str, name: str) -> str:
    """Return the page with what its blocks print now, where that is not alike."""
    lines = text.split("\n")
    for block, shown in reversed(run(text, name)):
        if not alike(block.code, shown):
            begin = block.line - 1
            lines[begin : begin + len(block.code.split("\n") if block.code else [])] = [
                f"{block.indent}{line}".rstrip() for line in shown.split("\n")
            ]
    return "\n".join(lines)


def _console(code: str) -> str:
    """Return the commands of a console block, each followed by what it prints."""
    lines = []
    for line in code.split("\n"):
        if line.startswith("$ "):
            program, *arguments = shlex.split(line.removeprefix("$ "), comments=True)
            assert program == "banditroute", f"{line!r}: a console block runs banditroute alone; use sh for others"
            done = CliRunner().invoke(main, arguments)
            assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
            lines += [line, _without_blanks_at_the_end(done.output)]
    return "\n".join(line for line in lines if line)


def _without_blanks_at_the_end(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


if __name__ == "__main__":
    for path in [Path(each).resolve() for each in sys.argv[1:]] or PAGES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            path.write_text(with_output(path.read_text(encoding="utf-8"), str(path)), encoding="utf-8")
            os.chdir(ROOT)
