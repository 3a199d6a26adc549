"""The command line: its help, its one-line errors, and the demo through it."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

import banditroute
from banditroute.budgets import Budget
from banditroute.cli import main
from banditroute.router import Router
from banditroute.store import SQLStore

ROOT = Path(__file__).resolve().parents[1]


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_version_option_prints_the_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.output == f"banditroute, version {banditroute.__version__}\n"


def test_help_names_every_command():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "Learns, online, which LLM or LoRA adapter should serve each request." in result.output
    for name, command in main.commands.items():
        assert re.search(rf"  {name} +{command.get_short_help_str(limit=20).removesuffix('...')}", result.output)


def test_help_of_demo_names_its_options_and_defaults():
    result = invoke("demo", "--help")
    assert result.exit_code == 0
    for option in ("--log FILE", "--out DIRECTORY", "--seeds INTEGER", "[default: demo-output]", "[default: 4;"):
        assert option in result.output


def test_every_option_is_explained():
    for command in (*main.commands.values(), *main.commands["db"].commands.values()):
        assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_own_errors_are_one_line(bad_log, tmp_path):
    result = invoke("demo", "--log", bad_log, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {bad_log} cannot be read: ")
    assert result.stderr.count("\n") == 1


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(**options):
        raise ZeroDivisionError

    monkeypatch.setattr("banditroute.demo.tell", broken)
    assert isinstance(invoke("demo").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--column", "quality"], "'quality' is not NAME=COLUMN"),
        (["demo", "--seeds", "0"], "0 is not in the range x>=1"),
        (["demo", "--seeds", "many"], "'many' is not a valid integer"),
        (["dmeo"], "No such command 'dmeo'"),
    ],
)
def test_wrong_usage_exits_with_status_2(arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_demo_writes_its_database_and_report(small_log, tmp_path):
    out = tmp_path / "out"
    result = invoke("demo", "--log", small_log, "--out", out, "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert "60 real prompts, with the real answers of 4 models" in result.stdout
    assert {"demo.db", "report.html", "figures.json", "budget.png"} <= {path.name for path in out.iterdir()}
    figures = json.loads((out / "figures.json").read_text())
    assert figures["facts"]["runs"] == "2"


def test_module_is_the_command():
    run = [sys.executable, "-m", "banditroute", "--version"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"banditroute, version {banditroute.__version__}\n"
    assert done.stderr == ""


class TestDatabase:
    @pytest.fixture
    def path(self, tmp_path):
        """The database of a router that made three decisions and had feedback for two."""
        path = tmp_path / "routes.db"
        store = banditroute.SQLStore(f"sqlite:///{path}")
        with banditroute.Router(arms=["small", "large"], features=1, store=store, seed=0) as router:
            made = [router.route([float(i)], session="Ann" if i else None) for i in range(3)]
            router.feedback(made[0].id, quality=1.0, cost_usd=0.25)
            router.feedback(made[1].id, source="grader", quality=0.0)
            store.save_state("budget", b"1234")
        self.ids = [each.id for each in made]
        return path

    def say(self, *arguments, status=0):
        result = invoke(*arguments)
        assert result.exit_code == status, result.output
        return result.output

    def test_inspect_prints_the_figures_of_a_database(self, path):
        output = self.say("inspect", path)
        assert "router 'default', 2 features of " in output
        assert "3 decisions (0 pruned), 2 with feedback, spend $0.2500" in output
        assert "0 outcomes pending" in output
        assert "state 'budget': 4 bytes" in output
        assert re.search(r"^arm +cost_usd +quality +nats$", output, re.MULTILINE)
        assert "outcomes reported for each arm" in output
        assert re.search(r"^small +\d +\d +\d+\.\d$", output, re.MULTILINE)
        assert self.say("inspect", f"sqlite:///{path}", "--router", "other") == "nothing is recorded\n"

    def test_inspect_shows_budgets(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'budgets.db'}"
        budgets = [Budget(usd=0.5), Budget(joules=2e6, per="day", tag="batch")]
        with Router(arms=["small", "large"], features=1, budgets=budgets, store=SQLStore(url)) as router:
            for tags in ([], ["batch"], ["batch"]):
                router.feedback(router.route([0.0], tags=tags).id, cost_usd=0.25, energy_joules=7e3)
        output = self.say("inspect", url)
        assert "budget 0.5 cost_usd per request: 3 requests, 0.75 spent (pace 0.50), shadow price 0\n" in output
        assert "budget 2e+06 energy_joules per day batch: 2 requests, 1.4e+04 spent (pace " in output

    def test_verify_and_rebuild(self, path):
        assert self.say("db", "verify", path) == "no damage; the learned state is that of the log\n"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE banditroute_statistics SET blob = x'00'")
        assert "is damaged (checksum)" in self.say("db", "verify", path, status=1)
        assert self.say("db", "rebuild", path) == "the learned state is computed from the log\n"
        self.say("db", "verify", path)

    def test_erase_prints_how_many_decisions_it_erased(self, path):
        assert self.say("db", "erase", path, "--source", "grader").startswith("1 decisions")
        assert self.say("db", "erase", path, "--session", "Ann").startswith("2 decisions")
        assert self.say("db", "erase", path, "--decision", self.ids[0]).startswith("1 decisions")
        assert "exactly one" in self.say("db", "erase", path, status=1)
        assert "0 decisions (0 pruned), 0 with feedback" in self.say("inspect", path)

    def test_export_and_prune(self, path, tmp_path):
        out = tmp_path / "log.parquet"
        assert self.say("db", "export", path, out) == f"3 decisions written to {out}\n"
        assert self.say("db", "prune", path) == "0 decisions deleted\n"
        at_once = ("--answered-days", 0, "--unanswered-days", 0)
        assert self.say("db", "prune", path, *at_once, "--export", tmp_path / "old") == "3 decisions deleted\n"
        assert len(list((tmp_path / "old").glob("*.parquet"))) == 2
        assert "2 with feedback" in self.say("inspect", path)

    def test_rollback_to_a_missing_snapshot_names_the_known_ones(self, path):
        output = self.say("db", "rollback", path, 1, 7, status=1)
        assert "no snapshot of version 7 of epoch 1; there are: 1" in output

    def test_upgrade_makes_a_database_of_this_schema(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'new.db'}"
        assert self.say("db", "upgrade", url) == "the schema is that of this version\n"
        assert self.say("inspect", url) == "nothing is recorded\n"

    def test_a_file_that_is_not_there_is_not_made(self, tmp_path):
        assert "there is no file" in self.say("inspect", tmp_path / "no.db", status=2)
        assert not (tmp_path / "no.db").exists()
        assert "is not served" in self.say("inspect", "mysql://localhost/x", status=2)


def test_report_writes_a_page_of_a_log(tmp_path):
    rows = [
        {"query_id": f"q{q}", "prompt": f"prompt {q}", "model": model, "score": float(q % 2), "cost_usd": 0.001}
        for q in range(60)
        for model in ("small", "large")
    ]
    path = tmp_path / "toy.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    result = invoke("report", path, "--out", tmp_path / "out", "--seeds", 2, "--budget-usd", 0.002)
    assert result.exit_code == 0, result.output
    assert "share of the budget" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("command", [["report"], ["demo", "--log"]])
def test_a_log_is_read_as_it_is_said(command, tmp_path):
    lines = [f"q{q:02d},{model},{q % 2},0.001,prompt {q}" for q in range(60) for model in ("small", "large")]
    path = tmp_path / "judged.csv"
    path.write_text(
        "\n".join(["query_id,model,judge,cost_usd,prompt", *lines, "q60,small,much,0.001,prompt 60"]) + "\n"
    )
    options = ["--column", "quality=judge", "--out", tmp_path / "out", "--seeds", 1]
    assert "row 122: judge is 'much'" in invoke(*command, path, *options).output
    result = invoke(*command, path, *options, "--skip-bad", "--format", "long")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 left out: judge\n")
    assert json.loads((tmp_path / "out" / "figures.json").read_text())


def test_report_of_one_router(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    for name in ("one", "other"):
        with Router(arms=["small", "large"], features=1, name=name, store=SQLStore(url), seed=0) as router:
            router.feedback(router.route([0.0]).id, quality=1.0)
    assert "decisions of several routers, one, other" in invoke("report", url, "--out", tmp_path).output
    result = invoke("report", url, "--router", "one", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "figures.json").read_text())["facts"]["decisions"] == "1"


@pytest.mark.parametrize("command", [["report", "{db}", "--out", "{out}"], ["demo", "--out", "{out}"]])
@pytest.mark.parametrize("kind", ["pipe", "below a file"])
def test_place_that_cannot_be_written_is_one_line(command, kind, tmp_path):
    db, out = tmp_path / "routes.db", tmp_path / "out"
    with Router(arms=["a", "b"], features=1, store=SQLStore(f"sqlite:///{db}")) as router:
        router.feedback(router.route([0.5]).id, quality=1.0)
    if kind == "pipe":
        os.mkfifo(out)
    else:
        out.write_text("a file")
        out = out / "page"
    result = invoke(*(each.format(db=db, out=out) for each in command))
    assert result.exit_code == 1
    assert str(out) in result.output
    assert "give another path" in result.output
    assert not isinstance(result.exception, OSError)
