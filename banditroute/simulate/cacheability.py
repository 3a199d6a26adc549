"""``banditroute diagnose``: how many adapters should be resident for the traffic of a log, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from banditroute._imports import optional
from banditroute.adapters.diagnose import Cacheability, cacheability, recommend
from banditroute.beliefs import Linear
from banditroute.beliefs.base import Prior
from banditroute.features import TextFeatures
from banditroute.rewards.objectives import QUALITY
from banditroute.simulate.logs import OutcomeTable, read_outcomes
from banditroute.types import Request, Vector

_EPOCHS = (50, 100, 250, 500, 1000, 2500)


def diagnose(log: Path, *, miss_cost: float, plot: Path | None, echo: Callable[[str], None]) -> None:
    """Print how cacheable a log is, and what is recommended.

    Parameters
    ----------
    log
        An outcome table, its rows in the order of the requests, its models the adapters.
    miss_cost
        What paging an adapter in costs, in quality.
    plot
        Where to write a picture; None: nowhere.
    echo
        Prints a line.
    """
    table = read_outcomes(log)
    slots = range(1, len(table.arms))
    found = cacheability(expected_quality(table), slots=slots, epochs=_EPOCHS, miss_cost=miss_cost)
    echo(f"{len(table):,} requests, {len(table.arms)} adapters, a miss costs {miss_cost:g} of quality\n")
    echo("slots  epoch  coverage  lookahead hits  utility kept")
    for each in found:
        echo(
            f"{each.slots:5}  {each.epoch:5}  {each.coverage:8.3f}  {each.lookahead_hit_rate:14.3f}  "
            f"{each.utility_kept:12.4f}"
        )
    best = recommend(found)
    echo(
        f"\nrecommended: {best.slots} slots, epochs of {best.epoch} requests; they keep {best.utility_kept:.1%} of the "
        "expected quality with everything resident"
    )
    if plot is not None:
        _draw(plot, table, found)


def expected_quality(table: OutcomeTable) -> Vector:
    """What a linear belief that has seen the whole log expects of every arm for every request ``(n, K)``."""
    features = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    x = np.column_stack([features, np.ones(len(table))])
    prior = Prior(mean=QUALITY.prior_mean, noise=QUALITY.prior_noise)
    belief = Linear().start(arms=table.arms, dimension=x.shape[1], priors={"quality": prior})
    quality = table.outcomes["quality"]
    for i, k in zip(*np.nonzero(~np.isnan(quality)), strict=True):
        belief.update(table.arms[k], x[i], {"quality": float(quality[i, k])})
    return np.array([belief.predict(row).means[0] for row in x])


def _draw(path: Path, table: OutcomeTable, found: Sequence[Cacheability]) -> None:
    """Coverage and utility kept against slots, a line for each epoch."""
    optional("matplotlib", extra="plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    for epoch in sorted({each.epoch for each in found}):
        some = [each for each in found if each.epoch == epoch]
        slots = [each.slots for each in some]
        axes[0].plot(slots, [each.coverage for each in some], marker="o", label=f"{epoch} requests")
        axes[1].plot(slots, [each.utility_kept for each in some], marker="o", label=f"{epoch} requests")
    for axis, title in zip(axes, ("Requests whose best adapter is resident", "Utility kept"), strict=True):
        axis.set_xlabel("resident adapters")
        axis.set_title(title)
    axes[0].legend(title="epoch", frameon=False, fontsize=9)
    figure.suptitle(f"{table.name}: {len(table):,} requests, {len(table.arms)} adapters", fontsize=11)
    figure.savefig(path, dpi=110, format="png")
