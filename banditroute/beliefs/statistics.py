"""Sufficient statistics of one arm: the sums from which every linear belief is computed.

The statistics of feedback ``(x_i, y_i)`` of one objective are ``S = sum w x x'``, ``B = sum w y x``,
``yy = sum w y^2`` and the count ``n = sum w``. They hold no prior. Sums do not depend on order: late feedback, feedback
of another process and a replay of the log all give the same state. An outcome is subtracted with the weight -1.

Objectives that were always observed together share one ``S``. The first decision that reports one without the other
splits them, and each gets a copy.

Forgetting weighs each outcome by the age of its *decision*, ``w = 2^-((clock - t) / half_life)``. The clock stands at
the latest decision so far, so the weights depend neither on the order of arrival nor on how sums were merged. The prior
is not part of the sums and never fades. A direction without traffic therefore returns to the prior.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from banditroute.beliefs.algebra import add_rank_one
from banditroute.core.arrays import Vector
from banditroute.errors import IncompatibleStoreError

_MAGIC = b"BRST"
_VERSION = 2  # of the format; version 1 had no clock
_ZERO_OBSERVATIONS = 1e-9  # a smaller weight is rounding error, left over when an observation was subtracted
_HEADER = struct.Struct("<4sHII")  # magic, version, d, length of the JSON; before the body
_CHECKSUM = struct.Struct("<I")  # crc32 of header and body; after them


class Group:
    """The statistics of objectives that were observed together: they share one ``S``.

    One array holds all sums, ``sum w z z'`` of ``z = (x, y, 1)``. So one call of BLAS adds an observation: a signal
    handler that raises finds it added entirely or not at all.

    Attributes
    ----------
    objectives
        Names, in the order of the rows of ``b``; m of them.
    names
        The same as a set, which compares fast with the keys of a mapping.
    n
        Number of observations, by weight.
    s : (d, d)
        ``sum w x x'``.
    b : (m, d)
        ``sum w y x``.
    yy : (m,)
        ``sum w y^2``.
    """

    __slots__ = ("_sums", "b", "names", "objectives", "s", "yy")

    def __init__(self, *, objectives: tuple[str, ...], n: float, s: Vector, b: Vector, yy: Vector) -> None:
        self._hold(objectives, np.zeros((len(s) + len(b) + 1,) * 2))
        self.n = n
        self.s[:], self.b[:], self.yy[:] = s, b, yy

    def _hold(self, objectives: tuple[str, ...], sums: Vector) -> None:
        d = len(sums) - len(objectives) - 1
        self.objectives: tuple[str, ...] = objectives
        self.names: frozenset[str] = frozenset(objectives)
        self._sums = sums
        self.s: Vector = sums[:d, :d]
        self.b: Vector = sums[d:-1, :d]
        self.yy: Vector = np.einsum("jj->j", sums)[d:-1]

    @property
    def n(self) -> float:
        """Number of observations, by weight."""
        return float(self._sums[-1, -1])

    @n.setter
    def n(self, weight: float) -> None:
        self._sums[-1, -1] = weight

    def add(self, x: Vector, values: Mapping[str, float], weight: float) -> None:
        """Add an observation of all objectives of the group, in one step."""
        z = np.empty(len(self._sums))
        z[: len(x)], z[-1] = x, 1.0
        for i, name in enumerate(self.objectives, len(x)):
            z[i] = values[name]
        add_rank_one(self._sums, weight, z)

    def split(self, observed: Iterable[str]) -> tuple[Group, Group]:
        """Return a group of the ``observed`` objectives and one of the others, each with its own copy of ``S``."""
        chosen = set(observed)
        return self._part([name in chosen for name in self.objectives]), self._part(
            [name not in chosen for name in self.objectives]
        )

    def scale(self, factor: float) -> None:
        """Multiply every weight by ``factor``."""
        self._sums *= factor

    def copy(self) -> Group:
        """Return a copy that shares no array with this group."""
        copied = Group.__new__(Group)
        copied._hold(self.objectives, self._sums.copy())
        return copied

    def _part(self, mask: list[bool]) -> Group:
        return Group(
            objectives=tuple(name for name, kept in zip(self.objectives, mask, strict=True) if kept),
            n=self.n,
            s=self.s,
            b=self.b[mask],
            yy=self.yy[mask],
        )


class ArmStatistics:
    """All statistics of one arm.

    Parameters
    ----------
    dimension
        d, the length of the context with its bias.
    half_life
        Age at which a decision counts half, in the unit of the clock; None: never forget.

    Attributes
    ----------
    groups
        One :class:`Group` for every set of objectives observed together; only observed objectives have a group.
    clock
        Moment of the latest decision; all weights refer to it.

    Examples
    --------
    >>> statistics = ArmStatistics(dimension=2)
    >>> _ = statistics.add(np.array([2.0, 1.0]), {"quality": 0.5})
    >>> statistics.groups[0].b
    array([[1. , 0.5]])
    """

    __slots__ = ("clock", "dimension", "groups", "half_life")

    def __init__(self, *, dimension: int, half_life: float | None = None) -> None:
        self.dimension: int = dimension
        self.half_life: float | None = half_life
        self.clock: float = 0.0
        self.groups: list[Group] = []

    def copy(self) -> ArmStatistics:
        """Return a copy that shares no array with this object."""
        copied = ArmStatistics(dimension=self.dimension, half_life=self.half_life)
        copied.clock = self.clock
        copied.groups = [group.copy() for group in self.groups]
        return copied

    def weight(self, moment: float, now: float) -> float:
        """Return the weight at ``now`` of a decision made at ``moment``; above 1 if ``moment`` is later."""
        return 1.0 if self.half_life is None else 2.0 ** ((moment - now) / self.half_life)

    def group_position(self, objective: str) -> int:
        """Return the position of the group that holds an objective, or -1 if it was never observed."""
        for i, group in enumerate(self.groups):
            if objective in group.objectives:
                return i
        return -1

    def advance(self, now: float) -> None:
        """Age all weights to the moment ``now``; the clock never goes back."""
        if now > self.clock:
            faded = self.weight(self.clock, now)
            if faded != 1.0:
                for group in self.groups:
                    group.scale(faded)
            self.clock = now

    def add(self, x: Vector, values: Mapping[str, float], *, moment: float = 0.0, weight: float = 1.0) -> bool:
        """Add one observation of the objectives in ``values`` at context ``x (d,)``.

        Parameters
        ----------
        moment
            Moment of the decision on the clock.
        weight
            Weight of the observation at that moment; -1 subtracts what was added.

        Returns
        -------
        bool
            True if the grouping of the objectives changed.
        """
        self.advance(moment)
        weight *= self.weight(moment, self.clock)
        changed = self._part(values)
        for group in self.groups:
            if group.objectives[0] in values:
                group.add(x, values, weight)
        if weight < 0.0:
            changed |= self._drop_empty()
        return changed

    def add_in_one_step(self, x: Vector, values: Mapping[str, float], weight: float) -> bool:
        """Add an observation by a single step that nothing can interrupt; return False if ``add`` takes more steps."""
        if self.half_life is None and weight > 0.0:
            for group in self.groups:
                if group.names == values.keys():
                    group.add(x, values, weight)
                    return True
        return False

    def merge(self, other: ArmStatistics) -> None:
        """Add the sums of ``other``, whose weights may be negative; this may advance the clock of either."""
        self.advance(other.clock)
        other.advance(self.clock)
        for theirs in other.groups:
            self._part(theirs.objectives)
            for group in self.groups:
                rows = [theirs.objectives.index(name) for name in group.objectives if name in theirs.objectives]
                if rows:
                    group.n += theirs.n
                    group.s += theirs.s
                    group.b += theirs.b[rows]
                    group.yy += theirs.yy[rows]
        if any(theirs.n < 0.0 for theirs in other.groups):
            self._drop_empty()

    def scale(self, share: float, *, at_most: float = math.inf) -> None:
        """Multiply every weight by ``share``, or by less if more than ``at_most`` observations would remain."""
        most = max((group.n for group in self.groups), default=0.0)
        factor = min(share, at_most / most) if most > 0.0 else share
        for group in self.groups:
            group.scale(factor)

    def _part(self, observed: Collection[str]) -> bool:
        """Split and add groups until each is observed entirely or not at all; return True if the groups changed."""
        before = len(self.groups)
        if before == 1 and self.groups[0].objectives == tuple(sorted(observed)):
            return False  # the usual case
        held = {name for group in self.groups for name in group.objectives}
        for i, group in enumerate(self.groups[:]):
            count = sum(name in observed for name in group.objectives)
            if 0 < count < len(group.objectives):
                self.groups[i], rest = group.split(observed)
                self.groups.append(rest)
        new = tuple(sorted(name for name in observed if name not in held))
        if new:
            d, m = self.dimension, len(new)
            self.groups.append(Group(objectives=new, n=0.0, s=np.zeros((d, d)), b=np.zeros((m, d)), yy=np.zeros(m)))
        return len(self.groups) > before

    def _drop_empty(self) -> bool:
        """Remove groups whose observations were all subtracted; return True if there were any."""
        before = len(self.groups)
        self.groups = [group for group in self.groups if abs(group.n) > _ZERO_OBSERVATIONS]
        return len(self.groups) < before

    def to_bytes(self) -> bytes:
        """Return bytes for ``from_bytes``: a header with magic, version and shape, little-endian arrays, a checksum."""
        upper = np.triu_indices(self.dimension)
        groups = [{"objectives": g.objectives, "n": g.n} for g in self.groups]
        meta = json.dumps({"clock": self.clock, "groups": groups}).encode()
        arrays = [
            np.ascontiguousarray(part, dtype="<f8").tobytes() for g in self.groups for part in (g.s[upper], g.b, g.yy)
        ]
        content = _HEADER.pack(_MAGIC, _VERSION, self.dimension, len(meta)) + meta + b"".join(arrays)
        return content + _CHECKSUM.pack(zlib.crc32(content))

    @classmethod
    def from_bytes(cls, blob: bytes) -> ArmStatistics:
        """Read what ``to_bytes`` wrote, exactly.

        Raises
        ------
        IncompatibleStoreError
            If the blob is damaged or of a newer version.
        """
        if len(blob) < _HEADER.size + _CHECKSUM.size or blob[:4] != _MAGIC:
            raise IncompatibleStoreError(f"these {len(blob)} bytes are not statistics of an arm; {_REMEDY}")
        _, version, dimension, length = _HEADER.unpack_from(blob)
        if version > _VERSION:
            raise IncompatibleStoreError(
                f"statistics of version {version}, this banditroute reads up to {_VERSION}; upgrade banditroute"
            )
        content = blob[: -_CHECKSUM.size]
        if _CHECKSUM.pack(zlib.crc32(content)) != blob[-_CHECKSUM.size :]:
            raise IncompatibleStoreError(f"statistics of an arm are damaged (checksum differs); {_REMEDY}")
        body = content[_HEADER.size :]
        statistics = cls(dimension=dimension)
        numbers = np.frombuffer(body, dtype="<f8", offset=length).astype(np.float64)
        upper = np.triu_indices(dimension)
        at = 0
        meta = json.loads(body[:length])
        if version > 1:
            statistics.clock = meta["clock"]
            meta = meta["groups"]
        for entry in meta:
            names = tuple(entry["objectives"])
            m, triangle = len(names), len(upper[0])
            s = np.zeros((dimension, dimension))
            s[upper] = numbers[at : at + triangle]
            s.T[upper] = s[upper]
            at += triangle
            b = numbers[at : at + m * dimension].reshape(m, dimension).copy()
            at += m * dimension
            statistics.groups.append(
                Group(objectives=names, n=float(entry["n"]), s=s, b=b, yy=numbers[at : at + m].copy())
            )
            at += m
        return statistics


_REMEDY = "restore the database from a backup, or start a new one"


def load(blob: bytes | None, *, dimension: int, half_life: float | None = None) -> ArmStatistics:
    """Return an arm's statistics from its blob; None gives empty statistics.

    They age with ``half_life`` from now on, whatever half-life they had before.

    Raises
    ------
    IncompatibleStoreError
        If the blob is damaged, of a newer version or of another dimension.
    """
    statistics = ArmStatistics(dimension=dimension) if blob is None else ArmStatistics.from_bytes(blob)
    if statistics.dimension != dimension:
        raise IncompatibleStoreError(
            f"statistics of an arm have {statistics.dimension} features, the router has {dimension}; "
            "use the featurizer they were learned with, or another router name"
        )
    statistics.half_life = half_life
    return statistics
