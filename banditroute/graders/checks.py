"""Grade answers by machine checks: unit tests, a pattern, a JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from banditroute.core.optional_imports import optional
from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.graders.signal import NO_ANSWER, Signal, text_of


def unit_tests(passed: int, total: int) -> Signal:
    """Return the share of the unit tests that the answer's code passed, in [0, 1].

    It is not known if no test ran. Code that cannot be imported fails its tests: count them in ``total``.

    Raises
    ------
    InvalidInputError
        If a count is below 0, or more tests passed than there are.

    Examples
    --------
    >>> unit_tests(3, 4).quality
    0.75
    """
    number(total, name="total", low=0.0)
    number(passed, name="passed", low=0.0, high=total)
    if total == 0:
        return Signal(quality=None, reason="no test ran")
    return Signal(quality=passed / total)


def matches_pattern(answer: str | None, pattern: str | re.Pattern[str]) -> Signal:
    r"""Return 1 if the whole answer matches a regular expression, else 0; an empty answer is not graded.

    The pattern is the application's own. One that backtracks a lot takes very long on a long answer.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or the pattern is not a regular expression.

    Examples
    --------
    >>> matches_pattern("2026-11-22", r"\d{4}-\d\d-\d\d").quality
    1.0
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidInputError(f"the pattern {pattern!r:.80} cannot be compiled: {error}") from error
    text = text_of(answer)
    return Signal(quality=float(compiled.fullmatch(text) is not None)) if text else NO_ANSWER


def matches_schema(answer: str | None, schema: Mapping[str, Any]) -> Signal:
    """Return 1 if the answer is JSON that a JSON schema allows, else 0 with the reason; an empty answer is not graded.

    An answer that is not JSON at all is graded 0, and the reason says so. Needs the extra ``signals``. References to
    other documents are not fetched.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or the schema is not a JSON schema.
    MissingDependencyError
        If the extra ``signals`` is not installed.

    Examples
    --------
    >>> schema = {"type": "object", "required": ["city"]}
    >>> matches_schema('{"city": "Turku"}', schema).quality
    1.0
    >>> matches_schema("Turku", schema)
    Signal(quality=0.0, reason='not JSON: Expecting value: line 1 column 1 (char 0)')
    """
    jsonschema, referencing = (optional(name, extra="signals") for name in ("jsonschema", "referencing"))
    if not isinstance(schema, Mapping):
        raise InvalidInputError(f"the schema is {schema!r}; give a mapping, as json.loads makes it")
    kind = jsonschema.validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidInputError(f"this is not a JSON schema: {error.message}") from error
    text = text_of(answer)
    if not text:
        return NO_ANSWER
    # The empty registry: the default one fetches what a schema refers to.
    checker = kind(schema, registry=referencing.Registry())
    try:
        document = json.loads(text, parse_constant=_refuse)
        wrong = jsonschema.exceptions.best_match(checker.iter_errors(document))
    except ValueError as error:
        return Signal(quality=0.0, reason=f"not JSON: {error}")
    except RecursionError:
        return Signal(quality=None, reason="the answer, or the schema, is nested too deep to be checked")
    except referencing.exceptions.Unresolvable as error:
        raise InvalidInputError(f"the schema refers to {error.ref!r}, which is not in it; put it there") from error
    return Signal(quality=1.0) if wrong is None else Signal(quality=0.0, reason=wrong.message)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not in JSON")
