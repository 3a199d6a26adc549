"""Experiments: what a file or a command line asks for is what is run, and what came out is what is written."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute.cli import main
from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.learners.specs import preference_of
from banditroute.simulate.conditions import Absence, Conditions
from banditroute.simulate.experiment import Experiment, read_settings, run
from banditroute.simulate.metrics import summarize
from banditroute.simulate.replay import replay

TOML = """
policies = ["linucb(alpha=1)", "epsilon_greedy"]
seeds = 2
environment = {name = "linear", n = 60, arms = 3, features = 2, seed = 4}

[[settings]]
name = "plain"

[[settings]]
name = "strike"
preference = {quality = 1, cost_usd = 20}
conditions = {poisson = true, absences = [{arm = "arm0", begin = 0.5}]}
"""


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(TOML)
    return read_settings(path)


def invoke(*arguments):
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def results(out):
    return json.loads((out / "results.json").read_text())


def test_file_becomes_an_experiment(given):
    experiment = Experiment.of(given)
    assert experiment.environment.table.name == "linear"
    assert experiment.environment.x.shape == (60, 2)
    assert list(experiment.learners) == ["linucb(alpha=1)", "epsilon_greedy"]
    assert experiment.learners["linucb(alpha=1)"].policy.alpha == 1.0
    assert (experiment.seeds, experiment.warm) == (2, 0)
    plain, strike = experiment.settings
    assert (plain.name, plain.preference, plain.conditions) == ("plain", Preference(quality=1.0), Conditions())
    assert strike.preference == Preference(quality=1, cost_usd=20)
    assert strike.conditions == Conditions(poisson=True, absences=[Absence(arm="arm0", begin=0.5)])


def test_run_writes_the_rows_of_a_replay(given, tmp_path):
    lines = []
    experiment = Experiment.of(given)
    rows = run(experiment, out=tmp_path / "out", executor="processes", echo=lines.append)
    table, x = experiment.environment
    for setting in experiment.settings:
        conditions = setting.conditions
        for policy, learner in experiment.learners.items():
            traces = [
                replay(table, x, learner=learner, preference=setting.preference, seed=seed, conditions=conditions)
                for seed in (0, 1)
            ]
            expected = summarize(table, setting.preference, policy, traces, conditions=conditions)
            assert expected in rows[setting.name]
    names = [row.policy for row in rows["plain"]]
    assert names == [
        "linucb(alpha=1)",
        "epsilon_greedy",
        "uniform",
        "static mixture at linucb(alpha=1)'s cost",
        "static mixture at epsilon_greedy's cost",
        "always arm0",
        "always arm1",
        "always arm2",
        "oracle per query",
    ]
    assert "always arm0" not in [row.policy for row in rows["strike"]]
    by_name = {row.policy: row for row in rows["plain"]}
    assert by_name["uniform"].utility.mean == pytest.approx(table.outcomes["quality"].mean())
    for policy in experiment.learners:
        fixed = by_name[f"static mixture at {policy}'s cost"]
        assert fixed.objectives["cost_usd"].mean <= by_name[policy].objectives["cost_usd"].mean * (1 + 1e-9)
    text = "\n".join(lines)
    assert "plain: Preference(quality=1), 2 seeds" in text
    assert f"{by_name['linucb(alpha=1)'].utility.worst:.4f}" in text

    document = results(tmp_path / "out")
    assert [each["name"] for each in document["settings"]] == ["plain", "strike"]
    assert document["settings"][1]["conditions"]["absences"] == [{"arm": "arm0", "begin": 0.5, "end": 1.0}]
    with (tmp_path / "out" / "results.csv").open() as file:
        figures = {(row["setting"], row["policy"], row["metric"]): row for row in csv.DictReader(file)}
    utility = by_name["epsilon_greedy"].utility
    told = figures["plain", "epsilon_greedy", "utility"]
    assert [float(told[name]) for name in ("mean", "std", "worst", "n")] == [
        utility.mean, utility.std, utility.worst, 2
    ]  # fmt: skip
    assert document["settings"][0]["rows"][1]["utility"]["mean"] == utility.mean


def test_waits_for_adapters_are_written(given, tmp_path):
    (plain, _) = given["settings"]
    paging = {"slots": 1, "load_seconds": 0.4}
    given["settings"] = [
        plain,
        {"name": "paged", "preference": {"latency_seconds": 1}, "conditions": {"paging": paging}},
    ]
    lines = []
    run(Experiment.of(given), out=tmp_path, executor="processes", echo=lines.append)
    assert "hit rate" not in lines[0]
    assert "hit rate  paging s" in lines[1]
    free, paged = results(tmp_path)["settings"]
    assert free["conditions"]["paging"] is None
    assert paged["conditions"]["paging"] == {**paging, "control": "controller"}
    for row in paged["rows"]:
        assert row["utility"]["mean"] == pytest.approx(-row["objectives"]["paged_seconds"]["mean"])
        assert 0.0 < row["objectives"]["hit_rate"]["mean"] <= 1.0
    with (tmp_path / "results.csv").open(newline="") as file:
        metrics = {(line["setting"], line["metric"]) for line in csv.DictReader(file)}
    assert {("paged", "hit_rate"), ("paged", "paged_seconds")} <= metrics
    assert ("plain", "hit_rate") not in metrics


class TestCommand:
    def test_a_log_and_options(self, small_log, tmp_path):
        options = ["--policy", "linucb", "--policy", "thompson(half_life=20)", "--seeds", 2]
        options += [
            "--preference",
            "quality=1,cost_usd=50",
            "--preference",
            "quality=1",
            "--out",
            tmp_path,
            "--warm",
            10,
        ]
        result = invoke(small_log, *options)
        assert result.exit_code == 0, result.output
        assert "thompson(half_life=20)" in result.stdout
        assert "best arm per task" in result.stdout
        document = results(tmp_path)
        assert (document["log"], document["requests"], document["seeds"]) == ("small", 50, 2)
        assert [each["preference"] for each in document["settings"]] == [{"quality": 1, "cost_usd": 50}, {"quality": 1}]
        cells = sorted((tmp_path / "cells").iterdir())
        assert len(cells) == 8

        written = {path: path.stat().st_mtime_ns for path in cells}
        assert invoke(small_log, *options).exit_code == 0  # nothing is done again
        assert results(tmp_path) == document
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == written

    def test_options_go_before_the_file(self, tmp_path):
        path = tmp_path / "experiment.toml"
        path.write_text(TOML)
        result = invoke(
            "--config", path, "--policy", "squarecb", "--preference", "quality=1", "--seeds", 1, "--out", tmp_path
        )
        assert result.exit_code == 0, result.output
        document = results(tmp_path)
        assert list(document["policies"]) == ["squarecb"]
        assert document["seeds"] == 1
        assert [each["name"] for each in document["settings"]] == ["quality=1"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["LOG", "--policy", "magic"], "unknown learner 'magic'"),
            (["LOG", "--preference", "quality"], "'quality' is not a preference; give weights of objectives"),
            (["LOG", "--preference", "quality=0"], "a preference needs a weight above 0"),
            (["LOG", "--preference", "speed=1"], "objective 'speed' of the preference is unknown"),
            (["LOG", "--executor", "gpu"], "executor is 'gpu'; give 'processes', 'serial', 'dask'"),
            (["LOG", "--config", "nowhere.toml"], "nowhere.toml cannot be read as TOML"),
            (["nowhere.parquet"], "nowhere.parquet"),
        ],
    )
    def test_command_refuses_bad_options(self, small_log, tmp_path, options, message):
        result = invoke(*(small_log if option == "LOG" else option for option in options), "--out", tmp_path)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("Error: ")
        assert message in result.stderr
        assert not (tmp_path / "results.json").exists()

    def test_no_seeds_are_wrong_usage(self, small_log, tmp_path):
        result = invoke(small_log, "--seeds", 0, "--out", tmp_path)
        assert result.exit_code == 2
        assert "0 is not in the range x>=1" in result.stderr


class TestReading:
    """60 queries of two tasks and three arms under other names, with gaps and one row that cannot be used."""

    @pytest.fixture
    def partial(self):
        """Quality ``(n, K)``: the third arm answered every second query, the first not those of three."""
        quality = np.random.default_rng(1).random((60, 3)).round(3)
        quality[1::2, 2] = np.nan
        quality[[4, 8, 10], 0] = np.nan
        return quality

    @pytest.fixture
    def path(self, partial, tmp_path):
        path = tmp_path / "judged.csv"
        lines = [
            f"q{i:02d},arm{k},{partial[i, k]},{'odd' if i % 2 else 'even'}"
            for i, k in np.argwhere(~np.isnan(partial)).tolist()
        ]
        path.write_text("\n".join(["query_id,llm,judge,dataset", "q00,arm0,much,even", *lines]) + "\n")
        return path

    OPTIONS = ("--column", "arm=llm", "--column", "quality=judge", "--policy", "linucb", "--seeds", 1)

    def test_a_partial_log(self, path, partial, tmp_path):
        result = invoke(path, *self.OPTIONS, "--skip-bad", "--partial", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "1 left out: judge" in result.stdout
        (setting,) = results(tmp_path / "out")["settings"]
        had = {row["policy"]: row["utility"]["mean"] for row in setting["rows"]}
        assert had.keys() == {"linucb", "uniform", "always arm1", "best arm per task", "oracle per query"}
        assert had["always arm1"] == pytest.approx(partial[:, 1].mean())
        assert had["uniform"] == pytest.approx(np.nanmean(partial, axis=1).mean())
        assert had["oracle per query"] == pytest.approx(np.nanmax(partial, axis=1).mean())
        per_task = []
        for rows in (partial[::2], partial[1::2, :2]):
            ranked = np.argsort(-np.nanmean(rows, axis=0))
            per_task += [next(row[k] for k in ranked if not np.isnan(row[k])) for row in rows]
        assert had["best arm per task"] == pytest.approx(np.mean(per_task))

    def test_the_same_in_a_file(self, path, tmp_path):
        config = tmp_path / "experiment.toml"
        config.write_text(
            f'log = "{path}"\nformat = "long"\ncolumns = {{arm = "llm", quality = "judge"}}\nskip_bad = true\n'
            'partial = true\npolicies = ["linucb"]\nseeds = 1\n'
        )
        assert invoke("--config", config, "--out", tmp_path / "one").exit_code == 0
        options = [*self.OPTIONS, "--format", "long", "--skip-bad", "--partial"]
        assert invoke(path, *options, "--out", tmp_path / "other").exit_code == 0
        assert results(tmp_path / "one")["settings"] == results(tmp_path / "other")["settings"]

    def test_whole_queries_only(self, path, tmp_path):
        result = invoke(path, *self.OPTIONS, "--skip-bad", "--out", tmp_path / "out")
        assert "1 left out: judge\n33 left out: query that lacks an arm" in result.stdout
        assert results(tmp_path / "out")["requests"] == 27

    def test_command_refuses_logs_that_need_other_options(self, path, tmp_path):
        assert "in no known format" in invoke(path, "--out", tmp_path).stderr
        assert "row 2: judge is 'much'" in invoke(path, *self.OPTIONS, "--partial", "--out", tmp_path).stderr
        path.write_text(path.read_text().replace("much", "1").replace("q00,arm0,0", "q60,arm0,0"))
        assert "has 0 rows for query" in invoke(path, *self.OPTIONS, "--out", tmp_path).stderr


def test_shipped_log_is_the_default():
    environment = Experiment.of({}).environment
    assert environment.table.name == "paretobandit4"
    assert len(environment.x) == len(environment.table)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"polices": ["linucb"]}, "polices: unknown; did you mean 'policies'?"),
            ({"policies": "linucb"}, "policies: it is 'linucb' (str); give a list"),
            ({"policies": []}, "policies is []; give at least one"),
            ({"policies": [3]}, "policies[0]: it is 3 (int); give a text or a table with a type"),
            ({"seeds": True}, "seeds: it is True (bool); give a whole number"),
            ({"seeds": -1}, "give at least one"),
            ({"warm": 0.5}, "warm: it is 0.5 (float); give a whole number"),
            ({"settings": []}, "settings is []; give at least one"),
            ({"settings": ["plain"]}, "settings[0]: it is 'plain' (str); give a table"),
            ({"settings": [{"taste": {}}]}, "settings[0].taste: unknown; known: name, preference, conditions"),
            ({"settings": [{"preference": 3}]}, "settings[0].preference: it is 3 (int); give a table"),
            (
                {"settings": [{"conditions": {"snow": 1}}]},
                "settings[0].conditions.snow: unknown; known: requests_per_second",
            ),
            ({"settings": [{}, {}]}, "two settings have one name"),
            ({"log": "here.csv"}, "give one of them"),
            ({"skip_bad": True}, "give one of them"),
            ({"partial": 1}, "partial: it is 1 (int); give true or false"),
            ({"columns": "quality"}, "columns: it is 'quality' (str); give a table"),
            ({"environment": {"name": "stormy"}}, "give the name (adversarial, drifting, hybrid, linear)"),
            ({"environment": {"name": "linear"}}, "cannot be made"),
            ({"environment": "linear"}, "environment: it is 'linear' (str); give a table"),
            ({"environment": {"name": "linear", "n": 0, "arms": 1, "features": 1}}, "n is 0"),
        ],
    )
    def test_bad_experiment_is_refused_with_the_place(self, given, change, message):
        with pytest.raises(InvalidConfigurationError) as error:
            Experiment.of({**given, **change})
        assert message in str(error.value)

    def test_no_cell_is_done_before_all_settings_are_checked(self, given, tmp_path):
        given["settings"].append({"conditions": {"outages": [{"arm": "nobody"}]}})
        with pytest.raises(InvalidConfigurationError, match="conditions name 'nobody'"):
            run(Experiment.of(given), out=tmp_path, executor="processes", echo=str)
        assert not (tmp_path / "cells").exists()

    @pytest.mark.parametrize("spec", ["", "quality", "quality=", "quality=much", "=1=2", "quality=1;cost_usd=2"])
    def test_bad_preference_is_refused(self, spec):
        with pytest.raises(InvalidConfigurationError, match="is not a preference"):
            preference_of(spec)

    @pytest.mark.parametrize("content", [b"seeds = ", b"\xff", b"a = 1\na = 2"])
    def test_bad_settings_file_is_refused(self, tmp_path, content):
        path = tmp_path / "bad.toml"
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"bad\.toml cannot be read as TOML"):
            read_settings(path)


def test_a_partial_log_has_no_mixture(tmp_path, given):
    experiment = Experiment.of(given)
    quality = experiment.environment.table.outcomes["quality"]
    quality[::2, 0] = np.nan
    rows = run(experiment, out=tmp_path, executor="processes", echo=str)
    names = [row.policy for row in rows["plain"]]
    assert "always arm0" not in names
    assert not any(name.startswith("static mixture") for name in names)
