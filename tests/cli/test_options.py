"""Options that commands share, policies of the user's own, and errors in the command line's words."""

import json
import os
import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import Router, SQLStore
from banditroute.cli import main
from banditroute.cli.options import objective_of
from banditroute.cli.output import print_json, table
from banditroute.cli.wording import on_the_command_line
from banditroute.errors import InvalidConfigurationError


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def decisions(tmp_path_factory):
    """A log of 400 decisions by columns, with an objective of its own; large is better."""
    rng = np.random.default_rng(0)
    rows = [
        f"{arm},0.5,{float(rng.random() < (0.9 if arm == 'large' else 0.5))},{5 if arm == 'large' else 2},{250}"
        for arm in rng.choice(["small", "large"], size=400)
    ]
    path = tmp_path_factory.mktemp("logs") / "decisions.csv"
    path.write_text("\n".join(["arm,propensity,quality,stars,ms", *rows]) + "\n")
    return path


class TestHelp:
    def test_commands_are_listed_by_topic_within_80_columns(self):
        result = invoke("-h")
        assert result.exit_code == 0
        for topic in ("Try policies:", "Read a log:", "Look after a database:"):
            assert topic in result.output
        assert "Exit status: 0 done; 1 " in result.output
        assert "_BANDITROUTE_COMPLETE=bash_source" in result.output
        assert all(len(line) <= 80 for line in result.output.splitlines())
        assert "..." not in result.output.split("Try policies:")[1].split("Exit status")[0]

    def test_a_misspelt_command_or_option_is_corrected(self):
        for arguments, right in (
            (["evalute"], "evaluate"),
            (["evaluate", "x", "--polcy", "a"], "--policy"),
            (["evaluate", "x", "--policy", "a", "--format", "flatt"], "flat"),
        ):
            result = invoke(*arguments)
            assert result.exit_code == 2
            assert right in result.stderr


class TestObjective:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("stars", ("stars", True, -np.inf, np.inf)),
            ("toxicity:lower", ("toxicity", False, -np.inf, np.inf)),
            ("stars:1..5", ("stars", True, 1.0, 5.0)),
            ("wait:lower:0..", ("wait", False, 0.0, np.inf)),
        ],
    )
    def test_objective_of_parses_a_specification(self, spec, expected):
        found = objective_of(spec)
        assert (found.name, found.higher_is_better, found.low, found.high) == expected

    @pytest.mark.parametrize("spec", ["", "stars:up", "stars:1-5", "stars:a..b", "stars:5..1", "two words"])
    def test_something_else_is_refused(self, spec):
        with pytest.raises(InvalidConfigurationError):
            objective_of(spec)
        assert invoke("evaluate", "x", "--policy", "a", "--objective", spec).exit_code == 2

    @pytest.mark.parametrize("command", [["evaluate", "--policy", "large"], ["diagnose"], ["report", "--out", "OUT"]])
    def test_commands_weigh_it_and_refuse_another(self, decisions, tmp_path, command):
        name, *options = (str(tmp_path) if each == "OUT" else each for each in command)
        wrong = invoke(name, decisions, *options, "--preference", "strs=1", "--objective", "stars:1..5")
        assert wrong.exit_code == 1
        assert "'strs'" in wrong.stderr
        right = invoke(name, decisions, *options, "--preference", "stars=1", "--objective", "stars:1..5")
        assert right.exit_code == 0, right.output

    def test_simulate_takes_it_from_the_command_line_and_from_a_file(self, tmp_path):
        rows = [f"q{q},{arm},0.5,{stars}" for q in range(30) for arm, stars in (("a", 1), ("b", 5))]
        log = tmp_path / "table.csv"
        log.write_text("\n".join(["query_id,model,score,stars", *rows]) + "\n")
        config = tmp_path / "experiment.toml"
        config.write_text(
            f'log = "{log}"\nseeds = 1\npolicies = ["linucb"]\ncolumns = {{stars = "stars"}}\n'
            '[[objectives]]\nname = "stars"\nlow = 1.0\nhigh = 5.0\n'
            '[[settings]]\nname = "stars"\npreference = {stars = 1.0}\n'
        )
        of_file = ["simulate", "--config", config]
        of_line = ["simulate", log, "--seeds", 1, "--policy", "linucb", "--objective", "stars:1..5"]
        for k, arguments in enumerate((of_file, [*of_line, "--preference", "stars=1"])):
            result = invoke(*arguments, "--out", tmp_path / str(k))
            assert result.exit_code == 0, result.output
            rows = json.loads((tmp_path / str(k) / "results.json").read_text())["settings"][0]["rows"]
            assert next(row for row in rows if row["policy"] == "always b")["utility"]["mean"] == 5.0


