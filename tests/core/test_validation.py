"""Numbers and labels from outside: what passes, and the words for what does not."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute import Arm, Guard, Objective, Preference, Router, Share, ThompsonSampling
from banditroute.adapters import Controller
from banditroute.beliefs import Linear
from banditroute.budgets import Budget
from banditroute.core.validation import (
    finite_vector,
    flag,
    label,
    mapping_copy,
    non_negative,
    number,
    one_of,
    open_unit,
    positive,
    probability,
    shown,
    whole,
)
from banditroute.errors import BanditRouteError, InvalidFeedbackError, InvalidInputError, InvalidRequestError
from banditroute.limits import CircuitBreaker, Limits
from banditroute.objectives import Scaled
from banditroute.policies import UCB, Mixture
from banditroute.pricing import ModelPrice, Usage


@pytest.mark.parametrize(
    "value",
    [1, 1.0, np.float64(1), np.float32(1), np.float16(1), np.int64(1), np.uint8(1), Fraction(1), Decimal(1)],
    ids=type,
)
def test_every_kind_of_real_number_becomes_a_plain_float(value):
    assert number(value, name="n") == 1.0
    assert type(number(value, name="n")) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, r"^n is True \(bool\); give a number: float\(...\) if you mean 0 or 1$"),
        (np.False_, r"^n is False \(bool\); give a number"),
        ("0.5", r"^n is '0.5' \(str\); give a number$"),
        (None, r"^n is None \(NoneType\); give a number$"),
        (1j, r"^n is 1j \(complex\); give a number$"),
        (b"1", r"^n is b'1' \(bytes\); give a number$"),
        ([1.0], r"^n is \[1.0\] \(list\); give a number$"),
        (np.ones(1), r"^n is array\(\[1.\]\) \(ndarray\); give a number$"),
        (math.nan, r"^n is nan; give a finite number, or leave it out if it is not known$"),
        (np.float32("nan"), r"^n is nan; give a finite number"),
        (-math.inf, r"^n is -inf; give a finite number"),
        (10**400, r"^n is inf; give a finite number"),
        (Fraction(10**400), r"^n is inf; give a finite number"),
    ],
)
def test_number_refuses_other_values(value, message):
    with pytest.raises(InvalidInputError, match=message):
        number(value, name="n")


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-5, 5), st.floats(-5, 5))
def test_a_number_passes_where_it_is_in_range_and_nowhere_else(value, one, other):
    low, high = min(one, other), max(one, other)
    if low <= value <= high:
        assert number(value, name="n", low=low, high=high) == value
    else:
        with pytest.raises(InvalidInputError, match="it must be between"):
            number(value, name="n", low=low, high=high)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"low": 0.0}, r"^n is -1.0; it must be at least 0$"),
        ({"high": -2.0}, r"^n is -1.0; it must be at most -2$"),
        ({"low": 0.0, "high": 1.0}, r"^n is -1.0; it must be between 0 and 1$"),
    ],
)
def test_the_message_names_the_range(limits, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        number(-1, name="n", error=InvalidFeedbackError, **limits)


@pytest.mark.parametrize("value", ["a", "x" * 255, "näme 🦙\n", "\ud7ff\ue000", " "])
def test_a_label_is_any_text_that_a_database_can_hold(value):
    assert label(value, name="session") is value
    value.encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, r"^session is 5 \(int\); give a string$"),
        (None, r"^session is None \(NoneType\); give a string$"),
        (b"a", r"^session is b'a' \(bytes\); give a string$"),
        ("", r"^session has 0 characters; give 1 to 255$"),
        ("x" * 256, r"^session has 256 characters; give 1 to 255$"),
        ("a\x00b", r"^session is 'a\\x00b'; NUL and lone surrogates cannot be stored: remove them$"),
        ("\ud800", r"lone surrogates cannot be stored"),
        ("\udfff", r"^session is '\\udfff'; NUL and lone surrogates"),
    ],
)
def test_bad_labels_are_refused(value, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        label(value, name="session", error=InvalidFeedbackError)


@pytest.mark.parametrize("low", [0, 1, 5])
def test_a_whole_number_passes_from_its_least_on(low):
    assert whole(low, name="n", low=low) == low
    with pytest.raises(InvalidFeedbackError, match=f"n is {low - 1}; give a whole number of at least {low}"):
        whole(low - 1, name="n", low=low, error=InvalidFeedbackError)


@pytest.mark.parametrize("value", [True, 2.0, "2", None, math.nan, math.inf])
def test_whole_refuses_other_values(value):
    with pytest.raises(InvalidInputError, match="give a whole number of at least 1"):
        whole(value, name="n")


def test_an_invalid_input_is_a_value_error_of_ours():
    with pytest.raises(ValueError, match="give a number") as caught:
        number("x", name="n")
    assert isinstance(caught.value, BanditRouteError)


@pytest.mark.parametrize("value", [Decimal("0.25"), np.float32(0.25), np.float64(0.25), Fraction(1, 4)])
def test_numbers_of_other_packages_are_numbers(value):
    assert number(value, name="cost_usd") == 0.25
    assert number(np.int64(3), name="tokens") == 3.0


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("1e400"), Decimal("sNaN")])
def test_decimals_that_are_not_finite_are_refused(value):
    with pytest.raises(InvalidInputError, match="finite"):
        number(value, name="cost_usd")


@pytest.mark.parametrize(
    "make",
    [
        lambda n: Arm(
            name="a", input_usd_per_million_tokens=n, output_usd_per_million_tokens=n, expected={"quality": n}
        ),
        lambda n: Budget(usd=n),
        lambda n: CircuitBreaker(reset_seconds=n),
        lambda n: Guard(baseline={"a": n}, tolerance=n),
        lambda n: Limits(max_cost_usd=n),
        lambda n: Linear(noise={"quality": n}),
        lambda n: Mixture(shares={"a": n}),
        lambda n: ModelPrice(input_usd_per_million_tokens=n),
        lambda n: Objective(name="o", higher_is_better=True, prior_mean=n),
        lambda n: Controller(optimism=n),
        lambda n: Scaled(weights={"quality": n}, reference={"quality": n}),
        lambda n: Share(at_most=n),
        lambda n: ThompsonSampling(scale=n),
        lambda n: UCB(alpha=n),
        lambda n: Usage(input_tokens=n, output_tokens=n),
    ],
)
@pytest.mark.parametrize("half", [Decimal("0.5"), np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_settings_keep_plain_numbers(make, half):
    """Others would fail much later: a Decimal cannot be added to a float, nor a number of numpy be shown."""
    made = make(half)
    assert repr(made) == repr(make(0.5))


def test_decimals_and_numpy_numbers_route_as_floats():
    def decide(number):
        router = Router(
            arms=[Arm(name="a", input_usd_per_million_tokens=number, output_usd_per_million_tokens=number), "b"],
            preference=Preference(quality=number, cost_usd=number),
            budgets=[Budget(usd=number)],
            features=1,
            seed=0,
        )
        router.feedback(router.route([0.5], arms=["a"]).id, quality=number, cost_usd=number, output_tokens=number)
        return router.route([0.5])

    plain = decide(0.5)
    for half in (Decimal("0.5"), np.float32(0.5), np.float64(0.5)):
        decision = decide(half)
        assert (decision.reason, decision.means.tolist()) == (plain.reason, plain.means.tolist())


@pytest.mark.parametrize(
    "features",
    [[Decimal("0.5"), Fraction(1, 4)], np.array([Decimal("0.5"), 0.25], dtype=object), [np.float32(0.5), 0.25]],
)
def test_features_may_be_numbers_of_any_kind(features):
    router = Router(arms=["a", "b"], features=2, seed=0)
    assert router.route(features).x.tolist() == [0.5, 0.25, 1.0]


@pytest.mark.parametrize(
    "wrong", [[Decimal("NaN"), 0.5], [Decimal("1e400"), 0.5], [Fraction(10**400), 0.5], [None, 0.5]]
)
def test_features_that_are_no_finite_numbers_are_refused(wrong):
    with pytest.raises(InvalidRequestError):
        Router(arms=["a", "b"], features=2, seed=0).route(wrong)


def test_limits_of_numpy_numbers_are_shown_where_no_arm_keeps_them():
    router = Router(arms=["a", "b"], features=1, limits=Limits(max_cost_usd=np.float32(0.5)), seed=0)
    for arm in ("a", "b") * 20:
        router.feedback(router.route([0.5], arms=[arm]).id, cost_usd=9.0)
    assert "no arm is believed to keep Limits(max_cost_usd=0.5)" in router.route([0.5]).reason


REFUSED = [
    (lambda: positive(0.0, name="n"), r"^n is 0.0; give a number above 0$"),
    (lambda: positive(2.0, name="n", high=1.0), r"^n is 2.0; it must be at most 1$"),
    (lambda: non_negative(-0.5, name="n"), r"^n is -0.5; it must be at least 0$"),
    (lambda: probability(1.5, name="n"), r"^n is 1.5; it must be between 0 and 1$"),
    (lambda: open_unit(0, name="n"), r"^n is 0; give a number above 0 and below 1$"),
    (lambda: open_unit(1.0, name="n"), r"^n is 1.0; give a number above 0 and below 1$"),
    (lambda: flag(1, name="n"), r"^n is 1 \(int\); give True or False$"),
    (lambda: one_of("c", ["a", "b"], name="mode"), r"^unknown mode 'c'; known: a, b$"),
    (lambda: one_of(["a"], ["a", "b"], name="mode"), r"^unknown mode \['a'\]; known: a, b$"),
    (lambda: mapping_copy([1], name="n", example="{}"), r"^n is \[1\] \(list\); give a mapping, for example {}$"),
    (lambda: mapping_copy({1: 2}, name="n", example="{}"), r"^a name in n is 1 \(int\); give a string$"),
    (lambda: finite_vector([1.0], name="n", dimension=2), r"^n has shape \(1,\); give \(2,\)$"),
    (lambda: finite_vector("ab", name="n", dimension=2), r"^n is str of <U2; give 2 numbers$"),
    (lambda: finite_vector([[1], [1, 2]], name="n", dimension=2), r"^n is list of object; give 2 numbers$"),
    (lambda: finite_vector([1.0, math.nan], name="n", dimension=2), r"^n holds NaN, .* beyond 1e\+08; give finite"),
]


@pytest.mark.parametrize(("check", "message"), REFUSED)
def test_a_value_out_of_range_is_refused_with_the_remedy(check, message):
    with pytest.raises(InvalidInputError, match=message):
        check()


def test_values_in_range_are_returned():
    assert positive(1, name="n") == 1.0
    assert non_negative(0, name="n") == 0.0
    assert probability(1, name="n") == 1.0
    assert open_unit(0.5, name="n") == 0.5
    assert flag(False, name="n") is False
    assert one_of("a", ("a", "b"), name="n") == "a"
    assert finite_vector((1, 2), name="n", dimension=2).tolist() == [1.0, 2.0]


def test_a_mapping_is_copied():
    given_ = {"a": 1}
    assert (copy := mapping_copy(given_, name="n", example="{}")) == given_
    assert copy is not given_


def test_an_error_quotes_at_most_80_characters_of_a_value():
    assert len(shown("x" * 500)) == 80
    with pytest.raises(InvalidInputError) as caught:
        number("x" * 500, name="n")
    assert len(str(caught.value)) < 130


def test_shown_names_the_type_of_what_cannot_be_shown():
    class Broken:
        def __repr__(self):
            raise RuntimeError("a caller's own code")

    assert shown(Broken()) == "a Broken that cannot be shown"
