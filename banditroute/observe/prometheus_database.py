"""Figures of all processes that share a database, for Prometheus."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from banditroute.admin._database import open_database
from banditroute.beliefs.drift import recorded_resets
from banditroute.budgets.book import recorded
from banditroute.core.forking import hold_while_forking
from banditroute.core.optional_imports import optional
from banditroute.core.state import read_state
from banditroute.errors import IncompatibleStoreError
from banditroute.guard.monitor import recorded_stage
from banditroute.limits.breaker import Circuits
from banditroute.observe.figures import LATENCY, LATENCY_BOUNDS_SECONDS, ArmFigures, RouterFigures
from banditroute.observe.prometheus_families import families
from banditroute.store.outcomes import PAGING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric
    from sqlalchemy import Connection

_SETTLED_SECONDS = 300.0  # a decision is written within that time, as a rule within 50 ms
_SETTLED_OUTCOMES = 10_000  # an outcome's transaction ends before so many others are numbered
_log = logging.getLogger("banditroute")


class PrometheusDatabaseCollector:
    """Shows all routers of a database, all their processes together, for Prometheus. Needs ``prometheus``.

    Every process that exposes it shows the same figures. So it is right behind several workers, where a scrape meets
    any of them. It reads the log once, when it is made; a scrape reads the last five minutes and the latest 10,000
    outcomes. It writes nothing. Of a database that cannot be read, a scrape shows ``banditroute_database_up 0`` alone.

    Counts are of what was held when they were read. A correction, an erasure or pruning changes them when the
    collector is made again.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    registry
        Where the metrics are registered. Default: the registry of ``prometheus_client``.

    Raises
    ------
    MissingDependencyError
        If prometheus-client is not installed.
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    """

    def __init__(self, *, url: str, registry: CollectorRegistry | None = None) -> None:
        client = optional("prometheus_client", extra="prometheus")
        self._database = open_database(url, writes=False)
        self._lock = threading.RLock()
        self._counts = _Counts()
        self._warned: set[str] = set()
        self._database.read(lambda connection: self._counts.advance(connection, time.time()))
        hold_while_forking(self, "_lock")
        (client.REGISTRY if registry is None else registry).register(self)

    def begin_in_child(self) -> None:
        """Use connections of its own in a forked child."""
        self._database.engine.dispose(close=False)

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without samples, so that a registry knows their names."""
        yield _up(None)
        yield from families([])

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for a scrape."""
        try:
            with self._lock:
                figures = self._database.read(self._read)
        except Exception as error:  # other metrics of the same registry are shown all the same
            self._warn_once(f"the database cannot be read for Prometheus: {error}")
            yield _up(0.0)
            return
        yield _up(1.0)
        yield from families(figures)

    def _read(self, connection: Connection) -> list[RouterFigures]:
        from banditroute.store.sql import folding, recent

        now = time.time()
        self._counts.advance(connection, now)
        counted = self._counts.present(connection)
        known = []
        for record in recent.routers(connection, [*_SHOWN, _BUDGETS]):
            figures = counted.get(record.router, RouterFigures(router=record.router))
            figures.gauges = {
                "banditroute_learned_decisions": record.learned,
                "banditroute_pending_outcomes": record.pending,
                "banditroute_pending_seconds": 0.0 if record.oldest is None else max(0.0, now - record.oldest),
                "banditroute_folds": record.folds,
            }
            try:
                for name, blob in record.states.items():
                    if name == _BUDGETS:
                        totals = folding.totals_of(connection, record.router)
                        figures.budgets = read_state(name, blob, partial(recorded, totals=totals, now=now))
                    else:
                        read_state(name, blob, partial(_SHOWN[name], figures))
            except IncompatibleStoreError as error:
                self._warn_once(f"router {record.router}: {error}")
            known.append(figures)
        return known

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _log.warning("%s", text)


class _Counts:
    """Sums of the log: those that are settled, and will not be read again, and how far they reach."""

    def __init__(self) -> None:
        self._settled: dict[str, RouterFigures] = {}
        self._next_decision = ""
        self._last_outcome = 0

    def advance(self, connection: Connection, now: float) -> None:
        """Settle what nobody adds to any more."""
        from banditroute.store.sql import recent

        end = f"{max(0, int((now - _SETTLED_SECONDS) * 1000)):012x}"
        last = recent.latest_feedback_id(connection) - _SETTLED_OUTCOMES
        if end > self._next_decision:
            _add_decisions(self._settled, connection, self._next_decision, end)
            self._next_decision = end
        if last > self._last_outcome:
            _add_outcomes(self._settled, connection, self._last_outcome, last)
            self._last_outcome = last

    def present(self, connection: Connection) -> dict[str, RouterFigures]:
        """Return router -> what is settled, and what came since."""
        from banditroute.store.sql import recent

        figures = copy.deepcopy(self._settled)
        _add_decisions(figures, connection, self._next_decision, None)
        _add_outcomes(figures, connection, self._last_outcome, recent.latest_feedback_id(connection))
        return figures


def _add_decisions(to: dict[str, RouterFigures], connection: Connection, first_id: str, end_id: str | None) -> None:
    from banditroute.store.sql import recent

    for (router, arm), (decisions, fallbacks) in recent.decisions_between(connection, first_id, end_id).items():
        figures = _arm(to, router, arm)
        figures.decisions += decisions
        figures.fallbacks += fallbacks


def _add_outcomes(to: dict[str, RouterFigures], connection: Connection, after_id: int, last_id: int) -> None:
    from banditroute.store.sql import recent

    for sums in recent.outcomes_between(connection, after_id, last_id, LATENCY_BOUNDS_SECONDS):
        figures = _arm(to, sums.router, sums.arm)
        outcome = figures.loads if sums.objective == PAGING else figures.outcomes[sums.objective]
        outcome.count += sums.number
        outcome.sum += sums.total
        if sums.objective == LATENCY:
            within = [up_to - below for up_to, below in zip(sums.up_to, (0, *sums.up_to), strict=False)]
            figures.latencies = [a + b for a, b in zip(figures.latencies, within, strict=True)]


def _arm(of: dict[str, RouterFigures], router: str, arm: str) -> ArmFigures:
    return of.setdefault(router, RouterFigures(router=router)).arms[arm]


def _show_circuits(figures: RouterFigures, blob: bytes) -> None:
    for arm in Circuits(breaker=None, blob=blob).open_arms:
        figures.arms[arm].circuit_open = True


def _show_resets(figures: RouterFigures, blob: bytes) -> None:
    for reset in recorded_resets(blob):
        figures.arms[reset.arm].resets[reset.objective] = reset.times


def _show_guard(figures: RouterFigures, blob: bytes) -> None:
    figures.guard = recorded_stage(blob)


_BUDGETS = "budgets"
_SHOWN: dict[str, Callable[[RouterFigures, bytes], None]] = {
    "breaker": _show_circuits,
    "drift": _show_resets,
    "guard": _show_guard,
}


def _up(value: float | None) -> Metric:
    """Return the metric that says whether the database can be read, without a sample if ``value`` is None."""
    core = optional("prometheus_client.core", extra="prometheus")
    name, text = "banditroute_database_up", "1 if the database could be read, else 0."
    return core.GaugeMetricFamily(name, text, value=value)  # type: ignore[no-any-return]