class TestColumn:
    def test_the_formats_own_names_and_units(self, decisions):
        options = ["--column", "score=quality", "--column", "latency_seconds=ms*0.001"]
        result = invoke("evaluate", decisions, "--policy", "large", *options, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["objectives"]["latency_seconds"]["value"]["value"] == pytest.approx(0.25)

    def test_errors_speak_of_options(self, decisions, tmp_path):
        plain = tmp_path / "plain.csv"
        plain.write_text("llm,prob\na,0.5\n")
        for arguments, words in (
            (["evaluate", plain, "--policy", "a"], "name the format with --format"),
            (["evaluate", plain, "--policy", "a"], "with --column which column"),
            (["evaluate", decisions, "--policy", "large", "--router", "r"], "leave out --router"),
            (["simulate", decisions, "--seeds", 1], "use it with banditroute evaluate"),
            (["evaluate", decisions, "--policy", "large", "--column", "quality=arm"], "leave it out (--skip-bad)"),
        ):
            result = invoke(*arguments)
            assert result.exit_code == 1
            assert words in result.stderr
            assert not re.search(r"\b(columns|format|router|skip_bad|partial)=", result.stderr)


class TestOwnPolicy:
    @pytest.fixture
    def module(self, tmp_path, monkeypatch):
        (tmp_path / "mypolicies_of_a_test.py").write_text(
            "import numpy as np\nfrom banditroute import LinUCB\n"
            "class First:\n"
            "    def __init__(self, *, share=1.0):\n        self.share = share\n"
            "    def probabilities(self, means, stds, *, arms, information):\n"
            "        p = np.full(len(means), (1 - self.share) / len(means))\n"
            "        p[0] += self.share\n        return p\n"
            "    def __repr__(self):\n        return 'First'\n"
            "ready = LinUCB()\n"
            "number = 7\n"
        )
        monkeypatch.chdir(tmp_path)
        return "mypolicies_of_a_test"

    @pytest.mark.parametrize("name", ["First", "First(share=0.5)", "ready"])
    def test_simulate_runs_a_policy_of_ones_own(self, module, small_log, tmp_path, name):
        result = invoke("simulate", small_log, "--policy", f"{module}:{name}", "--seeds", 1, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("Second", "cannot be found"), ("number", "is a int; give a policy"),
            ("First(share=open('x'))", "cannot be made"), ("First(0.5)", "options need a name"),
            ("First(shares=1)", "cannot be made"),
        ],
    )  # fmt: skip
    def test_something_else_is_refused(self, module, decisions, name, message):
        result = invoke("evaluate", decisions, "--policy", f"{module}:{name}")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert message in result.stderr

    def test_a_file_of_settings_imports_nothing(self, module, small_log, tmp_path):
        config = tmp_path / "experiment.toml"
        config.write_text(f'log = "{small_log}"\npolicies = ["{module}:First"]\n')
        result = invoke("simulate", "--config", config, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert f"{module}:First" in result.stderr


class TestDatabases:
    def test_a_command_that_reads_creates_nothing(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty.db").touch()
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
            connection.execute("CREATE TABLE mine (x)")
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for url in ("sqlite:///typo.db", "typo.db", "empty.db", "sqlite:///empty.db", "other.db"):
            for command in (["inspect"], ["db", "verify"], ["db", "rebuild"], ["db", "prune"]):
                assert invoke(*command, url).exit_code == 2
            assert invoke("evaluate", url, "--policy", "a").exit_code == 1
            assert invoke("report", url, "--out", "page").exit_code == 1
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_an_export_replaces_no_database_and_follows_no_link(self, tmp_path):
        path = tmp_path / "routes.db"
        with Router(arms=["a", "b"], features=1, store=SQLStore(f"sqlite:///{path}"), seed=0) as router:
            router.feedback(router.route([0.5]).id, quality=1.0)
        content = path.read_bytes()
        assert "name it .parquet" in invoke("db", "export", path, path).stderr
        assert path.read_bytes() == content
        (tmp_path / "precious").write_text("precious")
        os.symlink(tmp_path / "precious", tmp_path / "out.parquet")
        assert invoke("db", "export", path, tmp_path / "out.parquet").exit_code == 0
        assert (tmp_path / "precious").read_text() == "precious"
        assert not (tmp_path / "out.parquet").is_symlink()

    def test_an_export_that_fails_leaves_the_older_one(self, tmp_path):
        path = tmp_path / "routes.db"
        with Router(arms=["a", "b"], features=1, store=SQLStore(f"sqlite:///{path}"), seed=0) as router:
            router.feedback(router.route([0.5]).id, quality=1.0)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE banditroute_decision SET preference = '[['")
        (tmp_path / "keep.parquet").write_text("older")
        result = invoke("db", "export", path, tmp_path / "keep.parquet")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert (tmp_path / "keep.parquet").read_text() == "older"
        assert sorted(each.name for each in tmp_path.iterdir()) == ["keep.parquet", "routes.db"]

    def test_json_of_inspect(self, tmp_path):
        path = tmp_path / "routes.db"
        with Router(arms=["a", "b"], features=1, store=SQLStore(f"sqlite:///{path}"), seed=0) as router:
            router.feedback(router.route([0.5]).id, quality=1.0)
        (epoch,) = json.loads(invoke("inspect", path, "--json").stdout)
        assert (epoch["router"], epoch["decisions"], [arm["name"] for arm in epoch["arms"]]) == (
            "default",
            1,
            ["a", "b"],
        )

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://user:{}@127.0.0.1:notaport/db", "user:{}@h/db", "postgresql:/user:{}@h/db",
            "mysql://user:{}@h/db", "sqlite:///no.db?key={}", "postgresql://127.0.0.1:x/db?password={}",
        ],
    )  # fmt: skip
    def test_no_message_holds_a_password(self, url, tmp_path):
        secret = "s3cr3tPW"
        for command in (["inspect"], ["db", "verify"], ["db", "upgrade"], ["diagnose"], ["evaluate", "--policy", "a"]):
            name, *rest = command
            result = invoke(name, *([*rest, url.format(secret)] if name == "db" else [url.format(secret), *rest]))
            assert result.exit_code != 0
            assert secret not in result.output


class TestOutput:
    def test_values_that_json_lacks(self, capsys):
        print_json({"a": np.float32(0.5), "b": [np.inf, None, {"c"}], "d": (np.bool_(True),)})
        assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": [None, None, ["c"]], "d": [True]}

    def test_a_table_does_not_steer_the_terminal(self):
        assert table([["arm", "n"], ["\x1b[31mred\u202e", "1"]]).splitlines()[2].startswith("\ufffd[31mred\ufffd")

    def test_a_table_fits(self):
        text = table([["arm", "quality"], ["x" * 200, "0.5"]])
        assert max(map(len, text.splitlines())) == 80
        assert text.splitlines()[2].endswith("0.5")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("name one of them with router=", "name one of them with --router"),
        ("give one of decision_id=, session= and source=", "give one of --decision, --session and --source"),
        ("leave it out (skip_bad=True)", "leave it out (--skip-bad)"),
        ("the column 'format=x' is there", "the column 'format=x' is there"),
    ],
)  # fmt: skip
def test_words_of_the_command_line(message, expected):
    assert on_the_command_line(message) == expected
