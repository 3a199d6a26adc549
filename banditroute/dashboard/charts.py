"""The charts of the page, as data for Plotly in the browser; every text from data is plain text there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from banditroute.dashboard.predictions import Predictions
from banditroute.dashboard.view import Sums, View
from banditroute.dashboard.words import heading
from banditroute.simulate.frontier import frontier

Chart = dict[str, Any]

_LONGEST_NAME = 24  # characters, in a legend
_MOST_ARMS = 8  # drawn one by one; the page's colours end there
_OTHERS = "all other arms"


def plain(name: str) -> str:
    """Return a name that Plotly draws as it is: it would read tags, templates and formulas.

    Examples
    --------
    >>> plain("<b>x</b>"), plain("$x$")
    ('&lt;b&gt;x&lt;/b&gt;', '&#36;x&#36;')
    """
    end = _LONGEST_NAME // 2  # models of one family differ at the end
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - end - 1]}…{name[-end:]}"
    return escape(short, quote=False).replace("%{", "%\u200b{").replace("$", "&#36;")


def shares(view: View) -> Chart:
    """Return the chart of the arms' shares over time."""
    arms, others = drawn_arms(view)
    at = sorted(view.shares)
    traces = []
    for number, arm in enumerate([*arms, *([_OTHERS] if others else [])]):
        made = [sum(view.shares[t].get(name, 0) for name in (others if arm == _OTHERS else [arm])) for t in at]
        total = [sum(view.shares[t].values()) for t in at]
        traces.append(
            {
                **_curve(arm, at, [n / of for n, of in zip(made, total, strict=True)], color=number),
                **({"stackgroup": "one", "line": {"width": 0.5}} if len(at) > 1 else _ONE_BAR),
                "hovertemplate": "%{y:.1%}",
            }
        )
    layout = {"barmode": "stack", "yaxis": {"range": [0, 1], "tickformat": ".0%"}, **_over_time(at)}
    return {"data": traces, "layout": layout}


def curve(view: View, objective: str, arm: str) -> Chart:
    """Return the chart of an objective over time: all requests, and each arm thin; only ``arm`` if it is given."""
    scale, times = (1_000.0 if objective == "cost_usd" else 1.0), view.curves[objective]
    at = sorted(times)
    arms, _ = drawn_arms(view)
    form = "$,.4~g" if objective == "cost_usd" else ",.3~g"
    traces = []
    if not arm:
        together = []
        for t in at:
            total = Sums()
            for each in times[t].values():
                total.number, total.total = total.number + each.number, total.total + each.total
            together.append(None if total.mean is None else scale * total.mean)
        traces.append({**_curve("all requests", at, together), "line": {"width": 3}, "ink": True})
    for number, name in enumerate(arms):
        if arm in ("", name):
            means = [times[t][name].mean if name in times[t] else None for t in at]
            values = [None if mean is None else scale * mean for mean in means]
            traces.append({**_curve(name, at, values, color=number), "line": {"width": 1.2}})
    for trace in traces:
        trace["hovertemplate"] = f"%{{y:{form}}}"
    ends = _QUALITY_ENDS if objective == "quality" else {"rangemode": "tozero"}
    return {"data": traces, "layout": {"yaxis": {**ends, "tickformat": form}, **_over_time(at)}}


def spend(view: View) -> Chart:
    """Return the chart of the dollars spent in each length of time, by arm."""
    arms, others = drawn_arms(view)
    times = view.curves["cost_usd"]
    at = sorted(times)
    traces = []
    for number, arm in enumerate([*arms, *([_OTHERS] if others else [])]):
        of = others if arm == _OTHERS else [arm]
        values = [sum(times[t][name].total for name in of if name in times[t]) for t in at]
        bars = {"type": "bar"} if len(at) > 1 else _ONE_BAR
        traces.append({**_curve(arm, at, values, color=number), **bars, "hovertemplate": "%{y:$,.4~g}"})
    layout = {"barmode": "stack", "yaxis": {"rangemode": "tozero", "tickformat": "$,.4~g"}, **_over_time(at)}
    return {"data": traces, "layout": layout}


