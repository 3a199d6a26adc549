"""Addresses of databases, servers and files, as messages, pages and figures may show them."""

from __future__ import annotations

import re

_LONGEST = 200  # characters


def shown_address(address: str) -> str:
    """Return an address without user, password and query, whatever else is wrong with it.

    Examples
    --------
    >>> shown_address("postgresql://router:secret@db.example/router?sslmode=require")
    'postgresql://***@db.example/router'
    >>> shown_address("router:secret@db.example/router")
    '***@db.example/router'
    >>> shown_address("sqlite:///router.db")
    'sqlite:///router.db'
    >>> shown_address("logs/decisions.parquet")
    'logs/decisions.parquet'
    """
    if "://" in address or "@" in address:
        found = re.match(r"\s*[\"']?[A-Za-z][\w+.-]*:/+", address)
        scheme = found[0] if found else ""
        _, secret, rest = address[len(scheme) :].rpartition("@")  # a password may hold any other mark
        address = scheme + ("***@" if secret else "") + re.split("[?#&]", rest)[0]
    return address[:_LONGEST]
