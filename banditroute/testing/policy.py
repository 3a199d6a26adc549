"""The contract suite that every policy must pass."""

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
_MOST_GROWTH_BYTES = 40_000  # over 2,000 outcomes; a state that keeps one number of each takes 64,000


def check_policy(
    policy: Policy | LearningPolicy,
    *,
    accuracy: float = 1e-9,
    arms: Sequence[str] = _ARMS,
    regret: float | None = 0.4,
) -> None:
    """Check that a policy keeps the contract of :class:`banditroute.policies.Policy`, or of ``LearningPolicy``.

    The suite checks these promises, with one to five arms, numbers from 1e-12 to 1e12, and standard deviations of 0:

    - Every answer is a new ``(K,)`` array of probabilities that sum to 1 within 1e-12.
    - Equal questions get answers equal to the bit, also after an arm was removed and added again.
    - Arguments are not changed.
    - A single arm gets 1, equal arms get equal probabilities, and the order of the arms does not matter.
    - A copy of a state that learns the same outcomes gives the same answers. A state does not grow with the outcomes.
    - In a router that serves 600 requests, equal seeds give equal choices, and the regret per request falls.

    Parameters
    ----------
    policy
        The policy, as it would be given to a learner.
    accuracy
        Largest error of a probability, for policies that approximate.
    arms
        Names of at least two arms, for a policy that depends on names. If names matter even without ties, equal arms
        need not get equal probabilities.
    regret
        Largest regret in the second half of the requests, as a share of the regret of uniform choice. None for a policy
        that does not look for the best arm.

    Raises
    ------
    AssertionError
        If a promise is broken; the message names the first one, and the arms.

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
    """Check every promise about single answers of a new state."""
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
            _ask(policy, names[1:], means[1:], stds[1:], f"{what}, without the first")
            again = _ask(policy, names, means, stds, what)
            assert np.array_equal(answer, again), f"{what}: {answer} became {again} after an arm was removed and added"
        _check_order(policy, names, means, stds, answer, what, accuracy)
        if len(np.unique(means)) == len(means):  # without ties, other names should not change the answer
            others = _ask(policy, tuple(reversed(names)), means, stds, what)
            by_name |= not np.allclose(answer, others, rtol=0.0, atol=2.0 * accuracy)
    if not by_name:
        for what, (means, stds) in cases.items():
            _check_ties(policy, tuple(arms[: len(means)]), means, stds, what, accuracy)


def _cases(count: int) -> Mapping[str, tuple[Vector, Vector]]:
    """Return means and standard deviations of up to ``count`` arms, by the name of the case."""
    rng = np.random.default_rng(0)
    cases = {f"{k} arms": (rng.random(k), 0.1 + rng.random(k)) for k in range(1, count + 1)}
    equal, rising, zeros = np.full(count, 0.5), np.linspace(-1.0, 1.0, count), np.zeros(count)
    some = np.where(np.arange(count) % 2 == 0, 0.3, 0.0)
    twins = np.array([0.7, 0.7, *np.full(count - 2, 0.2)])
    return cases | {
        "equal arms": (equal, equal),
        "equal certain arms": (equal, zeros),
        "all zero": (zeros, zeros),
        "certain arms": (rising, zeros),
        "equal means, some certain": (equal, some),
        "twins": (twins, np.full(count, 0.2)),
        "certain twins": (twins, zeros),
        "tiny numbers": (1e-12 * rising, np.full(count, 1e-12)),
        "huge numbers": (1e12 * rising, np.full(count, 1e12)),
        "huge means, tiny stds": (1e12 * rising, np.full(count, 1e-12)),
        "huge equal means, tiny stds": (1e12 * np.ones(count), np.full(count, 1e-12)),
        "tiny means, huge stds": (1e-12 * rising, np.full(count, 1e12)),
        "stds from 1e-12 to 1e12": (rising, np.logspace(-12.0, 12.0, count)),
        "one arm far ahead": (np.array([1e12, *zeros[1:]]), np.full(count, 1e-3)),
    }


def _ask(policy: PolicyState, names: tuple[str, ...], means: Vector, stds: Vector, what: str) -> Vector:
    """Return the policy's answer; check that it is a distribution and that the arguments are unchanged."""
    given, wide, x = means.copy(), stds.copy(), _X.copy()
    answer = policy.probabilities(given, wide, arms=names, information=lambda: np.ones(len(names)), x=x)
    assert np.array_equal(x, _X), f"{what}: the policy changed the context"
    assert np.array_equal(given, means), f"{what}: the policy changed the means"
    assert np.array_equal(wide, stds), f"{what}: the policy changed the standard deviations"
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
    """Check that arms in another order get the same probabilities."""
    for order in (np.arange(len(names))[::-1], np.roll(np.arange(len(names)), 1)):
        other = _ask(policy, tuple(names[k] for k in order), means[order], stds[order], what)
        assert np.allclose(other, answer[order], rtol=0.0, atol=2.0 * accuracy), (
            f"{what}: the arms have the probabilities {answer}, in another order {other}, not {answer[order]}"
        )


