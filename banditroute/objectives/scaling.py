"""Weights per standard deviation, for users who cannot price a joule.

A scale turns the weights into exchange rates at the moment of each decision. Beliefs are in the objectives' own units
and know nothing of it: a scale that moves touches nothing that was learned, and the decision keeps the rates it used.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from banditroute.core.preference import Preference
from banditroute.core.state import StateSlot
from banditroute.core.validation import LARGEST, mapping_copy, number, plain_numbers
from banditroute.errors import InvalidConfigurationError
from banditroute.objectives.objective import Objective

_SAMPLE = 64  # outcomes of each arm and objective that are kept
_MEMORY = 1024  # outcomes over which the sample is drawn, so that it follows what changes
_MIN_OUTCOMES = 8  # before a scale is used


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Weights of objectives in units of their scale: ``Scaled(weights={"quality": 0.6, "energy_joules": 0.4})``.

    An objective with a range, such as quality, is measured by it. Any other is measured by the interquartile range of
    what was reported, in which every arm counts the same however much traffic it has: outliers do not move it, nor does
    where the router sends its requests. An objective of which fewer than 8 outcomes are known is left out.

    Parameters
    ----------
    weights
        Objective -> weight, as in :class:`banditroute.Preference`.
    reference
        Objective -> its scale, above 0 in its own unit, in place of the one of its reported outcomes. Needed for a
        cost that is only computed from tokens, never reported.

    Raises
    ------
    InvalidConfigurationError
        If the weights make no preference, or a reference is not above 0.

    Examples
    --------
    >>> scaled = Scaled(weights={"quality": 0.6, "energy_joules": 0.4}, reference={"energy_joules": 50.0})
    """

    weights: Mapping[str, float]
    reference: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain_numbers(self)
        given, error = self.weights, InvalidConfigurationError
        if not isinstance(given, Preference):
            given = Preference(**mapping_copy(given, name="weights", example="{'quality': 1.0}", error=error))
        object.__setattr__(self, "weights", given)
        reference = mapping_copy(self.reference, name="reference", example="{'cost_usd': 0.01}", error=error)
        object.__setattr__(self, "reference", reference)
        for name, std in self.reference.items():
            if number(std, name=f"reference of {name!r}", low=0.0, error=InvalidConfigurationError) == 0.0:
                raise InvalidConfigurationError(f"reference of {name!r} is 0; give a number above 0")


class Scales:
    """The scale of each objective, from a sample of the outcomes of each arm. Not thread-safe.

    Parameters
    ----------
    objectives
        By name; those with a range keep it.
    slot
        Where the samples are kept.

    Examples
    --------
    >>> watts = Objective(name="watts", higher_is_better=False)
    >>> scales = Scales(objectives={"watts": watts}, slot=StateSlot(name="scales"))
    >>> scales.set_arms(["a"])
    >>> for value in range(8):
    ...     scales.add("a", {"watts": float(value)})
    >>> scales.rates(Scaled(weights={"watts": 1.0}))  # the quartiles are 1 and 5
    Preference(watts=0.25)
    """

    def __init__(
        self,
        *,
        objectives: Mapping[str, Objective],
        slot: StateSlot,
    ) -> None:
        self._slot = slot
        self._random = random.Random(0)
        self._used = False
        widths = {name: objective.high - objective.low for name, objective in objectives.items()}
        self._scales = {name: width for name, width in widths.items() if math.isfinite(width)}
        sampled = [name for name in widths if name not in self._scales]
        self._samples = slot.load(lambda stored: _samples(stored, sampled))
        self._arms: Sequence[str] = ()

    def set_arms(self, arms: Sequence[str]) -> None:
        """Count the outcomes of these arms from now on; those of others are kept."""
        self._arms = arms
        for name in self._samples:
            self._measure(name)

    def add(self, arm: str, values: Mapping[str, float]) -> None:
        """Add the outcomes ``values`` of ``arm``."""
        for name in values.keys() & self._samples.keys():
            samples = self._samples[name]
            samples.setdefault(arm, _Sample()).add(values[name], self._random)
            seen = sum(sample.seen for sample in samples.values())
            if seen % min(1 + seen // 16, _SAMPLE) == 0:
                self._measure(name)
                if self._used:
                    self._slot.save(self._to_bytes())

    def rates(self, scaled: Scaled) -> Preference:
        """Return the present exchange rates of the weights: weight over scale."""
        self._used = True
        stds = {**self._scales, **scaled.reference}
        weights = scaled.weights.items()
        weights_within = scaled.weights.within if isinstance(scaled.weights, Preference) else None
        known = {name: min(weight / stds[name], LARGEST) for name, weight in weights if name in stds}
        chosen = known if any(known.values()) else dict(scaled.weights)
        return Preference(within=weights_within, **chosen)

    def _measure(self, name: str) -> None:
        held = self._samples[name]
        samples = [held[arm].values for arm in self._arms if arm in held and held[arm].values]
        if sum(map(len, samples)) >= _MIN_OUTCOMES and (std := interquartile_range(samples)) > 0.0:
            self._scales[name] = std

    def _to_bytes(self) -> bytes:
        kept = {
            name: {arm: (sample.values, sample.seen) for arm, sample in samples.items()}
            for name, samples in self._samples.items()
        }
        return json.dumps(kept).encode()


@dataclass(slots=True)
class _Sample:
    """Some of an arm's outcomes: each of the last thousand or so has an equal chance to be among them."""

    values: list[float] = field(default_factory=list)
    seen: int = 0

    def add(self, value: float, chance: random.Random) -> None:
        self.seen += 1
        if len(self.values) < _SAMPLE:
            self.values.append(value)
        else:
            at = chance.randrange(min(self.seen, _MEMORY))
            if at < _SAMPLE:
                self.values[at] = value


def _samples(stored: bytes | None, names: Sequence[str]) -> dict[str, dict[str, _Sample]]:
    kept = json.loads(stored or b"{}")
    return {name: {arm: _Sample(*sample) for arm, sample in kept.get(name, {}).items()} for name in names}


def interquartile_range(samples: Sequence[Sequence[float]]) -> float:
    """Return third less first quartile of a mixture of samples of equal weight; without any, the whole range.

    Examples
    --------
    >>> interquartile_range([[1.0, 2.0, 3.0, 4.0], [10.0]])  # half of the weight is on 10
    8.0
    """
    values = np.concatenate(samples)
    order = np.argsort(values)
    weight = np.concatenate([np.full(len(sample), 1.0 / len(sample)) for sample in samples])[order].cumsum()
    first, third = values[order][np.searchsorted(weight, np.array([0.25, 0.75]) * len(samples))]
    return float(third - first or np.ptp(values))
