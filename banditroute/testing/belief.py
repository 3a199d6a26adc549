"""The contract suite that every belief must pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from banditroute.beliefs.base import Belief, BeliefSpec, Observation, Prior
from banditroute.core.arrays import Vector

_ARMS = ("small", "medium", "large")
_DIMENSION = 4
_PRIORS = {"quality": Prior(mean=0.5, noise=0.4), "cost_usd": Prior(), "output_tokens": Prior(mean=256.0, noise=256.0)}

_Event: TypeAlias = tuple[str, Vector, Mapping[str, float]]
_Known: TypeAlias = Mapping[str, tuple[Vector, Vector]]


def check_belief(spec: BeliefSpec) -> None:
    """Check that a belief keeps the contract of :class:`banditroute.beliefs.Belief`.

    The suite checks these promises, with the tolerance in brackets:

    - Before any feedback, the prediction is the prior mean.
    - Outcomes move the mean towards themselves and reduce its standard deviation.
    - The order of the feedback does not matter (1e-9).
    - The outcomes of a decision may come together or one by one (1e-10).
    - Outcomes may be learned one at a time, or folded into statistics in one or several parts (1e-10).
    - Merging a part with a share of -1 subtracts it (1e-9).
    - Watching another objective does not change other predictions. New objectives are appended.
    - Arguments are not changed, and the caller may change predictions.

    Parameters
    ----------
    spec
        The settings of the belief.

    Raises
    ------
    AssertionError
        If a promise is broken; the message names the first one.

    Examples
    --------
    >>> from banditroute.beliefs import Linear
    >>> check_belief(Linear())
    """
    _check_start(spec)
    _check_learning(spec)
    _check_watch(spec)
    _check_inputs(spec)
    events = _events()
    online = _learned(spec, events)
    _check_same(_learned(spec, reversed(events)), online, 1e-9, "the order of the feedback matters")
    shuffled = [events[i] for i in np.random.default_rng(2).permutation(len(events))]
    _check_same(_learned(spec, shuffled), online, 1e-9, "the order of the feedback matters")
    for half in (0, len(events) // 2, len(events)):
        folded = _learned(spec, events[half:], statistics=_folded(spec, events[:half]))
        _check_same(folded, online, 1e-10, f"{half} events folded, the others learned, are not all learned")
    _check_merging(spec, events, online)
    parts = [(arm, x, {name: value}) for arm, x, values in events for name, value in values.items()]
    whole = [(arm, x, values) for arm, x, values in events if len(values) > 1]
    split = [(arm, x, {name: value}) for arm, x, values in whole for name, value in values.items()]
    _check_same(_learned(spec, parts), online, 1e-10, "outcomes in parts are not the whole")
    _check_same(_learned(spec, split), _learned(spec, whole), 1e-10, "outcomes in parts are not the whole")


def _start(spec: BeliefSpec, statistics: Mapping[str, bytes] | None = None) -> Belief:
    return spec.start(arms=_ARMS, dimension=_DIMENSION, priors=_PRIORS, statistics=statistics or {})


def _contexts(count: int) -> Vector:
    x = np.random.default_rng(0).normal(size=(count, _DIMENSION))
    x[:, -1] = 1.0
    return x


def _events() -> Sequence[_Event]:
    """Return feedback that reports two outcomes together, only one of them, or a third one alone."""
    rng = np.random.default_rng(1)
    events: list[_Event] = []
    for i, x in enumerate(_contexts(60)):
        values = {"quality": float(rng.integers(2)), "cost_usd": 0.01 * rng.random()}
        if i % 7 == 3:
            del values["quality"]
        if i % 11 == 5:
            values = {"output_tokens": 500.0 * rng.random()}
        events.append((_ARMS[i % 2], x, values))
    return events


def _learned(spec: BeliefSpec, events: Iterable[_Event], statistics: Mapping[str, bytes] | None = None) -> Belief:
    belief = _start(spec, statistics)
    for arm, x, values in events:
        belief.update(arm, x, values)
    return belief


def _folded(spec: BeliefSpec, events: Sequence[_Event]) -> Mapping[str, bytes]:
    """Return the statistics of each arm, folded in two steps."""
    blobs: dict[str, bytes] = {}
    for arm in sorted({arm for arm, _, _ in events}):
        pairs = [Observation(x, values) for name, x, values in events if name == arm]
        first = spec.fold(None, pairs[:5], dimension=_DIMENSION)
        blobs[arm] = spec.fold(first, pairs[5:], dimension=_DIMENSION)
    return blobs


def _check_merging(spec: BeliefSpec, events: Sequence[_Event], online: Belief) -> None:
    """Check that statistics of an arm add up, also when scaled, and that they can be subtracted again."""
    whole, first, rest = (_folded(spec, some) for some in (events, events[:30], events[30:]))
    added, left, halves = {}, {}, {}
    for arm, blob in whole.items():
        back, half = (spec.scale(*pair, dimension=_DIMENSION) for pair in ((rest[arm], -1.0), (blob, 0.5)))
        added[arm] = spec.merge([first[arm], rest[arm]], dimension=_DIMENSION)
        left[arm] = spec.merge([blob, back], dimension=_DIMENSION)
        halves[arm] = spec.merge([half, half], dimension=_DIMENSION)
    _check_same(_start(spec, added), online, 1e-10, "statistics that are merged are not the sum")
    _check_same(_start(spec, halves), online, 1e-10, "two halves are not the whole")
    _check_same(_start(spec, left), _start(spec, first), 1e-9, "merging with a share of -1 does not subtract")


def _known(belief: Belief, x: Vector) -> _Known:
    """Return means and standard deviations ``(K,)`` of every objective by name, and check their form."""
    means, stds, averages = belief.predict(x)
    shape = (len(belief.objectives), len(belief.arms))
    assert means.shape == shape, f"the means have the shape {means.shape}, not {shape}"
    assert stds.shape == shape, f"the standard deviations have the shape {stds.shape}, not {shape}"
    assert np.isfinite(means).all(), "a mean is not finite"
    assert np.isfinite(stds).all(), "a standard deviation is not finite"
    assert (stds >= 0.0).all(), "a standard deviation is negative"
    assert averages.shape == shape, f"average_stds has the shape {averages.shape}, not {shape}"
    assert (averages <= stds * (1.0 + 1e-9)).all(), "average_stds is above stds; it must be a part of it"
    return {name: (means[j], stds[j]) for j, name in enumerate(belief.objectives)}


def _check_same(belief: Belief, other: Belief, tolerance: float, what: str) -> None:
    for x in _contexts(20):
        these, those = _known(belief, x), _known(other, x)
        assert these.keys() == those.keys(), f"{what}: the objectives are {sorted(these)}, not {sorted(those)}"
        for name in these:
            for mine, theirs, part in zip(these[name], those[name], ("mean", "std"), strict=True):
                apart = np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1.0)
                assert apart.max() <= tolerance, f"{what}: the {part} of {name} differs by {apart.max():g}"
    for name in belief.objectives:
        mine, theirs = belief.counts(name), other.counts(name)
        assert np.array_equal(mine, theirs), f"{what}: {name} was counted {mine} times, not {theirs}"


def _check_start(spec: BeliefSpec) -> None:
    """Check that predictions before any feedback are those of the priors."""
    belief = _start(spec)
    assert tuple(belief.arms) == _ARMS, f"the arms are {belief.arms}, not {_ARMS}"
    assert belief.objectives == (), f"the objectives are {belief.objectives} before watch() and update(), not ()"
    assert np.array_equal(belief.information(), np.zeros(len(_ARMS))), "information is not 0 before any feedback"
    belief.watch(list(_PRIORS))
    assert belief.objectives == tuple(_PRIORS), f"watch({list(_PRIORS)}) gave the objectives {belief.objectives}"
    for x in _contexts(5):
        for name, (means, _) in _known(belief, x).items():
            expected = _PRIORS[name].mean
            assert expected is None or np.allclose(means, expected, rtol=1e-12, atol=1e-12), (
                f"before any feedback, the prediction of {name} is {means}, not the prior mean {expected}"
            )
            assert not belief.counts(name).any(), f"{name} was counted before any feedback"


def _check_learning(spec: BeliefSpec) -> None:
    """Check that outcomes move the mean towards themselves, reduce the standard deviation, and are counted."""
    belief = _start(spec)
    belief.watch(["quality"])
    x = _contexts(1)[0]
    for outcome in (1.0, 0.0):
        before = _known(belief, x)["quality"][0][0]
        for _ in range(20):
            belief.update("small", x, {"quality": outcome})
        after = _known(belief, x)["quality"][0][0]
        assert abs(outcome - after) < abs(outcome - before), (
            f"20 outcomes {outcome} moved the expected quality from {before:g} to {after:g}"
        )
    narrow, wide = _known(belief, x)["quality"][1][:2]
    assert narrow < wide, f"the standard deviation is {narrow:g} after 40 outcomes, and {wide:g} without any"
    assert list(belief.counts("quality")) == [40.0, 0.0, 0.0], f"40 outcomes count as {belief.counts('quality')}"
    known, unknown = belief.information()[:2]
    assert known > unknown >= 0.0, f"the information is {known:g} after 40 outcomes, and {unknown:g} without any"


def _check_watch(spec: BeliefSpec) -> None:
    """Check that another objective is appended, and does not change other predictions."""
    belief = _start(spec)
    x = _contexts(1)[0]
    order: tuple[str, ...] = ()
    for name, outcomes in (
        ("output_tokens", {"output_tokens": 100.0}),
        ("cost_usd", {"cost_usd": 0.2}),
        ("quality", {}),
    ):
        before = _known(belief, x)
        belief.watch([name, *order])
        assert belief.objectives == (*order, name), f"{name} was watched: {order} became {belief.objectives}"
        order = belief.objectives
        after = _known(belief, x)
        for known, (means, stds) in before.items():
            assert np.allclose(after[known][0], means, rtol=1e-12, atol=0.0), f"watching {name} changed {known}"
            assert np.allclose(after[known][1], stds, rtol=1e-12, atol=0.0), f"watching {name} changed {known}"
        if outcomes:
            belief.update("large", x, outcomes)
        assert belief.objectives == order, f"learning {name} turned {order} into {belief.objectives}"


def _check_inputs(spec: BeliefSpec) -> None:
    """Check that arguments stay as they were, and that results are the caller's own."""
    x, values, priors = _contexts(1)[0], {"quality": 1.0, "cost_usd": 0.1}, dict(_PRIORS)
    blob = spec.fold(None, [Observation(x, values)], dimension=_DIMENSION)
    statistics = {"small": blob, "of another router": blob}
    belief = spec.start(arms=_ARMS, dimension=_DIMENSION, priors=priors, statistics=statistics)
    belief.update("small", x, values)
    before = _known(belief, x)
    expected = {name: (means.copy(), stds.copy()) for name, (means, stds) in before.items()}
    for means, stds in before.values():
        means += 1.0
        stds += 1.0
    for name, (means, stds) in _known(belief, x).items():
        assert np.array_equal(means, expected[name][0]), f"changing a prediction changes the next: {name}"
        assert np.array_equal(stds, expected[name][1]), f"changing a prediction changes the next: {name}"
    assert np.array_equal(x, _contexts(1)[0]), "the belief changed a context"
    assert values == {"quality": 1.0, "cost_usd": 0.1}, "the belief changed the outcomes"
    assert priors == _PRIORS, "the belief changed the priors"
    assert statistics == {"small": blob, "of another router": blob}, "the belief changed the statistics"
    assert blob == spec.fold(None, [Observation(x, values)], dimension=_DIMENSION), "equal events fold into other bytes"