def _check_ties(
    policy: PolicyState, names: tuple[str, ...], means: Vector, stds: Vector, what: str, accuracy: float
) -> None:
    """Check that arms of equal mean and standard deviation get the same probability."""
    answer = _ask(policy, names, means, stds, what)
    for k in range(len(names)):
        alike = (means == means[k]) & (stds == stds[k])
        assert np.ptp(answer[alike]) <= 2.0 * accuracy, (
            f"{what}: arms of equal mean and standard deviation have the probabilities {answer[alike]}"
        )


def _check_state(state: PolicyState, arms: Sequence[str]) -> None:
    """Check that a copy of a state learns the same, and that a state does not grow."""
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
    assert growth <= _MOST_GROWTH_BYTES, f"the policy's state grew by {growth} bytes over 2,000 outcomes"


def _teach(states: Sequence[PolicyState], arms: Sequence[str], *, rounds: int) -> None:
    """Teach outcomes of random arms, each with another context."""
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        arm, x, values = str(rng.choice(arms)), np.array([rng.normal(), 1.0]), {"quality": float(rng.random() < 0.5)}
        given, known = x.copy(), dict(values)
        for state in states:
            state.learn(arm, x, values)
            assert np.array_equal(x, given), "learn() changed the context"
            assert values == known, "learn() changed the outcomes"


def _check_served(policy: Policy | LearningPolicy, arms: Sequence[str], regret: float | None) -> None:
    """Check that a router makes equal choices with equal seeds and finds the best arm; contexts are irrelevant."""
    rng = np.random.default_rng(2)
    expected = np.linspace(0.2, 0.8, len(arms))
    none = ("",) * _REQUESTS
    quality = (rng.random((_REQUESTS, len(arms))) < expected).astype(np.float64)
    table = OutcomeTable(name="known", prompts=none, tasks=none, arms=tuple(arms), outcomes={"quality": quality})
    x = rng.normal(size=(_REQUESTS, 1))
    learner = Learner(policy=policy)
    preference = Preference(quality=1.0)
    traces = [replay(table, x, learner=learner, preference=preference, seed=seed) for seed in (*_SEEDS, _SEEDS[0])]
    assert np.array_equal(traces[0].chosen, traces[-1].chosen), "equal seeds made different choices"
    if regret is None:
        return
    lost = np.mean([expected.max() - expected[trace.chosen] for trace in traces[:-1]], axis=0)
    early, late = lost.reshape(2, -1).mean(axis=1) / (expected.max() - expected.mean())
    assert late < early, f"regret does not fall: {early:.2f}, then {late:.2f} of the regret of uniform choice"
    assert late <= regret, (
        f"the regret in the second half is {late:.2f} of that of uniform choice; at most {regret} is allowed"
    )
