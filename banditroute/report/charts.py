"""Charts of a report: matplotlib figures for light and dark pages and for the width of a phone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.simulate.frontier import Frontier
from banditroute.statistics import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_P = ParamSpec("_P")
_T = TypeVar("_T")

_INK = "#010203"  # stands for the colour of the page's text, which a browser knows
_EMPHASIS, _MUTED = "#1f77b4", "#9aa3ad"  # the bar that a chart is about, and the others
_PER = 1_000.0  # requests that a cost is shown for
_POINTS = 200  # of a line: more than a page shows
_LONGEST_NAME = 32  # characters, in a legend
_MOST_SHARES = 12  # arms in one chart of shares
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "banditroute",  # the same figures give the same file
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}


def _styled(draw: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return ``draw`` in the style of the reports, whatever the user's own style is."""

    @wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with optional("matplotlib", extra="plot").rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


@_styled
def lines(
    curves: Mapping[str, Vector], *, x: str, y: str, level: Mapping[str, float] | None = None, at: Vector | None = None
) -> Figure:
    """Draw curves over requests, each with its band.

    Parameters
    ----------
    curves
        Name -> one curve for each seed ``(seeds, n)``: their mean, and a band of 1.96 standard errors.
    x, y
        Names of the axes.
    level
        Name -> height of a dashed line.
    at
        Where the n values stand ``(n,)``. Default: 1 to n.
    """
    figure, axes = _figure(x, y)
    _draw_curves(axes, curves, at=at)
    for name, height in (level or {}).items():
        axes.axhline(height, color=_INK, linewidth=1.0, linestyle="--", label=_plain(name))
    _never_below_zero(axes)
    axes.legend(loc="best")
    return figure


@_styled
def stacked(parts: Mapping[str, Mapping[str, Vector]], *, x: str) -> Figure:
    """Draw curves one above the other, over the same requests: name of the axis -> curves as in ``lines``."""
    figure = _empty()
    every = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (y, curves) in zip(every, parts.items(), strict=True):
        _draw_curves(axes, curves)
        axes.set_ylabel(y)
        _never_below_zero(axes)
    every[-1].set_xlabel(x)
    if len(curves) > 1:
        every[-1].legend(loc="best")
    return figure


@_styled
def shares(parts: Mapping[str, Vector], *, x: str, events: Mapping[str, int] | None = None) -> Figure:
    """Draw shares over time: name -> share at each step ``(n,)``, stacked to 1; the smallest of many as one.

    ``events`` names steps, each drawn as a line.
    """
    figure, axes = _figure(x, "share of requests")
    n = len(next(iter(parts.values())))
    if len(parts) > _MOST_SHARES:
        largest = sorted(parts, key=lambda name: -float(parts[name].sum()))[: _MOST_SHARES - 1]
        rest = np.sum([part for name, part in parts.items() if name not in largest], axis=0)
        parts = {**{name: part for name, part in parts.items() if name in largest}, "all other arms": rest}
    shown = np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(int))
    axes.stackplot(
        shown + 1, [part[shown] for part in parts.values()], labels=[_plain(name) for name in parts], linewidth=0.0
    )
    axes.set_ylim(0.0, 1.0)
    axes.set_xlim(1.0, max(float(n), 2.0))
    for name, step in (events or {}).items():
        axes.axvline(step, color=_INK, linewidth=1.2, linestyle="--")
        axes.annotate(
            name, (step, 1.0), textcoords="offset points", xytext=(0, 4), ha="center", fontsize=9, annotation_clip=False
        )
    columns = 1 if max(map(len, parts)) > _LONGEST_NAME // 2 else 2
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns)
    return figure


@_styled
def trade_off(
    points: Mapping[str, tuple[float, float]], arms: Mapping[str, tuple[float, float]], static: Frontier
) -> Figure:
    """Draw quality against cost: name -> (dollars per request, quality) of policies and arms, and mixtures of arms."""
    figure, axes = _figure("mean cost of 1,000 requests (USD)", "mean quality")
    corners = np.arange(len(static.cost))
    at = np.linspace(0.0, len(corners) - 1.0, _POINTS)  # straight mixtures look curved on a logarithmic axis
    axes.plot(
        _PER * np.interp(at, corners, static.cost),
        np.interp(at, corners, static.quality),
        "--",
        color=_INK,
        linewidth=1.0,
        label="mixtures of two arms",
    )
    for rank, (name, (cost, quality)) in enumerate(sorted(arms.items(), key=lambda item: item[1])):
        axes.plot(_PER * cost, quality, "s", color=_INK, markersize=4)
        place, side = ((4, -11), "left") if rank % 2 == 0 else ((-4, 6), "right")
        short = _plain(name.rsplit("/", 1)[-1])
        axes.annotate(short, (_PER * cost, quality), textcoords="offset points", xytext=place, ha=side, fontsize=8)
    for name, (cost, quality) in points.items():
        axes.plot(_PER * cost, quality, "o", label=_plain(name))
    if min(cost for cost, _ in (*points.values(), *arms.values())) > 0.0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.set_xlim(left=0.0)
    axes.margins(0.1)  # room for the names at the edges
    axes.legend(loc="lower right")
    return figure


