"""Chapter 2: a budget, kept on what calls really cost."""

from __future__ import annotations

import numpy as np

from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.demo.chapter import Chapter, dollars, short
from banditroute.demo.service import Service, Traffic, point
from banditroute.report import charts
from banditroute.simulate.frontier import frontier

_SHARES_OF_THE_RANGE = (0.1, 0.25, 0.5, 0.8)  # between the cheapest arm and the second most expensive
_TOLD = 1  # which of them the sentence is about


def tell(traffic: Traffic, service: Service) -> Chapter:
    """Compare the router under a budget with the best fixed mixture of two arms at the same dollars."""
    prices, means = traffic.cost_usd.mean(axis=0), traffic.quality.mean(axis=0)
    static = frontier(prices, means)
    arms = [Arm(name=arm, expected={"cost_usd": usd}) for arm, usd in zip(traffic.arms, prices.tolist(), strict=True)]
    ordered = np.sort(prices)
    budgets = [float(ordered[0] + share * (ordered[-2] - ordered[0])) for share in _SHARES_OF_THE_RANGE]
    settings = [{"arms": arms, "budgets": [Budget(usd=usd)]} for usd in budgets]
    points = [point(passes) for passes in service.serve(traffic, settings=settings)]
    spent, quality = points[_TOLD]
    return Chapter(
        name="budget",
        title="You have a budget.",
        sentence="The router keeps to the budget and spends it where it helps. It answers better than the best fixed "
        "mixture of two models that costs as much, a mixture that nobody knows beforehand.",
        numbers=[
            ("the budget", f"{dollars(budgets[_TOLD])}, {spent / budgets[_TOLD]:.0%} spent"),
            ("the best fixed mixture", f"{static.at(spent):.3f} right"),
            ("banditroute", f"{quality:.3f} right"),
        ],
        columns=("budget", "spent", "quality", "best fixed mixture at what was spent"),
        rows=[
            (1000.0 * usd, 1000.0 * cost, score, static.at(cost))
            for usd, (cost, score) in zip(budgets, points, strict=True)
        ],
        picture=charts.trade_off_per_thousand(
            {"banditroute under a budget": points},
            {
                short(arm): (float(usd), float(score))
                for arm, usd, score in zip(traffic.arms, prices, means, strict=True)
            },
            static,
            highest_usd=1.15 * max(cost for cost, _ in points),
        ),
    )
