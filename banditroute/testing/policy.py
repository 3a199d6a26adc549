"""The contract suite of policies: for ours, and for yours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from banditroute.policies.base import Policy
from banditroute.types import Vector

_ARMS = ("small", "medium", "large", "code", "vision")


def check_policy(policy: Policy, *, accuracy: float = 1e-9, arms: Sequence[str] = _ARMS) -> None:
    """Check that a policy keeps the contract of :class:`banditroute.policies.Policy`.

    Every answer is a fresh ``(K,)`` array of probabilities that sum to 1 within 1e-12; equal questions get equal
    answers, to the bit; nothing that is passed in is changed. One arm alone gets 1, equal arms get equal
    probabilities, and arms in another order get the same ones. Tried are one to five arms, and numbers from 1e-12 to
    1e12, with and without spread.

    Parameters
    ----------
    policy
        The policy, as it would be given to a learner.
    accuracy
        How far a probability may be from the policy's true one, where that is computed by approximation.
    arms
        Names of arms, for a policy that goes by names; at least two. Where these matter without any tie, equal arms
        need not be treated alike.

    Raises
    ------
    AssertionError
        Names the first promise that is broken, and for which arms.

    Examples
    --------
    >>> from banditroute.policies import UCB
    >>> check_policy(UCB(alpha=1.0))
    """
    assert isinstance(policy, Policy), f"{policy!r} has no method probabilities()"
    cases = _cases(len(arms))
    by_name = False
    for what, (means, spreads) in cases.items():
        names = tuple(arms[: len(means)])
        answer = _ask(policy, names, means, spreads, what)
        again = _ask(policy, names, means, spreads, what)
        assert np.array_equal(answer, again), f"{what}: an equal question got {answer}, then {again}"
        assert not np.shares_memory(answer, again), f"{what}: two answers share their memory; return a new array"
        if len(names) == 1:
            assert abs(answer[0] - 1.0) <= 1e-12, f"{what}: the only arm has the probability {answer[0]}, not 1"
        _check_order(policy, names, means, spreads, answer, what, accuracy)
        if len(np.unique(means)) == len(means):  # without ties, other names in the same state are to change nothing
            others = _ask(policy, tuple(reversed(names)), means, spreads, what)
            by_name |= not np.allclose(answer, others, rtol=0.0, atol=2.0 * accuracy)
    if not by_name:
        for what, (means, spreads) in cases.items():
            _check_ties(policy, tuple(arms[: len(means)]), means, spreads, what, accuracy)


def _cases(count: int) -> Mapping[str, tuple[Vector, Vector]]:
    """Means and spreads of up to ``count`` arms, by what they are."""
    rng = np.random.default_rng(0)
    cases = {f"{k} arms": (rng.random(k), 0.1 + rng.random(k)) for k in range(1, count + 1)}
    equal, rising, zeros = np.full(count, 0.5), np.linspace(-1.0, 1.0, count), np.zeros(count)
    some = np.where(np.arange(count) % 2 == 0, 0.3, 0.0)
    twins = np.array([0.7, 0.7, *np.full(count - 2, 0.2)])
    return cases | {
        "equal arms": (equal, equal),
        "equal arms without spread": (equal, zeros),
        "all zero": (zeros, zeros),
        "no spread": (rising, zeros),
        "equal means, spread in some": (equal, some),
        "twins": (twins, np.full(count, 0.2)),
        "twins without spread": (twins, zeros),
        "tiny numbers": (1e-12 * rising, np.full(count, 1e-12)),
        "huge numbers": (1e12 * rising, np.full(count, 1e12)),
        "huge means, tiny spread": (1e12 * rising, np.full(count, 1e-12)),
        "huge equal means, tiny spread": (1e12 * np.ones(count), np.full(count, 1e-12)),
        "tiny means, huge spread": (1e-12 * rising, np.full(count, 1e12)),
        "spread from 1e-12 to 1e12": (rising, np.logspace(-12.0, 12.0, count)),
        "one arm far ahead": (np.array([1e12, *zeros[1:]]), np.full(count, 1e-3)),
    }


def _ask(policy: Policy, names: tuple[str, ...], means: Vector, spreads: Vector, what: str) -> Vector:
    """The policy's answer, once it is known to be one and to have changed nothing."""
    given, wide = means.copy(), spreads.copy()
    answer = policy.probabilities(given, wide, arms=names, information=lambda: np.ones(len(names)))
    assert np.array_equal(given, means), f"{what}: the policy changed the means"
    assert np.array_equal(wide, spreads), f"{what}: the policy changed the spreads"
    assert isinstance(answer, np.ndarray), f"{what}: the answer is a {type(answer).__name__}, not an array"
    assert answer.dtype == np.float64, f"{what}: the answer is of {answer.dtype}, not float64"
    assert answer.shape == (len(names),), f"{what}: the answer has the shape {answer.shape}, not {(len(names),)}"
    assert np.isfinite(answer).all(), f"{what}: the answer {answer} is not finite"
    assert (answer >= 0.0).all(), f"{what}: a probability is negative: {answer}"
    assert abs(answer.sum() - 1.0) <= 1e-12, f"{what}: the probabilities sum to {answer.sum()!r}, not 1"
    return answer


def _check_order(
    policy: Policy,
    names: tuple[str, ...],
    means: Vector,
    spreads: Vector,
    answer: Vector,
    what: str,
    accuracy: float,
) -> None:
    """Arms in another order get the same probabilities."""
    for order in (np.arange(len(names))[::-1], np.roll(np.arange(len(names)), 1)):
        other = _ask(policy, tuple(names[k] for k in order), means[order], spreads[order], what)
        assert np.allclose(other, answer[order], rtol=0.0, atol=2.0 * accuracy), (
            f"{what}: the arms have the probabilities {answer}, in another order {other}, not {answer[order]}"
        )


def _check_ties(
    policy: Policy, names: tuple[str, ...], means: Vector, spreads: Vector, what: str, accuracy: float
) -> None:
    """Arms of which the same is believed get the same probability."""
    answer = _ask(policy, names, means, spreads, what)
    for k in range(len(names)):
        alike = (means == means[k]) & (spreads == spreads[k])
        assert np.ptp(answer[alike]) <= 2.0 * accuracy, (
            f"{what}: arms of equal mean and spread have the probabilities {answer[alike]}"
        )
