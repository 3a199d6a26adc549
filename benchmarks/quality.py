"""Quality only: one shuffled pass per seed, bandit feedback, no task labels; beside what needs no learning."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.features import TextFeatures
from banditroute.learners import EpsilonGreedy, LinUCB, ThompsonSampling
from banditroute.simulate.logs import read_outcomes
from banditroute.simulate.replay import Trace, sweep
from banditroute.types import Preference, Request

LEARNERS = {
    "banditroute": ThompsonSampling(),
    "banditroute/linucb": LinUCB(),
    "banditroute/epsilon_greedy": EpsilonGreedy(),
}


@command(default_files=["llmrouter9.parquet"])
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Mean score over one pass and over its second half, for every FILE (default: llmrouter9)."""
    rows: list[Row] = []
    for file in files:
        table = read_outcomes(file)
        quality = table.outcomes["quality"]
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        traces: dict[str, list[Trace]] = {policy: [] for policy in LEARNERS}
        cells = sweep(table, x, learners=LEARNERS, prefer=Preference(quality=1.0), seeds=range(seeds))
        for trace in tqdm(cells, total=len(LEARNERS) * seeds, desc=table.name):
            traces[trace.policy].append(trace)
        half = len(table) // 2
        best = quality.mean(axis=0).max()
        for policy, runs in traces.items():
            scores = [run.outcome(quality) for run in runs]
            rows.append(row(table.name, policy, "score_pass", [s.mean() for s in scores]))
            rows.append(row(table.name, policy, "score_second_half", [s[half:].mean() for s in scores]))
            regret = [float((best - s).sum()) for s in scores]
            rows.append(row(table.name, policy, "regret", regret, higher_is_better=False))
        tasks = np.array(table.tasks)
        per_task = sum(quality[tasks == t].mean(axis=0).max() * (tasks == t).mean() for t in np.unique(tasks))
        for policy, score in {
            "best_single": best,
            "best_per_task": per_task,
            "uniform": quality.mean(),
            "oracle": quality.max(axis=1).mean(),
        }.items():
            rows.append(row(table.name, policy, "score_pass", [float(score)]))
    return rows


if __name__ == "__main__":
    main()
