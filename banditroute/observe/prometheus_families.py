"""Metrics of Prometheus from the figures of routers: the one place that names them.

No id, prompt, session or tag is a label: the labels are router, arm, objective, budget and mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from banditroute.core.optional_imports import optional
from banditroute.observe.figures import LATENCY, LATENCY_BOUNDS_SECONDS, ArmFigures, RouterFigures, Sums

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_GAUGES = {
    "banditroute_learned_decisions": "Decisions with feedback that the models rest on.",
    "banditroute_pending_outcomes": "Outcomes that are recorded and not folded into the statistics.",
    "banditroute_pending_seconds": "Age of the oldest outcome that is not folded.",
    "banditroute_queued_decisions": "Decisions that wait to be written.",
    "banditroute_queue_lag_seconds": "Age of the oldest decision that waits to be written.",
    "banditroute_effective_arms": "Equally used arms with the entropy of the last hour's traffic; 1: one arm has all.",
    "banditroute_trouble": "1 while decisions fall back or cannot be recorded, else 0.",
}
_COUNTERS = {
    "banditroute_folds": "Changes of the statistics: folds, corrections and erasures.",
    "banditroute_dropped_decisions": "Decisions that were lost, as they could not be written.",
    "banditroute_unobserved": "Decisions, feedback and events that observers missed.",
}
_BUDGET_GAUGES = {
    "banditroute_budget_spent": "Spend of the settled requests of the period, in dollars or joules.",
    "banditroute_budget_reserved": "Expected spend of open requests, in dollars or joules.",
    "banditroute_budget_granted": "Amount granted until now, in dollars or joules.",
    "banditroute_budget_pace": "Spent and reserved share of what was granted; above 1 is overdrawn.",
    "banditroute_budget_shadow_price": "Utility that one more dollar or joule must buy; 0 where the budget is slack.",
}


def families(routers: Iterable[RouterFigures]) -> Iterator[Metric]:
    """Yield every metric of Prometheus with one sample for each router, and each of its arms and budgets."""
    core = optional("prometheus_client.core", extra="prometheus")
    routers = list(routers)
    arms = [([each.router, name], arm) for each in routers for name, arm in sorted(each.arms.items())]

    def of_arms(kind: str, name: str, text: str) -> Any:
        return getattr(core, f"{kind}MetricFamily")(f"banditroute_{name}", text, labels=["router", "arm"])

    decisions = of_arms("Counter", "decisions", "Decisions for an arm; fallbacks are among them.")
    fallbacks = of_arms("Counter", "fallbacks", "Decisions for an arm because the policy could not choose.")
    cost = of_arms("Counter", "cost_usd", "Reported cost in dollars.")
    energy = of_arms("Counter", "energy_joules", "Reported energy in joules.")
    failures = of_arms("Counter", "failures", "Calls that were reported to have failed.")
    loads = of_arms("Summary", "adapter_load_seconds", "Seconds that requests waited for an adapter.")
    circuits = of_arms("Gauge", "circuit_open", "1 while the circuit breaker leaves the arm alone, else 0.")
    latency = of_arms("Histogram", "latency_seconds", "Reported seconds until the answer.")
    by_objective = ["router", "arm", "objective"]
    outcomes = core.SummaryMetricFamily("banditroute_outcome", "Reported outcomes.", labels=by_objective)
    alarms = core.CounterMetricFamily("banditroute_drift_alarms", "Alarms of drift monitors.", labels=by_objective)
    resets = core.CounterMetricFamily("banditroute_drift_resets", "Changes that were found.", labels=by_objective)
    for labels, arm in arms:
        decisions.add_metric(labels, arm.decisions)
        fallbacks.add_metric(labels, arm.fallbacks)
        cost.add_metric(labels, _of(arm, "cost_usd").sum)
        energy.add_metric(labels, _of(arm, "energy_joules").sum)
        failures.add_metric(labels, _of(arm, "availability").count - _of(arm, "availability").sum)
        loads.add_metric(labels, count_value=arm.loads.count, sum_value=arm.loads.sum)
        circuits.add_metric(labels, float(arm.circuit_open))
        latencies = _of(arm, LATENCY)
        bounds = [*map(str, LATENCY_BOUNDS_SECONDS), "+Inf"]
        counts = [*accumulate(arm.latencies), latencies.count]
        latency.add_metric(labels, buckets=list(zip(bounds, counts, strict=True)), sum_value=latencies.sum)
        for objective, sums in sorted(arm.outcomes.items()):
            outcomes.add_metric([*labels, objective], count_value=sums.count, sum_value=sums.sum)
        for objective, times in sorted(arm.resets.items()):
            resets.add_metric([*labels, objective], times)
        for objective, times in sorted(arm.alarms.items()):
            alarms.add_metric([*labels, objective], times)
    yield from (decisions, fallbacks, outcomes, cost, energy, failures, latency, loads, circuits, resets, alarms)
    for kind, named in ((core.GaugeMetricFamily, _GAUGES), (core.CounterMetricFamily, _COUNTERS)):
        for name, text in named.items():
            family = kind(name, text, labels=["router"])
            for each in routers:
                if name in each.gauges:
                    family.add_metric([each.router], each.gauges[name])
            yield family
    for name, text in _BUDGET_GAUGES.items():
        family = core.GaugeMetricFamily(name, text, labels=["router", "budget"])
        for each in routers:
            for status in each.budgets:
                value = getattr(status, name.removeprefix("banditroute_budget_"))
                family.add_metric([each.router, status.budget.name], value)
        yield family
    share = core.GaugeMetricFamily(
        "banditroute_guard_learner_share", "Share of the requests that the learner decides.", labels=["router", "mode"]
    )
    for each in routers:
        if each.guard is not None:
            share.add_metric([each.router, each.guard[0]], each.guard[1])
    yield share


def _of(arm: ArmFigures, objective: str) -> Sums:
    return arm.outcomes.get(objective, Sums())
