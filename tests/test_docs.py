"""The documentation: every Python block runs, every link leads somewhere, the two commands exist, the examples run.

A block that cannot run here is left out by a comment on the line before it: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from banditroute.cli import main
from scripts.pages import FENCE, PAGES, ROOT, alike, blocks_of, run

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

LANGUAGES = {"python", "sh", "text", "toml", "json", "sql", "console", "mermaid"}
LINK = re.compile(r"\[[^\]]*\]\(\s*<?(?P<inline>[^)\s>]+)|^\s*\[[^\]]+\]:\s*(?P<reference>\S+)", re.MULTILINE)


def outside(text: str) -> list[str]:
    """The lines of a page that are in no fenced block."""
    lines, mark = [], ""
    for line in text.splitlines():
        fence = FENCE.match(line)
        if fence and not mark:
            mark = fence["mark"]
        elif mark:
            mark = "" if line.strip() == mark else mark
        else:
            lines.append(line)
    return lines


def anchors(text: str) -> set[str]:
    """What ``#...`` may name on a page: its headings, as GitHub writes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *#*$", "\n".join(outside(text)), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        copies = (plain, *(f"{plain}-{n}" for n in range(1, 99)))
        found.add(next(name for name in copies if name not in found))
    return found


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    text = "\n".join(re.sub(r"`[^`]*`", "", line) for line in outside(page.read_text(encoding="utf-8")))
    for match in LINK.finditer(text):
        link = match["inline"] or match["reference"]
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    return broken


def commands_of(code: str) -> list[list[str]]:
    """Return the words of each line that calls banditroute, continued lines joined."""
    lines = code.replace("\\\n", " ").split("\n")
    words = [
        shlex.split(line.removeprefix("$ "), comments=True) for line in lines if re.match(r"(\$ )?banditroute ", line)
    ]
    return [each[1:] for each in words]


def unknown_options(words: list[str]) -> list[str]:
    """Return the options, and the name of the command, that the command line does not know."""
    command: click.Command = main
    while isinstance(command, click.Group):
        if not words or words[0] not in command.commands:
            return words[:1] or ["no command"]
        command, words = command.commands[words[0]], words[1:]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=shown)


class TestPages:
    @each_page
    def test_every_block_runs_and_prints_what_the_page_shows(self, page, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for block, printed in run(page.read_text(encoding="utf-8"), shown(page)):
            assert alike(block.code, printed), (
                f"line {block.line}: run python -m scripts.pages {shown(page)}\n{printed}"
            )

    @each_page
    def test_every_command_of_a_page_has_its_options(self, page):
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language in ("sh", "console", "text"):
                for command in commands_of(block.code):
                    assert unknown_options(command) == [], f"line {block.line}: {command}"

    @each_page
    def test_output_is_shown_only_of_what_is_run(self, page):
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language == "console":
                assert block.code.startswith("$ "), f"line {block.line}"
                assert block.comment != "not run", f"line {block.line}: its output would be invented"
            elif block.language in ("sh", "text"):
                assert not re.search(r"^\$ ", block.code, re.MULTILINE), f"line {block.line}: make it a console block"

    @each_page
    def test_every_block_says_what_it_is(self, page):
        for block in blocks_of(page.read_text(encoding="utf-8")):
            assert block.language in LANGUAGES, f"line {block.line - 1}: {block.language!r}"

    @each_page
    def test_block_that_is_not_run_has_a_reason(self, page):
        text = page.read_text(encoding="utf-8")
        left_out = [block for block in blocks_of(text) if block.comment == "not run"]
        assert all(block.comment_text and block.language == "python" for block in left_out)
        assert len(left_out) == len(re.findall(r"<!--\s*not run", text)), "such a comment stands elsewhere"

    @each_page
    def test_relative_links_lead_to_files(self, page):
        assert broken_links(page) == []


def test_python_blocks_and_examples_type_check(tmp_path):
    """Check them as a user without strict settings would; names of blocks that are not run may be the reader's own."""
    files = [str(path) for path in EXAMPLES]
    for page in PAGES:
        lines: list[str] = []
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language == "python":
                lines += [""] * (block.line - 1 - len(lines)) + block.code.split("\n")
        if lines:
            name = re.sub(r"\W", "_", shown(page).removesuffix(".md"))
            (tmp_path / f"{name}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
            files.append(str(tmp_path / f"{name}.py"))
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "--allow-redefinition"]
    options += [
        "--no-site-packages",
        "--no-strict-optional",
        "--disable-error-code=name-defined",
        f"--cache-dir={ROOT / '.mypy_cache'}",
    ]
    command = [sys.executable, "-m", "mypy", *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tutorial_has_a_line_for_every_public_name():
    import banditroute

    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert [name for name in banditroute.__all__ if f"`{name}`" not in text] == []


def test_readme_names_every_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    paragraph = (ROOT / "README.md").read_text(encoding="utf-8").split("Extras: ")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z-]+)`", paragraph))
    assert named == {*project["optional-dependencies"]} - {"test"}


def test_index_leads_to_every_page():
    index = ROOT / "docs" / "index.md"
    text = index.read_text(encoding="utf-8")
    pages = [page.relative_to(index.parent).as_posix() for page in (ROOT / "docs").rglob("*.md") if page != index]
    pages = [page for page in pages if not page.startswith("reference/python/") or page.endswith("index.md")]
    assert sorted(page for page in pages if f"]({page})" not in text) == []


def test_navigation_of_the_site_leads_to_every_page():
    def leaves(entry):
        if isinstance(entry, str):
            return [entry]
        return [leaf for each in (entry.values() if isinstance(entry, dict) else entry) for leaf in leaves(each)]

    named = leaves(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted(pages)


def test_no_page_leads_out_of_the_site():
    """A link from docs/ to a file elsewhere would lead nowhere on the site; name such a file in code font."""
    for page in (ROOT / "docs").rglob("*.md"):
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            link = (match["inline"] or match["reference"]).partition("#")[0]
            if link and ":" not in link:
                assert (page.parent / link).resolve().is_relative_to(ROOT / "docs"), f"{shown(page)}: {link}"


@each_page
def test_no_page_names_an_index_that_does_not_have_the_package(page):
    assert not re.search(r"pip install[^\n`]*\bbanditroute\b", page.read_text(encoding="utf-8"))


