"""The contract suite of policies: for ours, and for yours."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from collections.abc import Mapping, Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.learners import Learner
from banditroute.logs import OutcomeTable
from banditroute.policies.base import LearningPolicy, Policy, PolicyState, start
from banditroute.simulate.replay import replay

_ARMS = ("small", "medium", "large", "code", "vision")
_X = np.array([0.5, 1.0])
_REQUESTS = 600
_SEEDS = range(4)
_GROWTH_BYTES = 40_000  # over 2,000 outcomes: what keeps one number of each takes 64,000, other threads a few


def check_policy(
    policy: Policy | LearningPolicy,
    *,
    accuracy: float = 1e-9,
    arms: Sequence[str] = _ARMS,
    regret: float | None = 0.4,
) -> None:
    """Check that a policy keeps the contract of :class:`banditroute.policies.Policy`, or of ``LearningPolicy``.

    Every answer is a fresh ``(K,)`` array of probabilities that sum to 1 within 1e-12; equal questions get equal
    answers, to the bit, also after an arm was away and came back; nothing that is passed in is changed. One arm alone
    gets 1, equal arms get equal probabilities, and arms in another order get the same ones. Tried are one to five arms,
    and numbers from 1e-12 to 1e12, with and without spread.

    A state is whole: a copy of it, taught the same, gives the same answers. It does not grow with the outcomes. And in
    a router that serves 600 requests, equal seeds make equal choices, and regret grows less than in proportion.

    Parameters
    ----------
    policy
        The policy, as it would be given to a learner.
    accuracy
        How far a probability may be from the policy's true one, where that is computed by approximation.
    arms
        Names of arms, for a policy that goes by names; at least two. Where these matter without any tie, equal arms
        need not be treated alike.
    regret
        Regret in the second half of the requests, as a share of that of uniform choice, that a policy may have which
        finds the best of some arms; None for one that does not look for it.

    Raises
    ------
    AssertionError
        Names the first promise that is broken, and for which arms.

    Examples
    --------
    >>> from banditroute.policies import UCB
    >>> check_policy(UCB(alpha=1.0))
    """
    assert isinstance(policy, Policy | LearningPolicy), f"{policy!r} has no method probabilities(), and no start()"
    _check_answers(start(policy, objectives=["quality"]), accuracy, arms)
    _check_state(start(policy, objectives=["quality"]), arms)
    _check_served(policy, arms, regret)


def _check_answers(policy: PolicyState, accuracy: float, arms: Sequence[str]) -> None:
    """Check every promise about single answers of a state that was taught nothing."""
    cases = _cases(len(arms))
    by_name = False
    for what, (means, stds) in cases.items():
        names = tuple(arms[: len(means)])
        answer = _ask(policy, names, means, stds, what)
        again = _ask(policy, names, means, stds, what)
        assert np.array_equal(answer, again), f"{what}: an equal question got {answer}, then {again}"
        assert not np.shares_memory(answer, again), f"{what}: two answers share their memory; return a new array"
        if len(names) == 1:
            assert abs(answer[0] - 1.0) <= 1e-12, f"{what}: the only arm has the probability {answer[0]}, not 1"
        else:
            _ask(policy, names[1:], means[1:], stds[1:], f"{what}, less the first")
            again = _ask(policy, names, means, stds, what)
            assert np.array_equal(answer, again), f"{what}: {answer} became {again} when an arm had been away"
        _check_order(policy, names, means, stds, answer, what, accuracy)
        if len(np.unique(means)) == len(means):  # without ties, other names in the same state are to change nothing
            others = _ask(policy, tuple(reversed(names)), means, stds, what)
            by_name |= not np.allclose(answer, others, rtol=0.0, atol=2.0 * accuracy)
    if not by_name:
        for what, (means, stds) in cases.items():
            _check_ties(policy, tuple(arms[: len(means)]), means, stds, what, accuracy)


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


def _ask(policy: PolicyState, names: tuple[str, ...], means: Vector, stds: Vector, what: str) -> Vector:
    """The policy's answer, once it is known to be one and to have changed nothing."""
    given, wide, x = means.copy(), stds.copy(), _X.copy()
    answer = policy.probabilities(given, wide, arms=names, information=lambda: np.ones(len(names)), x=x)
    assert np.array_equal(x, _X), f"{what}: the policy changed the context"
    assert np.array_equal(given, means), f"{what}: the policy changed the means"
    assert np.array_equal(wide, stds), f"{what}: the policy changed the spreads"
    assert isinstance(answer, np.ndarray), f"{what}: the answer is a {type(answer).__name__}, not an array"
    assert answer.dtype == np.float64, f"{what}: the answer is of {answer.dtype}, not float64"
    assert answer.shape == (len(names),), f"{what}: the answer has the shape {answer.shape}, not {(len(names),)}"
    assert np.isfinite(answer).all(), f"{what}: the answer {answer} is not finite"
    assert (answer >= 0.0).all(), f"{what}: a probability is negative: {answer}"
    assert abs(answer.sum() - 1.0) <= 1e-12, f"{what}: the probabilities sum to {answer.sum()!r}, not 1"
    return answer


