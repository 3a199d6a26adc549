"""Write docs/reference/python/, which the site fills from docstrings: python scripts/python_reference.py."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference" / "python"
_WITHOUT_NAMES = {"cli", "demo"}  # rooms that nobody imports from
_INTRODUCTION = """# Python

`from banditroute import ...` offers [the main names](banditroute.md). Everything else is imported from its room, as in
`from banditroute.features import Compose`. The pages are made from the docstrings when the site is built; in Python,
`help(banditroute.Router)` shows the same. `python scripts/python_reference.py` writes this table.

| import from | what is there | names |
|---|---|---|
"""


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    main, _ = _names(ROOT / "banditroute" / "__init__.py")
    written = {"banditroute.md": _page("banditroute", "The main names.", main)}
    rows = [f"| [`banditroute`](banditroute.md) | The main names. | {_listed(main)} |"]
    for path in sorted((ROOT / "banditroute").glob("*/__init__.py")):
        room = path.parent.name
        names, summary = _names(path)
        others = [name for name in names if name not in main]
        if room in _WITHOUT_NAMES or not others:
            continue
        written[f"{room}.md"] = _page(f"banditroute.{room}", summary, others)
        rows.append(f"| [`banditroute.{room}`]({room}.md) | {summary} | {_listed(others)} |")
    return {"index.md": _INTRODUCTION + "\n".join(rows) + "\n", **written}


def _names(path: Path) -> tuple[list[str], str]:
    """Return ``__all__`` of a package without dunder names, and the first line of its docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    summary = (ast.get_docstring(tree) or "").splitlines()[0]
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [name for name in ast.literal_eval(node.value) if not name.startswith("__")], summary
    return [], summary


def _page(package: str, summary: str, names: list[str]) -> str:
    return "\n".join([f"# {package}\n", f"{summary}\n", *(f"::: {package}.{name}\n" for name in names)])


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        old.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
