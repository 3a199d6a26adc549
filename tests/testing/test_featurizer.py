"""check_featurizer finds every broken promise."""

from itertools import count

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidRequestError
from banditroute.testing import check_featurizer

LOOKS = count()


class Sound:
    """Length of the text, and whether there is any."""

    dimension = 2
    version = "sound-1"
    names = ("length", "any")

    def transform_one(self, request):
        if request.text is None:
            raise InvalidRequestError("no text")
        return np.array([min(len(request.text), 1000) / 1000, float(bool(request.text))])

    def transform(self, requests):
        return np.array([self.transform_one(request) for request in requests]).reshape(-1, 2)


class Crashes(Sound):
    def transform_one(self, request):
        if request.text is not None:
            request.text.encode()
        return super().transform_one(request)


class NotFinite(Sound):
    def transform_one(self, request):
        x = super().transform_one(request)
        return np.log(x, out=np.full(2, -np.inf), where=x > 0)


class Single(Sound):
    def transform_one(self, request):
        return super().transform_one(request).astype(np.float32)


class Longer(Sound):
    def transform_one(self, request):
        return np.append(super().transform_one(request), 0.0)


class Counts(Sound):
    calls = 0.0

    def transform_one(self, request):
        self.calls += 1.0
        return super().transform_one(request) + self.calls


class Keeps(Sound):
    def __init__(self):
        self.kept = {}

    def transform_one(self, request):
        return self.kept.setdefault(request.text, super().transform_one(request))


class NormalisesByBatch(Sound):
    def transform(self, requests):
        rows = super().transform(requests)
        return rows - rows.mean(axis=0) if len(rows) > 1 else rows


class FailsOnNothing(Sound):
    def transform(self, requests):
        return np.array([self.transform_one(request) for request in requests])


class TakesAnything(Sound):
    def transform_one(self, request):
        return np.zeros(2) if request.text is None else super().transform_one(request)


class WrongError(Sound):
    def transform_one(self, request):
        return super().transform_one(Request(text=request.text + ""))


class Changes(Sound):
    def transform(self, requests):
        for request in requests:
            object.__setattr__(request, "text", request.text and request.text.strip())
        return super().transform(requests)


def having(**members):
    return type("Having", (Sound,), members)()


def test_a_sound_one_passes():
    check_featurizer(Sound())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (object(), "lacks a member"),
        (having(dimension=0), "not above 0"),
        (having(dimension=2.0), "not a whole number"),
        (having(names=["length", "any"]), "not a tuple"),
        (having(names=("length", "")), "non-empty strings"),
        (having(names=("length",)), "1 names for 2 entries"),
        (having(names=("length", "length")), "not unique"),
        (having(version=""), "empty string"),
        (having(version=1), "not a string"),
        (having(version=property(lambda self: str(next(LOOKS)))), "changes"),
        (Crashes(), "UnicodeEncodeError.*'lone surrogates'"),
        (NotFinite(), "'empty' is not finite"),
        (Single(), "float32"),
        (Longer(), r"\(3,\), not \(2,\)"),
        (Counts(), "second call"),
        (Keeps(), "return a copy"),
        (NormalisesByBatch(), "batch and single call differ"),
        (FailsOnNothing(), r"\(0,\), not \(0, 2\)"),
        (TakesAnything(), "took a request without text"),
        (WrongError(), "TypeError.*raise InvalidRequestError"),
        (Changes(), "changed its requests|batch and single"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_a_broken_promise_is_named(broken, message):
    with pytest.raises(AssertionError, match=message):
        check_featurizer(broken)
