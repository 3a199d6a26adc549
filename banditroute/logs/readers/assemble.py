"""One log of arrays from tables of our own form."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import RowsInParts, blocks, give_back, large_array, rows_of
from banditroute.errors import InvalidInputError
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.readers.canonical import encoded, entries, flat
from banditroute.store.outcomes import objective_of, precedence

if TYPE_CHECKING:
    import pyarrow

_MOST_CELLS = 2**31
"""Of decisions times arms; more is a mistake in the column of arms."""

_MOST_OBJECTIVES = 1000

_Cells = tuple[RowsInParts, RowsInParts]
"""Eligibility of rows, and their probabilities, if they say them; all of the arms that were known then."""

_Contexts = tuple[RowsInParts, RowsInParts]
"""The numbers of rows, and their contexts, which have one length."""


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
        self._chosen = RowsInParts(1, np.intp)
        self._columns = {"propensity": RowsInParts(1), "decided_at": RowsInParts(1)}
        self._texts: dict[str, list[str]] = {"prompt": [], "session": [], "task": []}  # up to the last row that has one
        self._outcomes: dict[str, tuple[RowsInParts, RowsInParts]] = {}  # numbers of rows, and their outcomes
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
        self._columns["propensity"].add(np.minimum(table["propensity"].to_numpy(), 1.0))  # 1, but for rounding
        self._columns["decided_at"].add(table["decided_at"].to_numpy())
        for name, values in self._texts.items():
            if table[name].null_count < len(table):
                texts, codes = encoded(table[name])
                texts.append("")  # of a row without one, whose code is -1
                values.extend(repeat("", self._n - len(values)))
                values.extend(map(texts.__getitem__, codes.tolist()))
        self._chosen.add(self._codes(table["arm"]))
        self._add_matrices(table)
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
        propensities = self._columns["propensity"].column()
        for values in self._texts.values():
            values.extend(repeat("", self._n - len(values) if values else 0))
        texts = {name: tuple(values) if any(values) else None for name, values in self._texts.items()}
        return DecisionLog(
            arms=arms,
            chosen=self._all_chosen(order),
            eligible=eligible,
            propensities=None if np.isnan(propensities).all() else propensities,
            probabilities=probabilities,
            contexts=self._all_contexts(),
            prompts=texts["prompt"],
            sessions=texts["session"],
            tasks=texts["task"],
            outcomes={name: _scattered(self._n, *parts) for name, parts in sorted(self._outcomes.items())},
            decided_at=self._columns["decided_at"].column(),
            skipped=dict(skipped),
        )

    def _add_outcomes(self, table: pyarrow.Table) -> None:
        parents, names, codes, values = entries(table["outcomes"])
        objectives = [objective_of(name) for name in names]
        if len({*self._outcomes, *objectives} - {None}) > _MOST_OBJECTIVES:
            raise InvalidInputError(
                f"{self._name} has more than {_MOST_OBJECTIVES:,} different objectives; are their names the right ones?"
            )
        for code in sorted(range(len(names)), key=lambda code: precedence(names[code])):  # the last one stays
            if (objective := objectives[code]) is not None:
                here = codes == code
                at, known = self._outcomes.setdefault(objective, (RowsInParts(1, np.intp), RowsInParts(1)))
                at.add(parents[here] + self._n)
                known.add(values[here])

    def _codes(self, names: pyarrow.ChunkedArray) -> NDArray[np.intp]:
        distinct, codes = encoded(names)
        positions = [self._positions.setdefault(name, len(self._positions)) for name in distinct]
        return np.array(positions, dtype=np.intp)[codes]

    def _add_matrices(self, table: pyarrow.Table) -> None:
        """Add eligibility and probabilities ``(n, K so far)`` of some rows."""
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
        probabilities = np.zeros(eligible.shape if given.any() else (n, 0))
        probabilities[~given] = np.nan
        if probabilities.size:
            probabilities[at, codes[given[parents]]] = values.to_numpy()
        widths = (eligible.shape[1], probabilities.shape[1])
        if not self._cells or tuple(rows.width for rows in self._cells[-1]) != widths:
            self._cells.append((RowsInParts(widths[0], np.bool_), RowsInParts(widths[1])))
        flags, rows = self._cells[-1]
        flags.add(eligible)
        rows.add(probabilities)

    def _all_chosen(self, order: NDArray[np.intp]) -> NDArray[np.intp]:
        positions = self._chosen.column()
        chosen = large_array(positions.shape, np.intp)
        for at in blocks(len(chosen)):
            chosen[at] = order[rows_of(positions, at)]
        return chosen

    def _all_cells(self, order: NDArray[np.intp]) -> tuple[NDArray[np.bool_], Vector | None]:
        """Return both for all rows; where a row does not name its arms, all were eligible."""
        k = len(order)
        given = any(rows.width for _, rows in self._cells)
        eligible, probabilities = large_array((self._n, k), np.bool_), large_array((self._n, k if given else 0))
        begin = 0  # each part is freed as soon as it is copied
        while self._cells:
            flags, rows = (each.joined() for each in self._cells.pop(0))
            columns = order[: flags.shape[1]]
            for at in blocks(len(flags)):
                to = slice(begin + at.start, begin + at.stop)
                part = np.zeros((at.stop - at.start, k), dtype=bool)
                part[:, columns] = rows_of(flags, at)
                part[~part.any(axis=1)] = True
                eligible[to] = part
                if given:
                    block = np.zeros(part.shape)
                    block[:, columns] = rows_of(rows, at) if rows.shape[1] else np.nan
                    block[np.isnan(block).any(axis=1)] = np.nan  # also for arms that came up later
                    probabilities[to] = block
                give_back(eligible, probabilities)
            begin += len(flags)
        return eligible, probabilities if given else None

    def _add_contexts(self, table: pyarrow.Table) -> None:
        parents, x = flat(table["x"])
        lengths = np.bincount(parents, minlength=len(table))
        versions, codes = encoded(table["features_version"])
        for code, d in dict.fromkeys(zip(codes.tolist(), lengths.tolist(), strict=True)):
            if d:
                of_these = (codes == code) & (lengths == d)
                key = (versions[code] if code >= 0 else None, d)
                at, rows = self._contexts.setdefault(key, (RowsInParts(1, np.intp), RowsInParts(d)))
                at.add(self._n + np.flatnonzero(of_these))
                rows.add(x.to_numpy()[of_these[parents]].reshape(-1, d))

    def _all_contexts(self) -> Vector | None:
        """Return the contexts in the features of the last row that has any; NaN in the other rows."""
        if not self._contexts:
            return None
        found = [(at.column(), rows) for at, rows in self._contexts.values()]
        numbers, rows = max(found, key=lambda each: int(each[0][-1]))
        values = rows.joined()
        if len(values) == self._n:
            return values
        contexts = large_array((self._n, values.shape[1]))
        for block in blocks(self._n):
            contexts[block] = np.nan
            begin, end = np.searchsorted(numbers, (block.start, block.stop))
            contexts[numbers[begin:end]] = values[begin:end]
            give_back(contexts, values)
        return contexts


def _scattered(n: int, at: RowsInParts, values: RowsInParts) -> Vector:
    numbers, known = at.column(), values.column()
    scattered = large_array((n,))
    scattered[:] = np.nan
    for block in blocks(len(numbers)):
        scattered[rows_of(numbers, block)] = rows_of(known, block)
    give_back(scattered)
    return scattered
