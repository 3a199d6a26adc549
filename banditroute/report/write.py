"""A report of a simulation, from a file to a page."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from banditroute.features import TextFeatures
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.policies import Uniform
from banditroute.report.page import page
from banditroute.report.simulated import simulated
from banditroute.simulate.demo import shipped
from banditroute.simulate.logs import read_outcomes
from banditroute.simulate.replay import Trace, sweep
from banditroute.types import Preference, Request

_LEARNERS: dict[str, Learner] = {"ThompsonSampling": ThompsonSampling(), "LinUCB": LinUCB()}
_UNIFORM = "uniform"


def write(file: Path | None, out: Path, *, seeds: int, prefer: Preference, budget_usd: float | None = None) -> Path:
    """Replay an outcome table through the learners and at random, and write the page.

    Parameters
    ----------
    file
        As :func:`read_outcomes` takes it; None for the table that is shipped.
    out
        Folder of the page.
    seeds
        How many orders of the requests.
    prefer
        What the outcomes are worth.
    budget_usd
        What a request may cost on average, to be shown beside what it does.

    Returns
    -------
    Path
        Of the page.
    """
    table = shipped() if file is None else read_outcomes(file)
    x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    learners = {**_LEARNERS, _UNIFORM: Learner(policy=Uniform())}
    traces: dict[str, list[Trace]] = {policy: [] for policy in learners}
    passes = sweep(table, x, learners=learners, prefer=prefer, seeds=range(seeds))
    for trace in tqdm(passes, total=len(learners) * seeds, desc=table.name, unit="pass"):
        traces[trace.policy].append(trace)
    facts = {
        "log": table.name,
        "prompts": f"{len(table):,}",
        "arms": ", ".join(table.arms),
        "preference": str(prefer),
        "seeds": str(seeds),
    }
    sections = simulated(table, x, traces=traces, learners=_LEARNERS, prefer=prefer, budget_usd=budget_usd)
    return page(out, title=f"Routing {table.name}", facts=facts, sections=sections)
