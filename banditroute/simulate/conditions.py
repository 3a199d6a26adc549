"""Conditions of a simulation: what a log does not show, such as late feedback, outages, and arms that come and go.

Moments of a pass are shares of its requests: ``begin=0.5`` is the middle, however long the log. All is drawn from the
seed alone, before anything is chosen: policies meet the same requests, delays, losses and noise.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.validation import flag, number
from banditroute.errors import InvalidConfigurationError
from banditroute.logs import OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import merge_objectives
from banditroute.simulate.adapter_slots import AdapterSlots

_ARRIVALS, _POPULARITY, _CHANNEL = range(1, 4)  # streams of random numbers


def _checked(where: str, value: object, high: float = np.inf) -> float:
    return number(value, name=where, low=0.0, high=high, error=InvalidConfigurationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How the feedback on one objective comes.

    Parameters
    ----------
    delay_seconds
        Mean of its delay, which is exponentially distributed; at least 0.
    loss
        Share of the outcomes that are never reported, in [0, 1].
    noise
        Standard deviation of the normal noise in what is reported, in the objective's unit; at least 0. What leaves the
        objective's range is cut off there.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.
    """

    delay_seconds: float = 0.0
    loss: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        _checked("delay_seconds", self.delay_seconds)
        _checked("loss", self.loss, high=1.0)
        _checked("noise", self.noise)

    def reports(self, values: Vector, objective: Objective, *, seed: int) -> tuple[Vector, Vector]:
        """Return the reports of outcomes ``values (n, K)``, NaN where none ever comes, and their delays ``(n,)``."""
        n = len(values)
        rng = np.random.default_rng([seed, _CHANNEL, zlib.crc32(objective.name.encode())])
        delays = self.delay_seconds * rng.exponential(size=n)
        lost = rng.random(n) < self.loss
        reported = np.clip(values + self.noise * rng.normal(size=values.shape), objective.low, objective.high)
        return np.where(lost[:, None], np.nan, reported), delays


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A part of a pass, in shares of its requests, ``0 <= begin < end <= 1``.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.
    """

    begin: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        end = _checked("end", self.end, high=1.0)
        if not _checked("begin", self.begin, high=1.0) < end:
            raise InvalidConfigurationError(f"a period begins at {self.begin} and ends at {end}; give begin < end")

    def steps(self, n: int) -> slice:
        """Return its requests, of ``n``."""
        return slice(round(self.begin * n), round(self.end * n))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage(Period):
    """Every call of ``arm`` fails: it has a quality of 0, takes nothing, and is reported as ``failed`` at once."""

    arm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence(Period):
    """The router does not have ``arm``, as before it is released or after it is switched off."""

    arm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Period):
    """A call of ``arm`` costs ``factor`` times what it did, at least 0."""

    arm: str
    factor: float

    def __post_init__(self) -> None:
        Period.__post_init__(self)
        _checked("factor", self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Popularity(Period):
    """Each request of ``task`` that is left is ``factor`` times, from 1e-6 to 1e6, as likely to be the next."""

    task: str
    factor: float

    def __post_init__(self) -> None:
        Period.__post_init__(self)
        number(self.factor, name="factor", low=1e-6, high=1e6, error=InvalidConfigurationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions of a simulation. By default a request comes every second and feedback at once.

    Parameters
    ----------
    requests_per_second
        Above 0.
    poisson
        Whether requests arrive by a Poisson process instead of regularly.
    chronological
        Whether requests come in the order of the log instead of shuffled.
    feedback
        Objective -> how its feedback comes. Other objectives and failures are reported at once. Feedback that would
        come after the last request is lost.
    outages, absences, prices, popularity
        Changes, and when they happen.
    paging
        Which arms are adapters that have to be loaded. Default: no arm.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.

    Examples
    --------
    >>> late = Conditions(feedback={"quality": Channel(delay_seconds=600, loss=0.9)})
    >>> strike = Conditions(outages=[Outage(arm="large", begin=0.4, end=0.6)], poisson=True)
    """

    requests_per_second: float = 1.0
    poisson: bool = False
    chronological: bool = False
    feedback: Mapping[str, Channel] = field(default_factory=dict)
    outages: Collection[Outage] = ()
    absences: Collection[Absence] = ()
    prices: Collection[Price] = ()
    popularity: Collection[Popularity] = ()
    paging: AdapterSlots | None = None

    def __post_init__(self) -> None:
        if _checked("requests_per_second", self.requests_per_second) == 0.0:
            raise InvalidConfigurationError("requests_per_second is 0; give a number above 0")
        for name in ("poisson", "chronological"):
            flag(getattr(self, name), name=name, error=InvalidConfigurationError)
        object.__setattr__(self, "feedback", dict(self.feedback))
        given: list[tuple[type, object]] = [(Channel, each) for each in self.feedback.values()]
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, tuple(getattr(self, name)))
            given += [(kind, each) for each in getattr(self, name)]
        if self.paging is not None:
            given.append((AdapterSlots, self.paging))
        for kind, each in given:
            if not isinstance(each, kind):
                raise InvalidConfigurationError(f"conditions have {each!r}; give {kind.__name__}(...)")

    @classmethod
    def as_logged(cls) -> Conditions:
        """Return the conditions of the log itself: a request each second, immediate feedback, no outages."""
        return cls()

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Conditions:
        """Return the conditions in tables of names and numbers, as a TOML file gives them.

        For example ``{"outages": [{"arm": "a", "end": 0.5}]}``.

        Raises
        ------
        InvalidConfigurationError
            If a name is unknown or a value is refused; it names all mistakes.
        """
        from banditroute.core.schema import Schemas

        return Schemas().read(cls, settings, source="conditions")

    def check(self, table: OutcomeTable) -> None:
        """Refuse conditions of what the table does not have.

        Raises
        ------
        InvalidConfigurationError
            For an arm, a task or an objective that is not in it.
        """
        arms = [each.arm for each in self.outages] + [each.arm for each in self.absences]
        if self.paging is not None and isinstance(self.paging.load_seconds, Mapping):
            arms += self.paging.load_seconds
        named = [(arm, table.arms) for arm in [*arms, *(each.arm for each in self.prices)]]
        named += [(each.task, table.tasks) for each in self.popularity]
        named += [(name, tuple(table.outcomes)) for name in (*self.feedback, *(["cost_usd"] if self.prices else []))]
        for name, among in named:
            if name not in among:
                known = ", ".join(sorted(set(among))[:20])
                raise InvalidConfigurationError(f"conditions name {name!r}, which is not in the log; there are {known}")

    def order(self, tasks: Sequence[str], *, seed: int, warm: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the ``warm`` rows that are known before, and the others in the order in which they come.

        Every row comes once.
        """
        rows = np.arange(len(tasks)) if self.chronological else np.random.default_rng(seed).permutation(len(tasks))
        known, rows = rows[:warm], rows[warm:]
        return known, rows[self._popular(np.array(tasks)[rows], seed=seed)]

    def _popular(self, tasks: NDArray[np.str_], *, seed: int) -> NDArray[np.intp]:
        n = len(tasks)
        left = np.arange(n)
        if not self.popularity:
            return left
        rng = np.random.default_rng([seed, _POPULARITY])
        periods = [each.steps(n) for each in self.popularity]
        edges = sorted({0, n, *(each.start for each in periods), *(each.stop for each in periods)})
        order = []
        for begin, end in pairwise(edges):
            weight = np.ones(len(left))
            for each, period in zip(self.popularity, periods, strict=True):
                if period.start <= begin < period.stop:
                    weight[tasks[left] == each.task] *= each.factor
            drawn = rng.choice(len(left), size=end - begin, replace=False, p=weight / weight.sum())
            order.append(left[drawn])
            left = np.delete(left, drawn)
        return np.concatenate(order)

    def arrivals(self, n: int, *, seed: int) -> Vector:
        """Return when each of ``n`` requests comes ``(n,)``, in seconds from the start."""
        if not self.poisson:
            return np.arange(1, n + 1) / self.requests_per_second
        return np.random.default_rng([seed, _ARRIVALS]).exponential(1.0 / self.requests_per_second, n).cumsum()

    def there(self, n: int, arms: Collection[str]) -> NDArray[np.bool_]:
        """Return whether each of K ``arms`` is available at each of ``n`` requests ``(n, K)``."""
        return ~_mask(self.absences, n, arms)

    def failing(self, n: int, arms: Collection[str]) -> NDArray[np.bool_]:
        """Return whether a call of each of K ``arms`` fails at each of ``n`` requests ``(n, K)``."""
        return _mask(self.outages, n, arms)

    def met(self, table: OutcomeTable, rows: NDArray[np.intp]) -> OutcomeTable:
        """Return the outcomes of each arm at each request, row by row; unknown where an arm is not there.

        Examples
        --------
        >>> table = OutcomeTable(name="toy", prompts=("", ""), tasks=("", ""), arms=("a",), outcomes={
        ...     "quality": np.array([[0.5], [1.0]]), "cost_usd": np.array([[0.01], [0.02]])})
        >>> conditions = Conditions(outages=[Outage(arm="a", end=0.5)], prices=[Price(arm="a", factor=2.0)])
        >>> conditions.met(table, np.array([1, 0])).outcomes["cost_usd"]
        array([[0.  ], [0.02]])
        """
        n, standard = len(rows), merge_objectives([])
        outcomes = {name: values[rows] for name, values in table.outcomes.items()}
        for each in self.prices:
            outcomes["cost_usd"][each.steps(n), table.arms.index(each.arm)] *= each.factor
        failing = self.failing(n, table.arms) & ~np.isnan(outcomes["quality"])
        gone = ~self.there(n, table.arms)
        for name, values in outcomes.items():
            values[failing] = 0.0 if name in standard else np.nan
            values[gone] = np.nan
        return replace(
            table,
            prompts=tuple(table.prompts[row] for row in rows),
            tasks=tuple(table.tasks[row] for row in rows),
            outcomes=outcomes,
        )


def _mask(periods: Collection[Outage | Absence], n: int, arms: Collection[str]) -> NDArray[np.bool_]:
    mask = np.zeros((n, len(arms)), dtype=bool)
    for each in periods:
        mask[each.steps(n), list(arms).index(each.arm)] = True
    return mask


_KINDS: dict[str, type] = {"outages": Outage, "absences": Absence, "prices": Price, "popularity": Popularity}
