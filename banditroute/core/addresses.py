"""Addresses of databases and files as messages may show them: without passwords and keys."""

from __future__ import annotations

import re

_USER_AND_PASSWORD = re.compile(
    r"^(?P<scheme>b?[\s'\"]*+(?:[\w+.-]++:/{1,3})?)(?P<user>[^:@\s]*):(?P<password>.*)@", re.DOTALL
)
_OPTION = re.compile(r"\b(?P<name>\w++)=[^&\s]*")  # each word is looked at once: an address may have a megabyte
_SECRET_NAME = re.compile(r"(?i)password|passwd|pwd|secret|token|key")
_MOST_CHARACTERS = 300


def shown_address(address: object) -> str:
    """Return an address with ``***`` in place of its password, and of options that hold a secret.

    Malformed addresses are masked, too: everything between the first colon after the scheme and the last ``@``.

    Examples
    --------
    >>> shown_address("postgresql://app:pa@ss/word@db.example/routes?sslmode=require&password=x")
    'postgresql://app:***@db.example/routes?sslmode=require&password=***'
    >>> shown_address("logs/2026.parquet")
    'logs/2026.parquet'
    """
    text = _USER_AND_PASSWORD.sub(r"\g<scheme>\g<user>:***@", str(address))
    return _OPTION.sub(_masked, text)[:_MOST_CHARACTERS]


def _masked(option: re.Match[str]) -> str:
    return f"{option['name']}=***" if _SECRET_NAME.search(option["name"]) else option[0]
