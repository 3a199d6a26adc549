"""Chapter 3: a model gets worse without notice, and a cheaper version of another one arrives."""

from __future__ import annotations

import numpy as np

from banditroute.beliefs import PageHinkley
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.demo.chapter import Chapter, short
from banditroute.demo.service import Change, Served, Service, Traffic
from banditroute.learners import ThompsonSampling
from banditroute.report import charts

_USD_IS_WORTH = 30.0
_WORSE_BY = 0.8  # factor of its quality
_CHEAPER_BY = 0.3  # factor of its price
_SMOOTH_OVER = 100  # requests


def tell(traffic: Traffic, service: Service) -> Chapter:
    """Show how the traffic moves away from one model and to another."""
    n = len(traffic.x)
    worth = (traffic.quality - _USD_IS_WORTH * traffic.cost_usd).mean(axis=0)
    second, best = (int(k) for k in np.argsort(worth)[-2:])
    new = f"{traffic.arms[second]} (cheaper)"
    price = _CHEAPER_BY * float(traffic.cost_usd[:, second].mean())
    extended = Traffic(
        arms=(*traffic.arms, new),
        x=traffic.x,
        quality=np.column_stack([traffic.quality, traffic.quality[:, second]]),
        cost_usd=np.column_stack([traffic.cost_usd, _CHEAPER_BY * traffic.cost_usd[:, second]]),
    )
    change = Change(
        worse_from=n // 3,
        worse_arm=best,
        worse_by=_WORSE_BY,
        arrives_at=2 * n // 3,
        arrival=Arm(name=new, replaces=traffic.arms[second], expected={"cost_usd": price}),
    )
    settings = {
        "preference": Preference(quality=1.0, cost_usd=_USD_IS_WORTH),
        "learner": ThompsonSampling(drift=PageHinkley()),
    }
    (passes,) = service.serve(extended, settings=[settings], change=change)
    shares = {
        short(arm): charts.averaged(np.mean([each.arm == k for each in passes], axis=0), _SMOOTH_OVER)
        for k, arm in enumerate(extended.arms)
    }
    fixed = {short(arm): _always(traffic, k, change) for k, arm in enumerate(traffic.arms)}
    best_fixed = max(fixed, key=lambda arm: fixed[arm])
    reached = float(np.mean([_worth(each) for each in passes]))
    later = min(2 * _SMOOTH_OVER, n // 3 - 1)
    left, came = shares[short(traffic.arms[best])], shares[short(new)]
    return Chapter(
        name="change",
        title="Things change.",
        sentence=f"After a third of the requests {short(traffic.arms[best])} silently gets worse; after two thirds a "
        f"cheaper version of {short(traffic.arms[second])} is added. The router moves its traffic both times. It is "
        f"worth {reached:.3f} a request; the best fixed choice, always {best_fixed}, is worth {fixed[best_fixed]:.3f}.",
        numbers=[
            (f"share of {short(traffic.arms[best])}", f"{left[change.worse_from - 1]:.0%} before it got worse"),
            (f"the same, {later} requests later", f"{left[change.worse_from + later]:.0%}"),
            ("share of the cheaper version", f"{came[-1]:.0%} at the end"),
        ],
        columns=("who serves", f"quality less {_USD_IS_WORTH:.0f} times the dollars"),
        rows=[("banditroute", reached), *((f"always {arm}", value) for arm, value in fixed.items())],
        picture=charts.shares(
            shares,
            x="requests",
            events={
                "it gets worse": change.worse_from,
                "a cheaper version": change.arrives_at,
            },
        ),
    )


def _worth(served: Served) -> float:
    return float((served.quality - _USD_IS_WORTH * served.cost_usd).mean())


def _always(traffic: Traffic, arm: int, change: Change) -> float:
    """Return what one arm alone is worth under the same change."""
    share_worse = 1.0 - change.worse_from / len(traffic.x) if arm == change.worse_arm else 0.0
    factor = 1.0 - share_worse * (1.0 - change.worse_by)
    return float(factor * traffic.quality[:, arm].mean() - _USD_IS_WORTH * traffic.cost_usd[:, arm].mean())
