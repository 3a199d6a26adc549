"""The tokens of a service, and what each may do."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from banditroute.core.validation import shown
from banditroute.errors import InvalidConfigurationError

Scope: TypeAlias = Literal["read", "route", "feedback", "admin"]
"""Names the permissions of a token: see figures, route requests, report outcomes, or everything."""

_MIN_TOKEN_CHARACTERS = 16


class Tokens:
    """Tokens and their scopes. Only their hashes are kept.

    Parameters
    ----------
    scopes
        Token, of at least 16 characters -> its scopes. ``admin`` includes the others.

    Raises
    ------
    InvalidConfigurationError
        If a token is too short, or a scope is unknown. The message quotes no token.

    Examples
    --------
    >>> tokens = Tokens(scopes={"a-long-random-token": ["read"]})
    >>> tokens.allows("a-long-random-token", "read"), tokens.allows("a-long-random-token", "route")
    (True, False)
    >>> tokens.knows("another")
    False
    """

    def __init__(self, *, scopes: Mapping[str, list[str]]) -> None:
        self._scopes: list[tuple[bytes, frozenset[str]]] = []
        for number, (token, given) in enumerate(scopes.items(), start=1):
            if len(token) < _MIN_TOKEN_CHARACTERS:
                raise InvalidConfigurationError(
                    f"token {number} has {len(token)} characters; give {_MIN_TOKEN_CHARACTERS} or more, drawn at random"
                )
            for scope in given:
                if scope not in get_args(Scope):
                    raise InvalidConfigurationError(
                        f"unknown scope {shown(scope)} of token {number}; known: {', '.join(get_args(Scope))}"
                    )
            self._scopes.append((_hash(token), frozenset(given)))
        if not self._scopes:
            raise InvalidConfigurationError("there is no token; give at least one")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Tokens:
        """Read a file of tokens, one a line: ``TOKEN read,route``. Lines that begin with ``#`` are comments.

        Raises
        ------
        InvalidConfigurationError
            If the file cannot be read, or a line has another form.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InvalidConfigurationError(f"the tokens in {path} cannot be read: {error}") from error
        scopes = {}
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2:
                raise InvalidConfigurationError(f"line {number} of {path} is not of the form TOKEN read,route")
            scopes[words[0]] = words[1].split(",")
        return cls(scopes=scopes)

    def knows(self, token: str) -> bool:
        """Return whether there is such a token."""
        return self._of(token) is not None

    def allows(self, token: str, scope: Scope) -> bool:
        """Return whether a token has a scope."""
        scopes = self._of(token)
        return scopes is not None and (scope in scopes or "admin" in scopes)

    def _of(self, token: str) -> frozenset[str] | None:
        """Return the scopes of a token. Every token is compared, each in constant time."""
        hashed, found = _hash(token), None
        for known, scopes in self._scopes:
            if hmac.compare_digest(known, hashed):
                found = scopes
        return found


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
