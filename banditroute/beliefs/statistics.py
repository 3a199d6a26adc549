"""Sufficient statistics of one arm: the additive truth behind every linear belief.

For an arm's feedback ``(x_i, y_i)`` of one objective: ``S = sum w x x'``, ``B = sum w y x``, ``yy = sum w y^2`` and
the count ``n = sum w``, without any prior. Sums do not depend on order, so that late feedback, another process's
feedback and a replay of the log all give the same state; what is taken back has the weight -1. Objectives that were
always observed together share one ``S``; they part (each with a copy of what they shared) at the first decision that
reports one without the other.

Forgetting weighs each outcome by the age of its *decision*, ``w = 2^-((clock - t) / half_life)``, with the clock at the
latest decision so far: the weights depend on neither the order of arrival nor on how the sums were merged. The prior is
no part of the sums and never fades, so a direction without traffic returns to it.
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
_VERSION = 2  # 1 had no clock
_NOTHING = 1e-9  # of an observation: what rounding leaves of one that was taken back
_HEADER = struct.Struct("<4sHII")  # magic, version, d, length of the JSON; before the body
_CHECKSUM = struct.Struct("<I")  # crc32 of header and body; after them


class Group:
    """Objectives of one arm that were observed together: one ``S`` for all of them.

    Attributes
    ----------
    objectives
        Names, in the order of the rows of ``b``; m of them.
    n
        Number of observations, by weight.
    s : (d, d)
        ``sum w x x'``.
    b : (m, d)
        ``sum w y x``.
    yy : (m,)
        ``sum w y^2``.
    """

    __slots__ = ("b", "n", "objectives", "s", "yy")

    def __init__(self, *, objectives: tuple[str, ...], n: float, s: Vector, b: Vector, yy: Vector) -> None:
        self.objectives: tuple[str, ...] = objectives
        self.n: float = n
        self.s: Vector = s
        self.b: Vector = b
        self.yy: Vector = yy

    def split(self, observed: Iterable[str]) -> tuple[Group, Group]:
        """The part with the ``observed`` objectives and the rest, each with its own copy of ``S``."""
        chosen = set(observed)
        return self._part([name in chosen for name in self.objectives]), self._part(
            [name not in chosen for name in self.objectives]
        )

    def scale(self, factor: float) -> None:
        """Multiply every weight."""
        self.n *= factor
        self.s *= factor
        self.b *= factor
        self.yy *= factor

    def copy(self) -> Group:
        """A copy that shares no array with this."""
        return Group(objectives=self.objectives, n=self.n, s=self.s.copy(), b=self.b.copy(), yy=self.yy.copy())

    def _part(self, mask: list[bool]) -> Group:
        return Group(
            objectives=tuple(name for name, kept in zip(self.objectives, mask, strict=True) if kept),
            n=self.n,
            s=self.s.copy(),
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
        How much older a decision is that counts half, in the unit of the clock; None: nothing is forgotten.

    Attributes
    ----------
    groups
        One :class:`Group` for every set of objectives observed together. An objective never observed is in none.
    clock
        When the latest decision was made; all weights are as of then.

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
        """A copy that shares no array with this."""
        copied = ArmStatistics(dimension=self.dimension, half_life=self.half_life)
        copied.clock = self.clock
        copied.groups = [group.copy() for group in self.groups]
        return copied

    def weight(self, moment: float, now: float) -> float:
        """Return the weight at ``now`` of a decision made at ``moment``; more than 1 if it is later than ``now``."""
        return 1.0 if self.half_life is None else 2.0 ** ((moment - now) / self.half_life)

    def seat(self, objective: str) -> int:
        """Position of the group that holds an objective; -1 for one never observed."""
        for i, group in enumerate(self.groups):
            if objective in group.objectives:
                return i
        return -1

    def advance(self, now: float) -> None:
        """Let what is known age until ``now``; a clock never goes back."""
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
            When its decision was made, by the clock.
        weight
            What it counted for at that moment; -1 takes back what was added.

        Returns
        -------
        bool
            Whether the grouping of the objectives changed.
        """
        self.advance(moment)
        weight *= self.weight(moment, self.clock)
        changed = self._part(values)
        for group in self.groups:
            if group.objectives[0] in values:
                observed = [values[name] for name in group.objectives]
                group.n += weight
                add_rank_one(group.s, weight, x)
                add_rank_one(group.b, weight, np.array(observed), x)
                for j, y in enumerate(observed):
                    group.yy[j] += weight * (y * y)
        if weight < 0.0:
            changed |= self._drop_empty()
        return changed

    def merge(self, other: ArmStatistics) -> None:
        """Add all that ``other`` holds, or take it back where its weights are negative; it may age with the clock."""
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
        """Multiply every weight by ``share``, or by less where more than ``at_most`` observations would be left."""
        most = max((group.n for group in self.groups), default=0.0)
        factor = min(share, at_most / most) if most > 0.0 else share
        for group in self.groups:
            group.scale(factor)

    def _part(self, observed: Collection[str]) -> bool:
        """Split and add groups until each is observed entirely or not at all; returns whether any was."""
        before = len(self.groups)
        if before == 1 and self.groups[0].objectives == tuple(sorted(observed)):
            return False  # as nearly always
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
        """Let go of groups of which all was taken back; returns whether there were any."""
        before = len(self.groups)
        self.groups = [group for group in self.groups if abs(group.n) > _NOTHING]
        return len(self.groups) < before

    def to_bytes(self) -> bytes:
        """Little-endian raw arrays between a header with magic, version, shape and a checksum; for ``from_bytes``."""
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
    """An arm's statistics from its blob, ``None`` for an arm without any; refuses those of another dimension.

    They age by ``half_life`` from their clock on, however they aged before.
    """
    statistics = ArmStatistics(dimension=dimension) if blob is None else ArmStatistics.from_bytes(blob)
    if statistics.dimension != dimension:
        raise IncompatibleStoreError(
            f"statistics of an arm have {statistics.dimension} features, the router has {dimension}; "
            "use the featurizer they were learned with, or another router name"
        )
    statistics.half_life = half_life
    return statistics