class TestCommands:
    @pytest.mark.parametrize("name", ["demo", "test"])
    def test_readme_names_the_command_once_and_make_knows_it(self, name):
        blocks = [
            block
            for block in blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
            if block.comment == "run" and block.comment_text == name
        ]
        assert [(block.language, block.code) for block in blocks] == [("sh", f"make {name}")]
        assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE)

    def test_every_make_target_that_a_page_names_exists(self):
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        for page in PAGES:
            for block in blocks_of(page.read_text(encoding="utf-8")):
                if block.language == "sh":
                    assert set(re.findall(r"^make ([\w-]+)", block.code, re.MULTILINE)) <= targets, shown(page)


OFFLINE = """
import runpy, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"an example reaches for the network: {event} {arguments[1:]}")

sys.addaudithook(refuse)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_example(path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script without a network, its warnings errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE, str(path)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=shown)
def test_example_runs_offline(path, tmp_path):
    done = run_example(path, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_notebook_prints_what_it_shows():
    """Run the notebooks in a process of their own: a kernel opens sockets."""
    source = (
        "import nbformat; from scripts.notebooks import NOTEBOOKS, printed, run; from scripts.pages import alike\n"
        "for path in NOTEBOOKS:\n"
        "    shown = printed(nbformat.read(path, as_version=4))\n"
        "    assert shown.strip(), f'{path.name} shows nothing'\n"
        "    assert alike(printed(run(path)), shown), f'{path.name} differs: run python -m scripts.notebooks'"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def test_notebooks_keep_no_warnings():
    """A warning names a path of the machine on which the notebook ran."""
    for path in (ROOT / "examples").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert [each for cell in cells for each in cell.get("outputs", ()) if each.get("name") == "stderr"] == []


def test_examples_are_numbered_without_a_gap_and_the_page_names_each():
    names = sorted(path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".ipynb"))
    assert [name[:2] for name in names] == [f"{n:02}" for n in range(1, len(names) + 1)]
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`examples/{name}`" not in page] == []
    assert [name for name in names if f"(examples/{name})" not in readme] == []


class TestTheTestItself:
    """It finds what it is for, on pages made for that."""

    @pytest.mark.parametrize(
        "link",
        [
            "[x](nowhere.md)",
            "![x](nowhere.png)",
            "[x](other.md#nothing)",
            "[x](#nothing)",
            "[x]: nowhere.md",
            "[a](other.md) and [b](nowhere.md)",
        ],
    )
    def test_broken_link_is_found(self, tmp_path, link):
        (tmp_path / "other.md").write_text("# Title\n")
        page = tmp_path / "page.md"
        page.write_text(f"# Page\n\n{link}\n")
        assert len(broken_links(page)) == 1

    @pytest.mark.parametrize(
        ("line", "unknown"),
        [
            ("banditroute db erase U --sesion x", ["--sesion"]),
            ("banditroute db ease U", ["ease"]),
            ("$ banditroute simulate t.csv \\\n  --seeds 2 --prices=log --seed 1  # --x", ["--seed"]),
        ],
    )
    def test_unknown_command_or_option_is_found(self, line, unknown):
        (command,) = commands_of(line)
        assert unknown_options(command) == unknown

    def test_good_links(self, tmp_path):
        (tmp_path / "other.md").write_text(
            "# The `route()` call: why?\n\n```text\n# none\n```\n\n## Twice\n\n## Twice\n"
        )
        page = tmp_path / "page.md"
        page.write_text(
            "# Page\n\n[a](other.md) [b](other.md#the-route-call-why) [c](#page) [d](https://example.org/x.md)\n"
            "[e](mailto:a@example.org) [f](other.md#twice-1) `[g](nowhere.md)` [h](.)\n\n[i]: other.md\n\n"
            "```text\n[j](nowhere.md)\n```\n"
        )
        assert broken_links(page) == []

    def test_example_that_reaches_for_the_network_or_warns_fails(self, tmp_path):
        for source, said in (
            ("import socket; socket.create_connection(('127.0.0.1', 9))", "reaches for the network"),
            ("import warnings; warnings.warn('old', UserWarning)", "UserWarning: old"),
        ):
            path = tmp_path / "example.py"
            path.write_text(source)
            done = run_example(path, tmp_path)
            assert done.returncode != 0
            assert said in done.stderr
