"""Warm start: learn from a log of requests with the outcomes of some arms or all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from banditroute.beliefs.base import BeliefSpec
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import bounded, positive, shown
from banditroute.errors import (
    InvalidConfigurationError,
    InvalidFeedbackError,
    InvalidInputError,
    InvalidRequestError,
    StoreError,
)
from banditroute.features.base import Featurizer
from banditroute.objectives.objective import Objective
from banditroute.router import warm_start_state
from banditroute.router.arms import ArmRegistry
from banditroute.router.engine import Engine
from banditroute.router.feedback import check_outcomes, check_ranking
from banditroute.router.requests import RequestLike, parse_request
from banditroute.router.warm_start_rankings import Ranks, Row, taught
from banditroute.router.warm_start_state import Taught
from banditroute.store.base import Store

LogRow: TypeAlias = tuple[RequestLike, Mapping[str, Mapping[str, float | None]] | Sequence[str | Sequence[str]]]
"""A request, and arm -> objective -> outcome; or the arms by their answers, the best first, as in ``compare``."""


class WarmStart:
    """Folds a log into statistics that the models of a router begin with.

    Parameters
    ----------
    features, objectives
        How requests become contexts, and what can be observed.
    belief
        Folds the log.
    registry
        The arms, which do not change meanwhile.
    engine, store
        Rebuild the models, and record the statistics.
    clock
        Gives Unix time in seconds.
    """

    def __init__(
        self,
        *,
        features: Featurizer,
        objectives: Mapping[str, Objective],
        belief: BeliefSpec,
        registry: ArmRegistry,
        engine: Engine,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._features = features
        self._objectives = objectives
        self._belief = belief
        self._registry = registry
        self._engine = engine
        self._store = store
        self._clock = clock

    def learn(self, log: Iterable[LogRow], *, worth: float | None) -> None:
        """Learn from a log, in place of an earlier one; see ``Router.warm_start``."""
        if worth is not None:
            worth = positive(worth, name="worth", error=InvalidConfigurationError)
        with self._registry.changing:
            names = [arm.name for arm in self._registry.arms]
            rows = _checked_rows(log, features=self._features, arms=names, objectives=self._objectives)
            contexts = self._contexts([request for request, _ in rows])
            statistics = warm_start_state.fold(
                self._belief,
                zip(contexts, taught([found for _, found in rows], self._objectives["quality"]), strict=True),
                worth=worth,
                decided_at=self._clock(),
                ordinal=self._engine.decided,
            )
            state = warm_start_state.to_bytes(
                statistics, features_version=self._features.version, dimension=self._features.dimension + 1
            )
            if self._store.trouble is not None:
                raise StoreError(f"the warm start cannot be recorded: {self._store.trouble}")
            self._store.save_state("warm_start", state)
            self._store.flush()
            self._engine.warm_start(statistics)

    def _contexts(self, requests: Sequence[Request]) -> Vector:
        """Return the contexts ``(n, d)`` of requests, whose texts are featurized in one batch."""
        texts = [request for request in requests if request.text is not None]
        rows = iter(self._features.transform(texts) if texts else ())
        x = np.ones((len(requests), self._features.dimension + 1))
        for i, request in enumerate(requests):
            x[i, :-1] = next(rows) if request.features is None else request.features
            if not bounded(x[i]):
                raise InvalidRequestError(
                    f"row {i} of the log: {type(self._features).__name__} gave no finite features"
                )
        return x


def _checked_rows(
    log: object, *, features: Featurizer, arms: Collection[str], objectives: Mapping[str, Objective]
) -> list[tuple[Request, Row]]:
    """Return the rows of a log with the outcomes that are known, or the ranks of the arms.

    Raises
    ------
    InvalidRequestError
        If it is not a log, or ``route`` would refuse a request.
    InvalidFeedbackError
        If an arm is unknown, ``feedback`` would refuse an outcome, or there is no outcome at all.
    """
    if isinstance(log, str | Mapping) or not isinstance(log, Iterable):
        raise InvalidRequestError(
            f"log is a {type(log).__name__}; give rows of a request and its outcomes by arm: "
            "[('Why?', {'small': {'quality': 1.0}})], or table.rows() of an OutcomeTable"
        )
    rows = []
    for i, row in enumerate(log):
        try:
            rows.append(_checked_row(row, features=features, arms=arms, objectives=objectives))
        except InvalidInputError as error:
            raise type(error)(f"row {i} of the log: {error}") from error
    if not any(outcomes for _, outcomes in rows):
        raise InvalidFeedbackError("the log has no outcome; give at least one row with one")
    return rows


def _checked_row(
    row: object, *, features: Featurizer, arms: Collection[str], objectives: Mapping[str, Objective]
) -> tuple[Request, Row]:
    if not isinstance(row, tuple | list) or len(row) != 2 or not isinstance(row[1], Mapping | tuple | list):
        raise InvalidRequestError(
            f"{shown(row)} is not a pair of a request and its outcomes by arm, or of its arms by rank"
        )
    if not isinstance(row[1], Mapping):
        ranks = check_ranking(row[1], partial(_checked_arm, arms=arms))
        return parse_request(row[0], features), Ranks(ranks)
    outcomes = {}
    for arm, values in row[1].items():
        _checked_arm(arm, arms=arms)
        if not isinstance(values, Mapping):
            raise InvalidFeedbackError(f"outcomes of {arm!r} are {shown(values)}; give objective -> value")
        if known := check_outcomes(objectives, values, None):
            outcomes[arm] = Taught(known)
    return parse_request(row[0], features), outcomes


def _checked_arm(arm: object, *, arms: Collection[str]) -> str:
    if not isinstance(arm, str) or arm not in arms:
        raise InvalidFeedbackError(f"unknown arm {shown(arm)}; known arms: {', '.join(arms)}")
    return arm
