"""The documentation: every Python block runs, every link leads somewhere, the two commands exist, the examples run.

A block that cannot run here is left out by a comment on the line before it: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

LANGUAGES = {"python", "sh", "text", "toml", "json", "sql", "console", "mermaid"}
FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
COMMENT = re.compile(r"^<!-- *(?P<word>not run|run): *(?P<text>.*?) *-->$")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?(?P<inline>[^)\s>]+)|^\s*\[[^\]]+\]:\s*(?P<reference>\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page, with the comment on the line before it."""

    language: str
    code: str
    line: int
    comment: str = ""
    comment_text: str = ""


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = []
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if fence:
            begin = i
            end = next(
                (j for j in range(i + 1, len(lines)) if lines[j].strip() == fence["mark"]),
                None,
            )
            assert end is not None, f"line {begin + 1}: the block is never closed"
            code = [line.removeprefix(fence["indent"]) for line in lines[begin + 1 : end]]
            comment = COMMENT.match(lines[begin - 1].strip()) if begin else None
            found.append(
                Block(
                    language=fence["info"].strip(),
                    code="\n".join(code),
                    line=begin + 2,
                    comment=comment["word"] if comment else "",
                    comment_text=comment["text"] if comment else "",
                )
            )
            i = end
        i += 1
    return found


def run_blocks(text: str, name: str) -> int:
    """Run a page's Python blocks in order, in one namespace; how many ran."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    ran = 0
    for block in blocks_of(text):
        if block.language != "python" or block.comment == "not run":
            continue
        # Empty lines first, so that a traceback has the page's own line numbers.
        exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), namespace)
        ran += 1
    return ran


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


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=shown)


class TestPages:
    @each_page
    def test_every_python_block_runs(self, page, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        run_blocks(page.read_text(encoding="utf-8"), shown(page))

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
    assert sorted(named) == sorted(
        page for page in pages if not page.startswith("reference/python/") or page.endswith("index.md")
    )


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


SECONDS = {"03_adapters.py": 30.0}  # it trains


@pytest.mark.parametrize("path", EXAMPLES, ids=shown)
def test_example_runs_offline_in_under_ten_seconds(path, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_example(path, tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    # Of the processor: a busy machine must not fail it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS.get(path.name, 10.0)


def test_notebook_prints_what_it_shows():
    """Run the notebooks in a process of their own: a kernel opens sockets."""
    source = (
        "import nbformat; from scripts.notebooks import NOTEBOOKS, alike, printed, run\n"
        "for path in NOTEBOOKS:\n"
        "    shown = printed(nbformat.read(path, as_version=4))\n"
        "    assert any(shown), f'{path.name} shows nothing'\n"
        "    assert alike(printed(run(path)), shown), f'{path.name} prints something else: run scripts/notebooks.py'"
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

    def test_blocks_share_one_namespace(self, tmp_path):
        page = "# T\n\n```python\na = 1\n```\n\n- item\n\n  ```python\n  b = a + 1\n  ```\n\n```sh\nfalse\n```\n\n"
        page += f"```python\nassert b == 2\nopen({str(tmp_path / 'out')!r}, 'w').close()\n```\n"
        assert run_blocks(page, "page") == 3
        assert (tmp_path / "out").exists()

    def test_failing_block_has_the_line_of_the_page(self):
        with pytest.raises(ZeroDivisionError) as caught:
            run_blocks("text\n\n```python\n\n1 / 0\n```\n", "page.md")
        assert "'page.md':5 in" in str(caught.traceback[-1])

    def test_block_that_warns_fails(self):
        with pytest.raises(DeprecationWarning):
            run_blocks("```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```", "page")

    def test_block_is_left_out_only_by_the_comment_right_before_it(self):
        failing = "```python\n1 / 0\n```"
        assert run_blocks(f"<!-- not run: needs a key -->\n{failing}", "page") == 0
        for other in ("<!-- not run: far -->\n\n", "<!-- later -->\n", "<!-- run: demo -->\n"):
            with pytest.raises(ZeroDivisionError):
                run_blocks(other + failing, "page")

    def test_block_that_is_never_closed(self):
        with pytest.raises(AssertionError, match="line 1: the block is never closed"):
            blocks_of("```python\n1\n")

    def test_longer_fence_holds_a_shorter_one(self):
        (block,) = blocks_of("````text\n```python\n1 / 0\n```\n````")
        assert (block.language, block.code) == ("text", "```python\n1 / 0\n```")

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
