"""Rules for where there is no Python: a condition in words, and the arms that may serve where it holds.

The grammar, from the loosest binding to the tightest::

    condition  = every ("or" every)*
    every      = part ("and" part)*
    part       = "not" part | value (("==" | "!=" | "<" | "<=" | ">" | ">=") value)?
    value      = "(" condition ")" | "tag(" text ")" | text | number | "true" | "false" | name

A condition is parsed into functions, and never evaluated as code.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeAlias

from banditroute.core.request import Request
from banditroute.core.validation import labels, shown
from banditroute.errors import InvalidConfigurationError

_Value: TypeAlias = float | str | bool | None
_Read: TypeAlias = Callable[[Request], _Value]

_LONGEST_CONDITION = 10_000  # characters
_DEEPEST_NESTING = 50
_TOKEN = re.compile(r"""\s*(?:('[^']*'|"[^"]*")|(\d+(?:\.\d+)?)|([^\W\d]\w*)|(==|!=|<=|>=|<|>|\(|\)))""")
_COMPARE: dict[str, Callable[[float | str, float | str], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = frozenset({"and", "or", "not", "tag"})
_OF_REQUEST = frozenset({"session", "template", "input_tokens", "max_output_tokens"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where a condition holds, only the named arms may serve a request; a part of :class:`Limits`.

    Parameters
    ----------
    when
        The condition, such as ``"tag('private') or task == 'medical'"``: ``and``, ``or``, ``not``, comparisons and
        brackets. ``tag('a')`` holds for a request with that tag. The names ``session``, ``template``,
        ``input_tokens`` and ``max_output_tokens`` are the request's; every other name is one of its ``metadata``. A
        name that the request does not have equals nothing, and is neither less nor greater than anything.
    arms
        Names of the arms that may serve such a request, at least one. The order is theirs to the policy.

    Raises
    ------
    InvalidConfigurationError
        If the condition cannot be read, or no arm is named.

    Examples
    --------
    >>> rule = Rule(when="tag('private') or task == 'medical'", arms=["local"])
    >>> rule.holds(Request(text="Why?", metadata={"task": "medical"})), rule.holds(Request(text="Why?"))
    (True, False)
    """

    when: str
    arms: Collection[str]
    _test: _Read = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        arms = labels(self.arms, name="arms of a rule", error=InvalidConfigurationError)
        if not arms:
            raise InvalidConfigurationError("a rule names no arm; give arms=[...], at least one")
        object.__setattr__(self, "arms", arms)
        object.__setattr__(self, "_test", _Parser(self.when).parse())

    def holds(self, request: Request) -> bool:
        """Return whether the condition holds for a request."""
        return bool(self._test(request))


class _Parser:
    """Parses one condition by recursive descent."""

    def __init__(self, text: object) -> None:
        if not isinstance(text, str) or len(text) > _LONGEST_CONDITION:
            raise InvalidConfigurationError(
                f"when is {shown(text)}; give a condition such as \"tag('private')\", of {_LONGEST_CONDITION:,} "
                "characters at most"
            )
        self._text = text
        self._at = 0
        self._next = ""
        self._depth = 0
        self._advance()

    def parse(self) -> _Read:
        read = self._or()
        return read if not self._next else self._fail("the end, 'and' or 'or'")

    def _advance(self) -> str:
        """Return the token that was next, and read another; at the end it is empty."""
        token, found = self._next, _TOKEN.match(self._text, self._at)
        if found is None and self._text[self._at :].strip():
            self._next = self._text[self._at :].strip()[0]
            self._fail("a name, a text, a number, an operator or a bracket")
        self._next, self._at = ("", len(self._text)) if found is None else (found[0].strip(), found.end())
        return token

    def _fail(self, wanted: str) -> _Read:
        found = f"{shown(self._next)} at character {self._at - len(self._next) + 1}" if self._next else "the end"
        raise InvalidConfigurationError(
            f"cannot read the condition {shown(self._text)}: {wanted} expected, not {found}"
        )

    def _expect(self, token: str) -> None:
        if self._advance() != token:
            self._fail(repr(token))

    def _or(self) -> _Read:
        either = [self._and()]
        while self._next == "or":
            self._advance()
            either.append(self._and())
        return either[0] if len(either) == 1 else lambda request: any(read(request) for read in either)

    def _and(self) -> _Read:
        every = [self._part()]
        while self._next == "and":
            self._advance()
            every.append(self._part())
        return every[0] if len(every) == 1 else lambda request: all(read(request) for read in every)

    def _part(self) -> _Read:
        self._depth += 1
        if self._depth > _DEEPEST_NESTING:
            self._fail(f"at most {_DEEPEST_NESTING} brackets and 'not' inside each other")
        if self._next == "not":
            self._advance()
            inner = self._part()
            read: _Read = lambda request: not inner(request)  # noqa: E731
        else:
            read = self._comparison(self._value())
        self._depth -= 1
        return read

    def _comparison(self, left: _Read) -> _Read:
        if self._next in ("==", "!="):
            wanted, right = self._advance() == "==", self._value()
            return lambda request: _equal(left(request), right(request)) is wanted
        if self._next in _COMPARE:
            compare, right = _COMPARE[self._advance()], self._value()
            return lambda request: _ordered(compare, left(request), right(request))
        return left

    def _value(self) -> _Read:
        token = self._advance() if self._next not in ("", ")") and self._next not in _COMPARE else ""
        if token == "(":
            read = self._or()
            self._expect(")")
            return read
        if token == "tag":
            self._expect("(")
            tag = self._advance()
            if tag[:1] not in ("'", '"'):
                self._fail("a tag in quotes")
            self._expect(")")
            return lambda request: tag[1:-1] in request.tags
        if (token[:1] in ("'", '"') and token) or token[:1].isdecimal():
            constant = float(token) if token[0].isdecimal() else token[1:-1]
            return lambda request: constant
        if token in ("true", "false"):
            return lambda request: token == "true"
        if not token.isidentifier() or token in _WORDS:
            return self._fail("a value")
        if token in _OF_REQUEST:
            return lambda request: getattr(request, token)
        return lambda request: request.metadata.get(token)


def _equal(left: _Value, right: _Value) -> bool:
    return left is not None and isinstance(left, str) is isinstance(right, str) and left == right


def _ordered(compare: Callable[[float | str, float | str], bool], left: _Value, right: _Value) -> bool:
    if left is None or right is None or isinstance(left, str) is not isinstance(right, str):
        return False
    return compare(left, right)
