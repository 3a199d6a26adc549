"""The tree of errors is the one that the module's docstring draws."""

import pickle
import re

import pytest

from banditroute import errors


def drawn():
    """Error -> (parent in the drawing, builtin base in brackets or None)."""
    above, found = [], {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([│├└─ ]*)(\w+Error)(?: \((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4
            above[depth:] = [match[2]]
            found[match[2]] = (above[depth - 1] if depth else "Exception", match[3])
    return found


def test_every_error_is_drawn():
    assert set(drawn()) == {name for name, value in vars(errors).items() if isinstance(value, type)}


@pytest.mark.parametrize(("name", "bases"), drawn().items())
def test_the_drawing_is_true(name, bases):
    assert [base.__name__ for base in getattr(errors, name).__bases__] == [base for base in bases if base]


@pytest.mark.parametrize("name", drawn())
def test_a_message_keeps_its_remedy_and_never_a_megabyte_of_the_callers_text(name):
    message = f"the value is {'x' * 10**6!r}; give another"
    error = getattr(errors, name)(message)
    assert len(str(error)) < 5_000
    assert str(error).startswith("the value is 'xxx")
    assert str(error).endswith("xxx'; give another")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_unknown_decision_prints_its_message_as_it_is():
    assert str(errors.UnknownDecisionError("no decision 'x'")) == "no decision 'x'"
    assert str(errors.UnknownDecisionError()) == ""
    assert isinstance(errors.UnknownDecisionError("x"), KeyError)
