"""Count what one router does, for Prometheus."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from banditroute.core.decision import Decision
from banditroute.core.events import AdapterLoaded, DriftSuspected, Event, FeedbackRecorded
from banditroute.core.forking import hold_while_forking
from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidConfigurationError
from banditroute.observe.figures import RouterFigures
from banditroute.observe.prometheus_families import families
from banditroute.router import Router
from banditroute.store.outcomes import measured

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


class PrometheusObserver:
    """Counts the decisions, outcomes and trouble of one router in this process, for Prometheus. Needs ``prometheus``.

    Where several processes serve one database, :class:`PrometheusDatabaseCollector` shows all of them together.
    Ids, prompts, sessions and tags are never labels.

    Parameters
    ----------
    registry
        Where the metrics are registered. Default: the registry of ``prometheus_client``, for which a name can be
        registered once: give a registry for each further router.

    Raises
    ------
    MissingDependencyError
        If prometheus-client is not installed.

    Examples
    --------
    >>> from prometheus_client import CollectorRegistry
    >>> from banditroute import Router
    >>> registry = CollectorRegistry()
    >>> observer = PrometheusObserver(registry=registry)
    >>> router = Router(arms=["small"], features=1, observers=[observer])
    >>> observer.watch(router)
    >>> _ = router.route([0.5])
    >>> router.close()
    >>> registry.get_sample_value("banditroute_decisions_total", {"router": "default", "arm": "small"})
    1
    """

    def __init__(self, *, registry: CollectorRegistry | None = None) -> None:
        client = optional("prometheus_client", extra="prometheus")
        self._lock = threading.RLock()
        self._counted = RouterFigures(router="default")
        self._router: weakref.ref[Router] | None = None
        hold_while_forking(self, "_lock")
        (client.REGISTRY if registry is None else registry).register(self)

    def watch(self, router: Router) -> None:
        """Show the present state of ``router`` too: circuits, budgets, guard, resets, queue and trouble.

        Raises
        ------
        InvalidConfigurationError
            If another router is watched already.
        """
        watched = None if self._router is None else self._router()
        if watched is not None and watched is not router:
            raise InvalidConfigurationError("the observer watches another router; make one observer for each router")
        with self._lock:
            self._router = weakref.ref(router)
            self._counted.router = router.status().router

    def on_decision(self, decision: Decision) -> None:
        """Count a decision."""
        with self._lock:
            arm = self._counted.arms[decision.arm]
            arm.decisions += 1
            arm.fallbacks += decision.fell_back

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Count the outcomes of a decision."""
        with self._lock:
            arm = self._counted.arms[feedback.arm]
            for objective, value in measured(feedback.values).items():
                arm.add_outcome(objective, value)

    def on_event(self, event: Event) -> None:
        """Count alarms of drift monitors, and the seconds that requests waited for adapters.

        Other events show in the state of the router.
        """
        with self._lock:
            if isinstance(event, AdapterLoaded):
                self._counted.arms[event.arm].loads.add(event.seconds)
            elif isinstance(event, DriftSuspected):
                alarms = self._counted.arms[event.arm].alarms
                alarms[event.objective] = alarms.get(event.objective, 0) + 1

    def begin_in_child(self) -> None:
        """Count from 0 in a forked child: what was counted before is the parent's."""
        self._counted = RouterFigures(router=self._counted.router)

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without samples, so that a registry knows their names."""
        return families([])

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for a scrape."""
        with self._lock:
            figures = copy.deepcopy(self._counted)
        router = None if self._router is None else self._router()
        if router is not None:
            _add_status(figures, router)
        return families([figures])


def _add_status(figures: RouterFigures, router: Router) -> None:
    """Add the present state of a router to what was counted."""
    status = router.status()
    for each in status.arms:
        figures.arms[each.arm].circuit_open = each.circuit_open
    for reset in status.resets:
        figures.arms[reset.arm].resets[reset.objective] = reset.times
    figures.budgets = status.budgets
    figures.guard = None if status.rollout is None else (status.rollout.mode, status.rollout.share)
    figures.gauges = {
        "banditroute_effective_arms": status.effective_arms,
        "banditroute_learned_decisions": status.learned,
        "banditroute_queued_decisions": status.queued,
        "banditroute_queue_lag_seconds": status.lag_seconds,
        "banditroute_trouble": float(status.trouble is not None),
        "banditroute_dropped_decisions": status.dropped,
        "banditroute_unobserved": status.unobserved,
    }
