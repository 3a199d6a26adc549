"""One log of arrays from tables of our own form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.readers.canonical import encoded, entries, flat
from banditroute.store.outcomes import objective_of

if TYPE_CHECKING:
    import pyarrow

_MOST_CELLS = 2**31
"""Of decisions times arms; more is a mistake in the column of arms."""

_MOST_OBJECTIVES = 1000

_Cells = tuple[NDArray[np.bool_], Vector]


class Assembly:
    """A log of decisions in the making, table by table.

    Parameters
    ----------
    name
        The log's name in messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._positions: dict[str, int] = {}  # of arms, in the order of their appearance
        self._routers: set[str] = set()
        self._n = 0
        self._columns: dict[str, list[NDArray[Any]]] = {"chosen": [], "propensity": [], "decided_at": []}
        self._texts: dict[str, list[str]] = {"prompt": [], "session": [], "task": []}
        self._outcomes: dict[str, list[tuple[NDArray[np.intp], Vector]]] = {}
        self._cells: list[_Cells] = []
        self._contexts: dict[tuple[str | None, int], _Contexts] = {}  # by features version and length

    def add(self, table: pyarrow.Table) -> None:
        """Add checked rows.

        Raises
        ------
        InvalidInputError
            If there are several routers, or too many arms or objectives.
        """
        if not len(table):
            return
        self._routers.update(table["router"].unique().drop_null().to_pylist())
        if len(self._routers) > 1:
            raise InvalidInputError(
                f"{self._name} has decisions of several routers, {', '.join(sorted(self._routers))}; name one of them "
                "with router="
            )
        for name in ("propensity", "decided_at"):
            self._columns[name].append(table[name].to_numpy())
        for name, values in self._texts.items():
            texts, codes = encoded(table[name])
            texts.append("")  # of a row without one, whose code is -1
            values.extend(texts[code] for code in codes.tolist())
        self._columns["chosen"].append(self._codes(table["arm"]))
        self._cells.append(self._matrices(table))
        self._add_outcomes(table)
        self._add_contexts(table)
        self._n += len(table)

    def log(self, skipped: Mapping[str, int]) -> DecisionLog:
        """Return the log of all rows that were added.

        Raises
        ------
        InvalidInputError
            If no rows were added.
        """
        if not self._n:
            left_out = f"; {sum(skipped.values()):,} rows were left out" if skipped else ""
            raise InvalidInputError(f"{self._name} has no rows that can be used{left_out}")
        arms = tuple(sorted(self._positions))
        order = np.empty(len(arms), dtype=np.intp)
        order[[self._positions[arm] for arm in arms]] = np.arange(len(arms))
        eligible, probabilities = self._all_cells(order)
        propensities = np.concatenate(self._columns["propensity"])
        texts = {name: tuple(values) if any(values) else None for name, values in self._texts.items()}
        return DecisionLog(
            arms=arms,
            chosen=order[np.concatenate(self._columns["chosen"])],
            eligible=eligible,
            propensities=None if np.isnan(propensities).all() else propensities,
            probabilities=probabilities,
            contexts=self._all_contexts(),
            prompts=texts["prompt"],
            sessions=texts["session"],
            tasks=texts["task"],
            outcomes={name: _scattered(self._n, parts) for name, parts in sorted(self._outcomes.items())},
            decided_at=np.concatenate(self._columns["decided_at"]),
            skipped=dict(skipped),
        )

    def _add_outcomes(self, table: pyarrow.Table) -> None:
        parents, keys, values = entries(table["outcomes"])
        names, codes = np.unique(keys.astype(str), return_inverse=True)
        objectives = [objective_of(name) for name in names.tolist()]
        if len({*self._outcomes, *objectives} - {None}) > _MOST_OBJECTIVES:
            raise InvalidInputError(
                f"{self._name} has more than {_MOST_OBJECTIVES:,} different objectives; are their names the right ones?"
            )
        # A decision's own outcome comes last, and so before its session's.
        for code in sorted(range(len(names)), key=lambda code: names[code] == objectives[code]):
            if (objective := objectives[code]) is not None:
                here = codes == code
                self._outcomes.setdefault(objective, []).append((parents[here] + self._n, values[here]))

    def _codes(self, names: pyarrow.ChunkedArray) -> NDArray[np.intp]:
        distinct, codes = encoded(names)
        positions = [self._positions.setdefault(name, len(self._positions)) for name in distinct]
        return np.array(positions, dtype=np.intp)[codes]

    def _matrices(self, table: pyarrow.Table) -> _Cells:
        """Return eligibility and probabilities ``(n, K so far)`` of some rows."""
        n = len(table)
        parents, arms = flat(table["arms"])
        codes = self._codes(arms)
        if (self._n + n) * len(self._positions) > _MOST_CELLS:
            raise InvalidInputError(
                f"{self._name} has {len(self._positions):,} different arms in {self._n + n:,} decisions; is the column "
                "of arms the right one?"
            )
        eligible = np.zeros((n, len(self._positions)), dtype=bool)
        eligible[parents, codes] = True
        at, values = flat(table["probabilities"])
        given = np.asarray(table["probabilities"].is_valid())
        if not given.any():
            return eligible, np.empty((n, 0))
        probabilities = np.zeros(eligible.shape)
        probabilities[~given] = np.nan
        probabilities[at, codes[given[parents]]] = values.to_numpy()
        return eligible, probabilities

    def _all_cells(self, order: NDArray[np.intp]) -> tuple[NDArray[np.bool_], Vector | None]:
        """Return both for all rows; where a row does not name its arms, all were eligible."""
        k = len(order)
        eligible = np.zeros((self._n, k), dtype=bool)
        given = any(probabilities.size for _, probabilities in self._cells)
        all_probabilities = np.zeros((self._n, k)) if given else None
        begin = 0  # each part is freed as soon as it is copied
        while self._cells:
            flags, probabilities = self._cells.pop(0)
            rows = slice(begin, begin + len(flags))
            begin += len(flags)
            eligible[rows, order[: flags.shape[1]]] = flags
            if all_probabilities is not None:
                all_probabilities[rows, order[: probabilities.shape[1]]] = probabilities
                if not probabilities.size:
                    all_probabilities[rows] = np.nan
        eligible[~eligible.any(axis=1)] = True
        if all_probabilities is not None:  # also for arms that came up later
            all_probabilities[np.isnan(all_probabilities).any(axis=1)] = np.nan
        return eligible, all_probabilities

    def _add_contexts(self, table: pyarrow.Table) -> None:
        parents, x = flat(table["x"])
        lengths = np.bincount(parents, minlength=len(table))
        versions, codes = encoded(table["features_version"])
        for code, d in dict.fromkeys(zip(codes.tolist(), lengths.tolist(), strict=True)):
            if d:
                of_these = (codes == code) & (lengths == d)
                key = (versions[code] if code >= 0 else None, d)
                rows = x.to_numpy()[of_these[parents]].reshape(-1, d)
                self._contexts.setdefault(key, _Contexts(d)).add(self._n + np.flatnonzero(of_these), rows)

    def _all_contexts(self) -> Vector | None:
        """Return the contexts in the features of the last row that has any; NaN in the other rows."""
        if not self._contexts:
            return None
        last = max(self._contexts.values(), key=lambda each: int(each.at[-1][-1]))
        values, at = last.all()
        if len(values) == self._n:
            return values
        contexts = np.full((self._n, values.shape[1]), np.nan)
        contexts[at] = values
        return contexts


class _Contexts:
    """Contexts of one length, in an array that grows in place: there may be no room for a copy."""

    def __init__(self, d: int) -> None:
        self.at: list[NDArray[np.intp]] = []  # the rows that they belong to
        self._values = np.empty((0, d))
        self._n = 0

    def add(self, at: NDArray[np.intp], values: Vector) -> None:
        begin, self._n = self._n, self._n + len(values)
        if self._n > len(self._values):
            self._resize(max(self._n, len(self._values) * 5 // 4))
        self._values[begin : self._n] = values
        self.at.append(at)

    def all(self) -> tuple[Vector, NDArray[np.intp]]:
        self._resize(self._n)
        return self._values, np.concatenate(self.at)

    def _resize(self, n: int) -> None:
        self._values.resize((n, self._values.shape[1]), refcheck=False)


def _scattered(n: int, parts: Iterable[tuple[NDArray[np.intp], Vector]]) -> Vector:
    values = np.full(n, np.nan)
    for at, some in parts:
        values[at] = some
    return values