def trade_off(view: View) -> Chart:
    """Return the chart of quality against cost: routing, always one arm, and the best fixed mixtures of arms."""
    points = {
        arm: (1_000.0 * cost, quality)
        for arm, figures in view.figures.items()
        if (cost := figures.of("cost_usd").weighted_mean) is not None
        and (quality := figures.of("quality").weighted_mean) is not None
    }
    traces: list[dict[str, Any]] = []
    if len(points) > 1:
        hull = frontier([cost for cost, _ in points.values()], [quality for _, quality in points.values()])
        line = _points("fixed mixtures of arms", hull.cost.tolist(), hull.quality.tolist(), mode="lines")
        traces.append({**line, "line": {"dash": "dash", "width": 1.5}, "ink": True, "hoverinfo": "skip"})
    arms, _ = drawn_arms(view)
    for number, arm in enumerate(arms):
        if arm in points:
            cost, quality = points[arm]
            traces.append({**_points(arm, [cost], [quality]), "color": number, "marker": {"size": 11}})
    cost, quality = view.all.of("cost_usd").mean, view.all.of("quality").mean
    if cost is not None and quality is not None:
        star = _points("routing", [1_000.0 * cost], [quality])
        traces.append({**star, "ink": True, "marker": {"size": 17, "symbol": "star"}})
    layout = {
        "xaxis": {"title": {"text": "cost per 1,000 requests"}, "tickformat": "$,.4~g", "rangemode": "tozero"},
        "yaxis": {"title": {"text": "mean quality"}, **_QUALITY_ENDS},
        "hovermode": "closest",
    }
    return {"data": traces, "layout": layout}


def calibration(predictions: Predictions) -> Chart:
    """Return the chart of observed against expected quality."""
    found = predictions.found
    predicted, observed = found.predicted.tolist(), found.observed.tolist()
    bars = {
        "type": "data",
        "symmetric": False,
        "array": (found.upper - found.observed).clip(0.0).tolist(),
        "arrayminus": (found.observed - found.lower).clip(0.0).tolist(),
        "width": 3,
    }
    even = _points("as expected", [0, 1], [0, 1], mode="lines")
    answers = {**_points("answers", predicted, observed), "error_y": bars, "color": 0, "marker": {"size": 8}}
    layout = {
        "xaxis": {"title": {"text": "expected quality"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "observed quality"}, "range": [0, 1.02]},
        "hovermode": "closest",
    }
    return {"data": [{**even, "line": {"dash": "dash", "width": 1.5}, "ink": True}, answers], "layout": layout}


def drawn_arms(view: View) -> tuple[list[str], list[str]]:
    """Return the arms that are drawn one by one, in one order whatever the filters, and the others."""
    if len(view.arms) <= _MOST_ARMS:
        return view.arms, []
    most = sorted(view.figures, key=lambda arm: -view.figures[arm].decisions)[: _MOST_ARMS - 1]
    return sorted(most), [arm for arm in view.arms if arm not in most]


_QUALITY_ENDS: Mapping[str, Any] = {"autorangeoptions": {"clipmin": -0.02, "clipmax": 1.06}}
_HOUR = 3_600
_ONE_BAR: Mapping[str, Any] = {"type": "bar", "width": 600_000}  # milliseconds: for a single bar Plotly would take 1


def _over_time(at: Sequence[int]) -> Chart:
    """Return the layout of curves at these times; around a single one it shows an hour before and after."""
    ends = {"range": _dates([at[0] - _HOUR, at[0] + _HOUR])} if len(at) == 1 else {}
    return {"xaxis": {"type": "date", **ends}, "hovermode": "x unified"}


def _dates(at: Iterable[int]) -> list[str]:
    return [datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M") for t in at]


def _curve(name: str, at: Iterable[int], values: list[float | None] | list[float], *, color: int = 0) -> Chart:
    mode = "lines+markers" if len(values) == 1 else "lines"
    return {"type": "scatter", "mode": mode, "name": plain(name), "x": _dates(at), "y": values, "color": color}


def _points(name: str, x: list[float], y: list[float], *, mode: str = "markers") -> Chart:
    return {"type": "scatter", "mode": mode, "name": plain(name), "x": x, "y": y, "cliponaxis": False}


def axis_title(objective: str) -> str:
    """Return the title of the chart of an objective."""
    return f"{heading(objective)[:1].upper()}{heading(objective)[1:]} over time"
