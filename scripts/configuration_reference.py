"""Write docs/reference/configuration.md from the JSON schema: python scripts/configuration_reference.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from banditroute.config import json_schema

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "configuration.md"
_INTRODUCTION = """# Tables of a router's file

Every table and name that a [router's file](../howto/configuration.md) may have. The names are the parameters of the
constructors; their docstrings say what each means. `python scripts/configuration_reference.py` writes this page.
"""


def page() -> str:
    """Return the page."""
    schema = json_schema()
    parts = [_INTRODUCTION, _table("The file", schema)]
    parts += [_table(name, table) for name, table in sorted(schema["$defs"].items())]
    return "\n".join(parts)


def _table(name: str, table: dict[str, Any]) -> str:
    required = set(table.get("required", ()))
    rows = [
        f"| `{each}`{' (required)' if each in required else ''} | {_kind(value)} |"
        for each, value in table.get("properties", {}).items()
    ]
    return "\n".join([f"## {name}\n", "| name | value |", "|---|---|", *rows, ""])


def _kind(value: dict[str, Any]) -> str:
    """Return a value's kind in words, with links to tables."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return f"`{str(value['const']).lower() if isinstance(value['const'], bool) else value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    for several in ("oneOf", "anyOf"):
        if several in value:
            kinds = [_kind(each) for each in value[several] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if value.get("type") == "object":
        return f"table: name = {_kind(value.get('additionalProperties') or {})}"
    return {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}.get(
        value.get("type", ""), "any value"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
