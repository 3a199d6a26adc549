"""The tables of benchmarks, and which figures moved by more than noise."""

import json
from dataclasses import asdict

from click.testing import CliRunner

from benchmarks.harness import Row
from benchmarks.tables import main, moved, tables


def figure(mean, *, std=0.1, n=4, policy="banditroute", case="four", worst=0.5):
    return Row(case=case, policy=policy, metric="score", mean=mean, std=std, worst=worst, n=n)


def test_table_has_a_line_for_each_policy_and_a_column_for_each_case():
    rows = [figure(0.75), figure(0.5, case="nine"), figure(0.25, policy="uniform")]
    assert tables(rows).splitlines() == [
        "| score | four | nine |",
        "|---|---|---|",
        "| banditroute | 0.75 (0.5) | 0.5 (0.5) |",
        "| uniform | 0.25 (0.5) | – |",
    ]


def test_a_figure_moved_if_it_differs_by_more_than_three_standard_errors():
    # The standard error of the difference is sqrt(0.01 / 4 + 0.01 / 4) = 0.0707.
    assert moved([figure(0.5)], [figure(0.71)]) == []
    assert moved([figure(0.5)], [figure(0.72)]) == [
        "four | banditroute | score: 0.5 -> 0.72 (+0.22, 3.1 standard errors)"
    ]


def test_a_figure_without_noise_moved_if_it_differs_by_more_than_a_thousandth():
    assert moved([figure(1.0, std=0.0)], [figure(1.0005, std=0.0)]) == []
    assert moved([figure(1.0, std=0.0)], [figure(1.01, std=0.0)]) == ["four | banditroute | score: 1 -> 1.01 (+0.01)"]


def test_new_and_missing_figures_are_named():
    assert moved([figure(1.0)], [figure(1.0, policy="uniform")]) == [
        "four | banditroute | score: gone",
        "four | uniform | score: new",
    ]


def test_command_compares_two_files(tmp_path):
    for name, mean in (("old.json", 0.2), ("new.json", 0.9)):
        (tmp_path / name).write_text(json.dumps({"rows": [asdict(figure(mean))]}))
    done = CliRunner().invoke(main, [str(tmp_path / "old.json"), str(tmp_path / "new.json")])
    assert done.exit_code == 0
    assert "| banditroute | 0.9 (0.5) |" in done.output
    assert "moved by more than noise:\nfour | banditroute | score: 0.2 -> 0.9" in done.output
    alone = CliRunner().invoke(main, [str(tmp_path / "new.json")])
    assert "moved" not in alone.output


def test_command_rebuilds_and_compares_all_benchmarks_of_a_folder(tmp_path):
    for run, mean in (("old", 0.2), ("new", 0.9)):
        (tmp_path / run).mkdir()
        for name, value in (("guard", mean), ("drift", 0.5)):
            (tmp_path / run / f"{name}.json").write_text(json.dumps({"rows": [asdict(figure(value))]}))
    done = CliRunner().invoke(main, [str(tmp_path / "old"), str(tmp_path / "new")])
    assert done.exit_code == 0
    assert done.output.index("### drift") < done.output.index("### guard")
    assert done.output.split("moved by more than noise:\n")[1].startswith(
        "guard: four | banditroute | score: 0.2 -> 0.9"
    )
    assert "drift: " not in done.output


def test_command_refuses_a_folder_without_results(tmp_path):
    done = CliRunner().invoke(main, [str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no .json file" in done.output