def _check_order(
    policy: PolicyState,
    names: tuple[str, ...],
    means: Vector,
    stds: Vector,
    answer: Vector,
    what: str,
    accuracy: float,
) -> None:
    """Arms in another order get the same probabilities."""
    for order in (np.arange(len(names))[::-1], np.roll(np.arange(len(names)), 1)):
        other = _ask(policy, tuple(names[k] for k in order), means[order], stds[order], what)
        assert np.allclose(other, answer[order], rtol=0.0, atol=2.0 * accuracy), (
            f"{what}: the arms have the probabilities {answer}, in another order {other}, not {answer[order]}"
        )


def _check_ties(
    policy: PolicyState, names: tuple[str, ...], means: Vector, stds: Vector, what: str, accuracy: float
) -> None:
    """Arms of which the same is believed get the same probability."""
    answer = _ask(policy, names, means, stds, what)
    for k in range(len(names)):
        alike = (means == means[k]) & (stds == stds[k])
        assert np.ptp(answer[alike]) <= 2.0 * accuracy, (
            f"{what}: arms of equal mean and spread have the probabilities {answer[alike]}"
        )


def _check_state(state: PolicyState, arms: Sequence[str]) -> None:
    """A state is whole, goes through teaching unharmed, and does not grow."""
    _teach([state], arms, rounds=100)
    twin = copy.deepcopy(state)
    _teach([state, twin], arms, rounds=100)
    one, other = (_ask(each, tuple(arms), *_cases(len(arms))["twins"], "a copy") for each in (state, twin))
    assert np.array_equal(one, other), f"a state gave {one} and its copy {other}, after equal outcomes"
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(2):
            _teach([state], arms, rounds=2000)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    growth = sizes[1] - sizes[0]
    assert growth <= _GROWTH_BYTES, f"the policy's state grew by {growth} bytes over 2,000 outcomes"


def _teach(states: Sequence[PolicyState], arms: Sequence[str], *, rounds: int) -> None:
    """Outcomes of arms at random, each with a context of its own."""
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        arm, x, values = str(rng.choice(arms)), np.array([rng.normal(), 1.0]), {"quality": float(rng.random() < 0.5)}
        given, known = x.copy(), dict(values)
        for state in states:
            state.learn(arm, x, values)
            assert np.array_equal(x, given), "the policy changed the context that it was taught"
            assert values == known, "the policy changed the outcomes that it was taught"


def _check_served(policy: Policy | LearningPolicy, arms: Sequence[str], regret: float | None) -> None:
    """In a router, whose requests tell nothing: equal seeds make equal choices, the best arm is found."""
    rng = np.random.default_rng(2)
    expected = np.linspace(0.2, 0.8, len(arms))
    none = ("",) * _REQUESTS
    quality = (rng.random((_REQUESTS, len(arms))) < expected).astype(np.float64)
    table = OutcomeTable(name="known", prompts=none, tasks=none, arms=tuple(arms), outcomes={"quality": quality})
    x = rng.normal(size=(_REQUESTS, 1))
    learner = Learner(policy=policy)
    preference = Preference(quality=1.0)
    traces = [replay(table, x, learner=learner, preference=preference, seed=seed) for seed in (*_SEEDS, _SEEDS[0])]
    assert np.array_equal(traces[0].chosen, traces[-1].chosen), "equal seeds made other choices"
    if regret is None:
        return
    lost = np.mean([expected.max() - expected[trace.chosen] for trace in traces[:-1]], axis=0)
    early, late = lost.reshape(2, -1).mean(axis=1) / (expected.max() - expected.mean())
    assert late < early, f"regret does not fall: {early:.2f}, then {late:.2f} of that of uniform choice"
    assert late <= regret, f"regret of {late:.2f} of that of uniform choice in the second half, {regret} is allowed"
