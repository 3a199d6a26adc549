"""Sufficient statistics of one arm: the additive truth behind every linear belief.

For an arm's feedback ``(x_i, y_i)`` of one objective: ``S = sum x x'``, ``B = sum y x``, ``yy = sum y^2`` and
the count ``n``, without any prior. Sums do not depend on order, so that late feedback, another process's feedback and
a replay of the log all give the same state. Objectives that were always observed together share one ``S``; they part
(each with a copy of what they shared) at the first decision that reports one without the other.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from banditroute.errors import IncompatibleStoreError
from banditroute.types import Vector

_MAGIC = b"BRST"
_VERSION = 1
_HEADER = struct.Struct("<4sHII")  # magic, version, d, length of the JSON; before the body
_CHECKSUM = struct.Struct("<I")  # crc32 of header and body; after them


class Group:
    """Objectives of one arm that were observed together: one ``S`` for all of them.

    Attributes
    ----------
    objectives
        Names, in the order of the rows of ``b``; m of them.
    n
        Number of observations.
    s : (d, d)
        ``sum x x'``.
    b : (m, d)
        ``sum y x``.
    yy : (m,)
        ``sum y^2``.
    """

    __slots__ = ("b", "n", "objectives", "s", "yy")

    def __init__(self, *, objectives: tuple[str, ...], n: int, s: Vector, b: Vector, yy: Vector) -> None:
        self.objectives = objectives
        self.n = n
        self.s = s
        self.b = b
        self.yy = yy

    def split(self, observed: Iterable[str]) -> tuple[Group, Group]:
        """The part with the ``observed`` objectives and the rest, each with its own copy of ``S``."""
        chosen = set(observed)
        return self._part([name in chosen for name in self.objectives]), self._part(
            [name not in chosen for name in self.objectives]
        )

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

    Attributes
    ----------
    groups
        One :class:`Group` for every set of objectives observed together. An objective never observed is in none.

    Examples
    --------
    >>> statistics = ArmStatistics(dimension=2)
    >>> _ = statistics.add(np.array([2.0, 1.0]), {"quality": 0.5})
    >>> statistics.groups[0].b
    array([[1. , 0.5]])
    """

    __slots__ = ("dimension", "groups")

    def __init__(self, *, dimension: int) -> None:
        self.dimension = dimension
        self.groups: list[Group] = []

    def add(self, x: Vector, values: Mapping[str, float], *, sign: int = 1) -> bool:
        """Add one observation of the objectives in ``values`` at context ``x (d,)``; with ``sign`` -1, take it back.

        Returns
        -------
        bool
            Whether the grouping of the objectives changed.
        """
        known = 0
        changed = False
        signed = x if sign == 1 else -x
        for group in self.groups[:]:
            observed = [name for name in group.objectives if name in values]
            if not observed:
                continue
            known += len(observed)
            target = group
            if len(observed) < len(group.objectives):
                target, rest = group.split(observed)
                self.groups[self.groups.index(group)] = target
                self.groups.append(rest)
                changed = True
            y = np.array([values[name] for name in target.objectives])
            target.n += sign
            target.s += np.multiply.outer(signed, x)
            target.b += np.multiply.outer(y, signed)
            target.yy += sign * y * y
            if target.n == 0:  # nothing of it is left but rounding
                self.groups.remove(target)
                changed = True
        if known < len(values):
            held = {name for group in self.groups for name in group.objectives}
            names = tuple(sorted(name for name in values if name not in held))
            y = np.array([values[name] for name in names])
            self.groups.append(
                Group(
                    objectives=names,
                    n=sign,
                    s=np.multiply.outer(signed, x),
                    b=np.multiply.outer(y, signed),
                    yy=sign * y * y,
                )
            )
            changed = True
        return changed

    def to_bytes(self) -> bytes:
        """Little-endian raw arrays between a header with magic, version, shape and a checksum; for ``from_bytes``."""
        upper = np.triu_indices(self.dimension)
        meta = json.dumps([{"objectives": g.objectives, "n": g.n} for g in self.groups]).encode()
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
        for entry in json.loads(body[:length]):
            names = tuple(entry["objectives"])
            m, triangle = len(names), len(upper[0])
            s = np.zeros((dimension, dimension))
            s[upper] = numbers[at : at + triangle]
            s.T[upper] = s[upper]
            at += triangle
            b = numbers[at : at + m * dimension].reshape(m, dimension).copy()
            at += m * dimension
            statistics.groups.append(
                Group(objectives=names, n=int(entry["n"]), s=s, b=b, yy=numbers[at : at + m].copy())
            )
            at += m
        return statistics


_REMEDY = "restore the database from a backup, or start a new one"


def load(blob: bytes | None, *, dimension: int) -> ArmStatistics:
    """An arm's statistics from its blob, ``None`` for an arm without any; refuses those of another dimension."""
    if blob is None:
        return ArmStatistics(dimension=dimension)
    statistics = ArmStatistics.from_bytes(blob)
    if statistics.dimension != dimension:
        raise IncompatibleStoreError(
            f"statistics of an arm have {statistics.dimension} features, the router has {dimension}; "
            "use the featurizer they were learned with, or another router name"
        )
    return statistics


def fold(
    blob: bytes | None,
    events: Iterable[tuple[Vector, Mapping[str, float]]],
    *,
    dimension: int,
    removed: Iterable[tuple[Vector, Mapping[str, float]]] = (),
) -> bytes:
    """An arm's blob with ``events`` (context, outcomes) added, and ``removed`` taken back; ``None`` is an arm without.

    Examples
    --------
    >>> blob = fold(None, [(np.array([2.0, 1.0]), {"quality": 0.5})], dimension=2)
    >>> ArmStatistics.from_bytes(fold(blob, [(np.array([0.0, 1.0]), {"quality": 1.0})], dimension=2)).groups[0].n
    2
    """
    statistics = load(blob, dimension=dimension)
    for x, values in events:
        statistics.add(x, values)
    for x, values in removed:
        statistics.add(x, values, sign=-1)
    return statistics.to_bytes()
