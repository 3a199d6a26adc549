"""Chapter 1: nobody knows which model is best, and the router finds out."""

from __future__ import annotations

import numpy as np

from banditroute.core.preference import Preference
from banditroute.demo.chapter import Chapter, dollars, short
from banditroute.demo.service import Service, Traffic
from banditroute.report import charts

_FOUND_OUT_REQUESTS = 300  # of a short log, half
_PREFERENCE = Preference(quality=1.0, cost_usd=10.0)  # one cent is worth a tenth of a right answer


def tell(traffic: Traffic, service: Service) -> Chapter:
    """Compare the router with one arm at random, the cheapest and the most expensive."""
    found_out = min(_FOUND_OUT_REQUESTS, len(traffic.x) // 2)
    (passes,) = service.serve(traffic, settings=[{"preference": _PREFERENCE}])
    quality = np.mean([each.quality[found_out:].mean() for each in passes])
    cost = np.mean([each.cost_usd[found_out:].mean() for each in passes])
    means, prices = traffic.quality.mean(axis=0), traffic.cost_usd.mean(axis=0)
    cheapest, most_expensive = int(prices.argmin()), int(prices.argmax())
    rows: list[tuple[str | float | None, ...]] = [
        ("one at random for each request", float(means.mean()), 1000.0 * float(prices.mean())),
        *((f"always {short(traffic.arms[k])}", float(means[k]), 1000.0 * float(prices[k])) for k in np.argsort(prices)),
        (f"banditroute after {found_out} requests", float(quality), 1000.0 * float(cost)),
        ("the best arm for each request (nobody can know it)", *_oracle(traffic)),
    ]
    return Chapter(
        name="unknown_best",
        title="You do not know which model is best.",
        sentence=f"The router starts without knowing any model. Within {found_out} requests it finds out what to ask: "
        f"its answers then come within {100 * (means.max() - quality):.1f} points of the best single model's, at "
        f"{cost / prices[most_expensive]:.0%} of the price of the most expensive one.",
        numbers=[
            ("one at random", f"{means.mean():.3f} right, {dollars(prices.mean())}"),
            (
                f"always {short(traffic.arms[most_expensive])}",
                f"{means[most_expensive]:.3f} right, {dollars(prices[most_expensive])}",
            ),
            ("banditroute", f"{quality:.3f} right, {dollars(cost)}"),
        ],
        columns=("who serves", "quality", "USD per 1,000 requests"),
        rows=rows,
        picture=charts.bars(
            {
                "one at random": (1000.0 * prices.mean(), f"{means.mean():.3f} right"),
                f"always {short(traffic.arms[cheapest])}": (
                    1000.0 * prices[cheapest],
                    f"{means[cheapest]:.3f} right",
                ),
                f"always {short(traffic.arms[most_expensive])}": (
                    1000.0 * prices[most_expensive],
                    f"{means[most_expensive]:.3f} right",
                ),
                "banditroute": (1000.0 * cost, f"{quality:.3f} right"),
            },
            x="USD per 1,000 requests",
            emphasis="banditroute",
        ),
    )


def _oracle(traffic: Traffic) -> tuple[float, float]:
    """Return quality and dollars per 1,000 requests where the cheapest of the best answers is known."""
    best = np.argmax(traffic.quality - 1e-6 * traffic.cost_usd, axis=1)
    at = np.arange(len(best))
    return float(traffic.quality[at, best].mean()), 1000.0 * float(traffic.cost_usd[at, best].mean())
