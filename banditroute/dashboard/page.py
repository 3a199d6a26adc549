"""The page as HTML: every text from data is escaped, and data is never a template."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from banditroute.admin import RecordedExplanation
from banditroute.core.optional_imports import optional
from banditroute.dashboard import charts, words
from banditroute.dashboard.history import History, tags_of
from banditroute.dashboard.present import Present
from banditroute.dashboard.reader import REFRESH_SECONDS, Seen
from banditroute.dashboard.view import RANGES, Filters, comparison, view_of
from banditroute.evaluate import dollars
from banditroute.store.outcomes import PAGING, measured

_SHOWN_DECISIONS = 15
_CURVES = 4  # objectives with a chart of their own


class Page:
    """Renders what was read.

    Parameters
    ----------
    name
        Name of the database on the page, without its password.
    """

    def __init__(self, *, name: str) -> None:
        jinja2 = optional("jinja2", extra="dashboard")
        self._name = name
        self._templates = jinja2.Environment(
            autoescape=True, loader=jinja2.PackageLoader("banditroute.dashboard"), trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters.update(
            amount=lambda value, objective: words.amount(objective, value),
            heading=words.heading,
            number=words.number,
            dollars=dollars,
            percent=lambda value: f"{value:.1%}" if 0.0 < value < 0.1 else f"{value:.0%}",
            seconds=words.seconds,
            ago=lambda at: words.ago(time.time() - at),
            time=_time,
            day=lambda at: datetime.fromtimestamp(at, UTC).strftime("%b %d %H:%M:%S"),
            tags=lambda text: ", ".join(tags_of(text)) or "–",
        )

    def whole(self, seen: Seen, history: History, filters: Filters) -> str:
        """Return the whole page."""
        found = self._figures(seen, history, filters)
        return self._render("page.html", **found, ranges=RANGES, refresh=REFRESH_SECONDS)

    def live(self, seen: Seen, history: History, filters: Filters) -> dict[str, Any]:
        """Return the parts of the page that change: its HTML, and the charts' data by name."""
        found = self._figures(seen, history, filters)
        return {"html": self._render("live.html", **found), "charts": self._charts(seen, found, filters)}

    def decision(self, id: str, found: RecordedExplanation | None, trouble: str) -> str:
        """Return the page about one decision."""
        return self._render("decision.html", id=id[:80], found=found, trouble=trouble)

    def _render(self, template: str, **values: Any) -> str:
        text: str = self._templates.get_template(template).render(name=self._name, **values)
        return text

    def _figures(self, seen: Seen, history: History, filters: Filters) -> dict[str, Any]:
        view = view_of(history, filters, routers=seen.present)
        present = seen.present.get(view.router, Present())
        compared = comparison(view)
        needs = words.needs(view, present)
        latest = [
            row
            for row in seen.latest
            if row.router == view.router
            and (not filters.arm or row.arm == filters.arm)
            and set(filters.tags) <= set(tags_of(row.tags))
        ]
        curves = view.objectives[:_CURVES]
        return {
            "filters": filters,
            "view": view,
            "present": present,
            "needs": needs,
            "verdict": words.verdict(view, filters, compared, len(needs)),
            "doubts": words.doubts(compared),
            "seen": seen,
            "progress": history.progress,
            "times": history.times,
            "curves": [(f"curve-{number}", name, charts.axis_title(name)) for number, name in enumerate(curves)],
            "latest": [(row, measured(seen.outcomes.get(row.id, {}))) for row in latest[:_SHOWN_DECISIONS]],
            "predictions": seen.predictions.get(view.router),
            "paging": PAGING,
        }

    def _charts(self, seen: Seen, found: Mapping[str, Any], filters: Filters) -> dict[str, charts.Chart]:
        view, predictions = found["view"], found["predictions"]
        drawn = {name: charts.curve(view, objective, filters.arm) for name, objective, _ in found["curves"]}
        if view.all.decisions:
            drawn["shares"] = charts.shares(view)
        if view.all.of("cost_usd").number:
            drawn["spend"] = charts.spend(view)
            if view.all.of("quality").number:
                drawn["trade-off"] = charts.trade_off(view)
        if predictions is not None:
            drawn["calibration"] = charts.calibration(predictions)
        return drawn


def _time(at: float) -> str:
    """Return a Unix time as people read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
