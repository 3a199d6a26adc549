"""Chapter 4: look at the answer, then ask another model only where it is worth its price."""

from __future__ import annotations

from dataclasses import replace

from banditroute.core.preference import Preference
from banditroute.demo.chapter import Chapter, dollars, short
from banditroute.demo.service import Service, Traffic, point
from banditroute.report import charts
from banditroute.simulate.frontier import frontier

_JUDGE_ERRS = 0.1
_USD_IS_WORTH = (30.0, 3.0)  # quality; the lower, the more is spent


def tell(traffic: Traffic, service: Service) -> Chapter:
    """Compare a cascade, under a judge that errs, with the best single model."""
    prices, means = traffic.cost_usd.mean(axis=0), traffic.quality.mean(axis=0)
    best = int(means.argmax())
    judged = replace(traffic, judge_errors=_JUDGE_ERRS)
    settings = [{"preference": Preference(quality=1.0, cost_usd=usd)} for usd in _USD_IS_WORTH]
    points = [point(passes) for passes in service.serve(judged, settings=settings)]
    cost, quality = points[-1]
    return Chapter(
        name="look_first",
        title="You can look at the answer first.",
        sentence=f"A judge looks at each answer and is wrong about one in {1 / _JUDGE_ERRS:.0f}. The router learns "
        f"what its word is worth, and asks another model only where that pays. All calls are charged.",
        numbers=[
            (
                f"always {short(traffic.arms[best])}",
                f"{means[best]:.3f} right, {dollars(prices[best])}",
            ),
            ("banditroute and the judge", f"{quality:.3f} right, {dollars(cost)}"),
            ("its cost, as a share", f"{cost / prices[best]:.0%}"),
        ],
        columns=("a dollar is worth", "quality", "USD per 1,000 requests"),
        rows=[
            *((usd, q, 1000.0 * c) for usd, (c, q) in zip(_USD_IS_WORTH, points, strict=True)),
            (f"always {short(traffic.arms[best])}", float(means[best]), 1000.0 * float(prices[best])),
        ],
        picture=charts.trade_off_per_thousand(
            {"banditroute with a judge": points},
            {short(traffic.arms[k]): (float(prices[k]), float(means[k])) for k in (best, int(prices.argmin()))},
            frontier(prices, means),
            highest_usd=1.1 * float(prices[best]),
        ),
    )
