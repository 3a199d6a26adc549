"""The environment's part in a configuration: secrets as ``${NAME}``, and values that replace those of the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from banditroute.core.schema import Mistake

PREFIX = "BANDITROUTE__"
"""Begins the name of a variable that replaces a value: ``BANDITROUTE__LEARNER__ALPHA=1.5``."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def with_environment(
    table: Mapping[str, Any], environment: Mapping[str, str], mistakes: list[Mistake]
) -> dict[str, Any]:
    """Return a table with the environment's values in it; add what cannot be done to ``mistakes``.

    A variable such as ``BANDITROUTE__ARMS__0__NAME`` replaces one value. Its parts are names, in any case, or positions
    in a list. Its value is read as TOML, and as text where it is no TOML. Then every ``${NAME}`` in a text is replaced
    by that variable.

    Examples
    --------
    >>> found = []
    >>> with_environment({"store": {"url": "${URL}"}}, {"URL": "sqlite:///a.db", "BANDITROUTE__SEED": "3"}, found)
    {'store': {'url': 'sqlite:///a.db'}, 'seed': 3}
    """
    replaced = _copy(table)
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        if not _replace(replaced, name.removeprefix(PREFIX).split("__"), _value(environment[name])):
            mistakes.append(Mistake(name, "this variable names no place in the configuration; remove or correct it"))
    filled: dict[str, Any] = _filled(replaced, environment, "", mistakes)
    return filled


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(each) for name, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list | tuple) else value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError, RecursionError):
        return text


def _replace(table: Any, names: list[str], value: Any) -> bool:
    """Put a value at a place; return False if there is no such place."""
    for position, name in enumerate(names):
        last = position == len(names) - 1
        if isinstance(table, list) and name.isdecimal() and int(name) < len(table):
            key: Any = int(name)
        elif isinstance(table, dict) and name:
            key = next((known for known in table if str(known).lower() == name.lower()), name.lower())
            if not last:
                table.setdefault(key, {})
        else:
            return False
        if last:
            table[key] = value
        else:
            table = table[key]
    return True


def _filled(value: Any, environment: Mapping[str, str], path: str, mistakes: list[Mistake]) -> Any:
    if isinstance(value, dict):
        return {
            name: _filled(each, environment, f"{path}.{name}".lstrip("."), mistakes) for name, each in value.items()
        }
    if isinstance(value, list):
        return [_filled(each, environment, f"{path}[{k}]", mistakes) for k, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    missing = [name for name in _VARIABLE.findall(value) if name not in environment]
    mistakes += [Mistake(path, f"the environment variable {name} is not set; set it") for name in missing]
    return _VARIABLE.sub(lambda found: environment.get(found[1], found[0]), value)
