"""The demo, end to end, on a small cut of the shipped log."""

import json
import re
import shutil
import sqlite3

import numpy as np
import pyarrow.parquet as pq
import pytest

from banditroute.logs import read_outcomes
from banditroute.simulate import demo
from banditroute.simulate.metrics import static_mixture

POLICIES = [
    "LinUCB",
    "ThompsonSampling",
    "epsilon-greedy",
    "uniform",
    "static mixture at LinUCB's cost",
    "static mixture at ThompsonSampling's cost",
    "always google/gemini-2.5-flash",
    "always google/gemini-2.5-pro",
    "always meta-llama/llama-3.1-8b-instruct",
    "always mistralai/mistral-large-2512",
    "best arm per task",
    "oracle per query",
]


def run(log, out, seeds=2):
    lines = []
    demo.run(table=read_outcomes(log), out=out, seeds=seeds, echo=lines.append)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "new" / "folder"


@pytest.fixture(scope="module")
def first(small_log, out):
    """What the first run prints."""
    return run(small_log, out)


@pytest.fixture
def figures(first, out):
    return json.loads((out / "figures.json").read_text())


def test_says_what_it_does(first):
    assert first.startswith(
        "60 prompts with the real answers of 4 models; Preference(quality=1, cost_usd=10), 2 seeds.\n"
    )


def test_table_has_every_policy_and_reference(first):
    lines = first.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("policy "))
    printed = [re.split(r"\s{2,}", line)[0] for line in lines[begin + 2 : begin + 2 + len(POLICIES)]]
    assert printed == POLICIES


def test_figures_are_those_of_the_table(first, figures):
    assert (figures["log"], figures["prompts"]) == ("small", 60)
    assert figures["preference"] == {"quality": 1.0, "cost_usd": 10.0}
    assert [row["policy"] for row in figures["rows"]] == POLICIES
    for row in figures["rows"]:
        line = next(line for line in first.splitlines() if line.startswith(row["policy"] + "  "))
        printed = re.split(r"\s{2,}", line)[1:]
        parts = [(row["objectives"]["quality"], "{:.4f}"), (row["objectives"]["cost_usd"], "{:.6f}")]
        parts += [None, (row["utility"], "{:.4f}"), (row["regret"], "{:.1f}")]
        for shown, part in zip(printed, parts, strict=False):
            if part is None:
                assert shown == "–"
                continue
            estimate, form = part
            mean, *half = shown.split(" ± ")
            assert mean == form.format(estimate["mean"])
            assert half == ([form.format(estimate["half_width"])] if estimate["n"] > 1 else [])
        assert printed[5:] == [f"{share:.0%}" for share in row["shares"].values()]


def test_static_mixture_spends_what_the_learner_spent(small_log, figures):
    table = read_outcomes(small_log)
    rows = {row["policy"]: row for row in figures["rows"]}
    for policy in ("LinUCB", "ThompsonSampling"):
        spent = rows[policy]["objectives"]["cost_usd"]["mean"]
        shares = static_mixture(table, cost_usd=spent)
        cost = table.outcomes["cost_usd"].mean(axis=0)
        assert sum(share * cost[table.arms.index(arm)] for arm, share in shares.items()) <= spent * (1 + 1e-9)
        used = {arm for arm, share in rows[f"static mixture at {policy}'s cost"]["shares"].items() if share}
        assert used <= set(shares)


def test_reference_figures_are_those_of_the_log(small_log, figures):
    table = read_outcomes(small_log)
    rows = {row["policy"]: row for row in figures["rows"]}
    for k, arm in enumerate(table.arms):
        always = rows[f"always {arm}"]
        assert always["objectives"]["quality"]["mean"] == pytest.approx(table.outcomes["quality"][:, k].mean())
        assert always["objectives"]["cost_usd"]["mean"] == pytest.approx(table.outcomes["cost_usd"][:, k].mean())
    utility = table.outcomes["quality"] - 10.0 * table.outcomes["cost_usd"]
    assert rows["oracle per query"]["utility"]["mean"] == pytest.approx(utility.max(axis=1).mean())


def test_picture_is_drawn(first, out):
    from matplotlib import image

    picture = image.imread(out / "demo.png")
    assert np.unique(picture.reshape(-1, picture.shape[-1]), axis=0).shape[0] > 50


def test_decisions_and_feedback_are_in_the_database(first, out):
    with sqlite3.connect(f"file:{out / 'demo.db'}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert any("decision" in name for name in tables)
    database.close()
    assert "begins with 0 learned outcomes in demo.db, serves 200 requests." in first
    assert "It has learned from 200 now. Its next decision, explained:" in first
    assert "with probability" in first


def test_names_what_it_wrote(first, out):
    assert first.splitlines()[-1] == (
        f"Picture: {out / 'demo.png'}   figures: {out / 'figures.json'}   learned state: {out / 'demo.db'}"
    )


def test_second_run_repeats_the_figures_and_continues_to_learn(small_log, first, out):
    figures = (out / "figures.json").read_text()
    again = run(small_log, out)
    assert (out / "figures.json").read_text() == figures
    assert "continues from 200 learned outcomes in demo.db" in again
    assert "It has learned from 400 now." in again
    prompts = read_outcomes(small_log).prompts
    for shown, served in ((first, 200), (again, 400)):  # the second goes on where the first stopped
        assert repr(" ".join(prompts[served % 60].split())[:100]) in shown


def test_log_without_costs_begins_anew_in_the_same_folder(small_log, first, out, tmp_path):
    shutil.copy(out / "demo.db", tmp_path)
    rows = pq.read_table(small_log)
    bare = tmp_path / "bare.parquet"
    pq.write_table(rows.select(["query_id", "model", "score", "prompt"]), bare)
    shown = run(bare, tmp_path, seeds=1)
    assert "begins with 0 learned outcomes in demo.db" in shown
    assert "static mixture" not in shown
    assert "best arm per task" not in shown.split("\n\n")[1]
    assert (tmp_path / "demo.png").exists()


def test_log_with_some_costs_unknown(small_log, tmp_path):
    rows = pq.read_table(small_log)
    costs = rows["cost_usd"].to_pylist()
    costs[3] = None
    gaps = tmp_path / "gaps.parquet"
    pq.write_table(rows.set_column(rows.column_names.index("cost_usd"), "cost_usd", [costs]), gaps)
    shown = run(gaps, tmp_path, seeds=1)
    assert "static mixture" not in shown
    row = next(line for line in shown.splitlines() if line.startswith("LinUCB"))
    assert re.split(r"\s{2,}", row)[2] == "–"