@_styled
def bars(values: Mapping[str, tuple[float, str]], *, x: str, emphasis: str) -> Figure:
    """Draw a horizontal bar for each name: its length, at least 0, and the text at its end; one bar stands out."""
    figure, axes = _figure(x, "")
    longest = max(length for length, _ in values.values())
    for row, (name, (length, text)) in enumerate(values.items()):
        axes.barh(-row, length, color=_EMPHASIS if name == emphasis else _MUTED, height=0.6)
        axes.annotate(text, (length, -row), textcoords="offset points", xytext=(5, 0), va="center", fontsize=9)
    axes.set_xlim(0.0, 1.35 * longest)
    axes.set_yticks([-row for row in range(len(values))], [_plain(name) for name in values])
    axes.tick_params(axis="y", length=0.0)
    axes.grid(visible=False, axis="y")
    return figure


@_styled
def trade_off_per_thousand(
    points: Mapping[str, Sequence[tuple[float, float]]],
    arms: Mapping[str, tuple[float, float]],
    static: Frontier,
    *,
    highest_usd: float,
) -> Figure:
    """Draw quality against dollars per 1,000 requests: name -> (cost of a request, quality), arms, fixed mixtures."""
    figure, axes = _figure("USD per 1,000 requests", "quality")
    end = min(highest_usd, float(static.cost[-1]))
    at = np.linspace(float(static.cost[0]), end, _POINTS)
    axes.plot(
        1000.0 * at, [static.at(cost) for cost in at], "--", color=_INK, linewidth=1.0, label="best fixed mixture"
    )
    for name, some in points.items():
        cost, quality = zip(*sorted(some), strict=True)
        axes.plot(1000.0 * np.array(cost), quality, "o-", label=_plain(name))
    for name, (usd, score) in arms.items():
        if usd <= highest_usd:
            axes.plot(1000.0 * usd, score, "s", color=_INK, markersize=4)
            place, side = ((6, 3), "left") if usd < 0.1 * highest_usd else ((0, 7), "right")
            axes.annotate(
                _plain(name), (1000.0 * usd, score), textcoords="offset points", xytext=place, ha=side, fontsize=8
            )
    axes.set_xlim(0.0, 1000.0 * highest_usd)
    axes.margins(y=0.12)  # room for the names
    axes.legend(loc="lower right")
    return figure


@_styled
def calibration(curves: Mapping[str, Calibration]) -> Figure:
    """Draw observed against expected quality: name -> its bins, with bars that are 95% bounds."""
    figure, axes = _figure("quality expected", "quality observed")
    axes.plot([0.0, 1.0], [0.0, 1.0], "--", color=_INK, linewidth=1.0)
    for name, found in curves.items():
        bars = np.maximum([found.observed - found.lower, found.upper - found.observed], 0.0)
        at = (found.predicted, found.observed)
        axes.errorbar(*at, yerr=bars, fmt="o-", label=_plain(name), markersize=4, capsize=2)
    axes.legend(loc="upper left")
    return figure


@_styled
def svg(figure: Figure) -> str:
    """Return the figure as SVG for a page, in the colour of its text."""
    buffer = BytesIO()
    figure.savefig(
        buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None}
    )
    text = buffer.getvalue().decode()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


@_styled
def png(figure: Figure) -> bytes:
    """Return the figure as PNG, on white."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
    return buffer.getvalue()


def _draw_curves(axes: Axes, curves: Mapping[str, Vector], *, at: Vector | None = None) -> None:
    for name, values in curves.items():
        n = values.shape[1]
        shown = np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(int))
        place = (np.arange(1, n + 1) if at is None else at)[shown]
        mean = values.mean(axis=0)[shown]
        (line,) = axes.plot(place, mean, label=_plain(name), linewidth=1.6)
        if len(values) > 1:
            band = 1.96 * values.std(axis=0, ddof=1)[shown] / np.sqrt(len(values))
            axes.fill_between(place, mean - band, mean + band, color=line.get_color(), alpha=0.2, linewidth=0.0)


def _empty() -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = _empty()
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _never_below_zero(axes: Axes) -> None:
    """Let an axis of amounts begin at 0 where the margin below its curves would lead it below."""
    lows = [np.nanmin(line.get_ydata(), initial=np.inf) for line in axes.get_lines()]
    if lows and min(lows) >= 0.0 and axes.get_ylim()[0] < 0.0:
        axes.set_ylim(bottom=0.0)


def _plain(name: str) -> str:
    """Return a name to draw: a dollar would begin a formula, and a leading _ would hide it from the legend."""
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return ("\u200b" if name.startswith("_") else "") + name.replace("$", r"\$")


def averaged(values: Sequence[float] | Vector, window: int) -> Vector:
    """Return means of the latest ``window`` values at each step ``(n,)``; of fewer at the beginning.

    Examples
    --------
    >>> averaged([1.0, 0.0, 0.0, 4.0], 2)
    array([1. , 0.5, 0. , 2. ])
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    begins = np.maximum(ends - window, 0)
    means: Vector = (sums[ends] - sums[begins]) / (ends - begins)
    return means
