"""The command line: its help, its one-line errors, and the demo through it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import banditroute
from banditroute.cli import main

ROOT = Path(__file__).resolve().parents[1]


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.output == f"banditroute, version {banditroute.__version__}\n"


def test_help_names_every_command():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "Learns, online, which LLM or LoRA adapter should serve each request." in result.output
    for name, command in main.commands.items():
        assert f"  {name}  {command.get_short_help_str(limit=20).removesuffix('...')}" in result.output


def test_help_of_demo_names_its_options_and_defaults():
    result = invoke("demo", "--help")
    assert result.exit_code == 0
    for option in ("--log FILE", "--out DIRECTORY", "--seeds INTEGER", "[default: demo-output]", "[default: 20;"):
        assert option in result.output


def test_every_option_is_explained():
    for command in main.commands.values():
        assert all(option.help for option in command.params)


def test_own_errors_are_one_line(bad_log, tmp_path):
    result = invoke("demo", "--log", bad_log, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {bad_log} cannot be read as Parquet: ")
    assert result.stderr.count("\n") == 1


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(**options):
        raise ZeroDivisionError

    monkeypatch.setattr("banditroute.simulate.demo.run", broken)
    assert isinstance(invoke("demo").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--log", "nowhere.parquet"], "'nowhere.parquet' does not exist"),
        (["demo", "--seeds", "0"], "0 is not in the range x>=1"),
        (["demo", "--seeds", "many"], "'many' is not a valid integer"),
        (["dmeo"], "No such command 'dmeo'"),
    ],
)
def test_wrong_usage(arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_demo(small_log, tmp_path):
    out = tmp_path / "out"
    result = invoke("demo", "--log", small_log, "--out", out, "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert "60 prompts with the real answers of 4 models" in result.stdout
    assert "ThompsonSampling" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == ["demo.db", "demo.png", "figures.json"]
    figures = json.loads((out / "figures.json").read_text())
    assert next(row for row in figures["rows"] if row["policy"] == "LinUCB")["utility"]["n"] == 2


def test_module_is_the_command():
    run = [sys.executable, "-m", "banditroute", "--version"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"banditroute, version {banditroute.__version__}\n"
    assert done.stderr == ""
