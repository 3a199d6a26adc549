"""The JSON of every command that prints an answer."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from banditroute import LinUCB, Router, SQLStore
from banditroute.cli import main

TO_A_FILE = {"demo", "report", "serve", "dashboard"}
"""Commands that answer with a page, or go on."""

KEYS = {
    "check": {"mistakes"},
    "convert": {"written", "format", "out", "left_out"},
    "set": {"change", "dry_run", "expected"},
    "guard": {"change", "dry_run", "expected"},
    "promote": {"number", "at", "who", "kind", "subject", "values"},
    "arms add": {"change", "dry_run", "expected"},
    "arms remove": {"change", "dry_run", "expected"},
    "arms changes": {"number", "at", "who", "kind", "subject", "values"},
    "db upgrade": {"upgraded"},
    "db verify": {"damage"},
    "db rebuild": {"rebuilt"},
    "db prune": {"deleted"},
    "db export": {"written", "out"},
    "db erase": {"decisions", "dry_run"},
    "db snapshot": {"version_of_epoch"},
    "db rollback": {"outcomes_dropped"},
    "db copy": {"copied"},
    "inspect": {
        *{"id", "router", "features_version", "dimension", "version", "decisions", "pruned", "answered", "pending"},
        *{"lag_seconds", "spend_usd", "snapshots", "states", "budgets", "arms"},
    },
    "explain": {"id", "arm", "decided_at", "facts", "why", "arms", "objectives", "left_out", "outcomes"},
    "simulate": {"Preference(quality=1)"},
    "evaluate": {"objectives", "utility"},
    "savings": {"baseline_usd_per_1000", "quality", "verdict"},
    "robustness": {"prompts", "flips", "margins", "categories", "quality"},
    "diagnose": {"slots", "recommended_slots", "demand", "figures"},
}
"""Command -> names that its JSON has; of a list, those of its first entry."""


def commands(group=main, prefix=""):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_every_command_that_prints_an_answer_has_json():
    with_json = {name for name, command in commands() if any(each.name == "as_json" for each in command.params)}
    assert with_json == {name for name, _ in commands()} - TO_A_FILE
    assert set(KEYS) == with_json


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A database with decisions of a router, and the words of command lines that stand for places."""
    folder = tmp_path_factory.mktemp("json")
    url = f"sqlite:///{folder / 'routes.db'}"
    with Router(arms=["small", "large"], features=1, store=SQLStore(url), challenger=LinUCB(), seed=0) as router:
        made = [router.route([i % 2], session="Ann") for i in range(60)]
        for each in made[:50]:
            router.feedback(each.id, quality=float(each.arm == "large"), cost_usd=0.01, source="judge")
    texts = f"sqlite:///{folder / 'texts.db'}"
    with Router(arms=["small", "large"], store=SQLStore(texts), seed=0) as router:
        router.feedback(router.route("Why is the sky blue?").id, quality=1.0)
    prompts = folder / "prompts.txt"
    prompts.write_text("Why is the sky blue?\nSum 2 and 3.\n")
    table = folder / "table.csv"
    rows = [f"q{i},{arm},{i % 2},0.0{1 + k}" for i in range(60) for k, arm in enumerate(("small", "large"))]
    table.write_text("\n".join(["query_id,model,score,cost_usd", *rows]) + "\n")
    file = folder / "router.toml"
    file.write_text('arms = ["small", "large"]\n')
    return {
        "URL": url,
        "ID": made[0].id,
        "TEXTS": texts,
        "PROMPTS": prompts,
        "TABLE": table,
        "FILE": file,
        "OUT": folder / "log.jsonl",
        "FOLDER": folder / "simulated",
        "EMPTY": f"sqlite:///{folder / 'empty.db'}",
    }


@pytest.mark.parametrize(
    "line",
    [
        "check FILE",
        "convert URL OUT",
        "simulate TABLE --policy thompson --seeds 1 --executor serial --out FOLDER",
        "evaluate URL --policy uniform",
        "savings URL --baseline large",
        "robustness TEXTS --prompts PROMPTS",
        "diagnose TABLE",
        "explain URL ID",
        "inspect URL",
        "set URL traffic.small=0.25 --dry-run",
        "arms add URL third",
        "arms remove URL third",
        "arms changes URL",
        "guard URL bypass --dry-run",
        "promote URL --dry-run",
        "db verify URL",
        "db snapshot URL",
        "db rebuild URL",
        "db export URL OUT",
        "db erase URL --session Ann --dry-run",
        "db prune URL",
        "db upgrade EMPTY",
        "db copy URL EMPTY",
        "db rollback URL --to 2999-01-01T00:00",
    ],
)
def test_json_has_the_names_that_programs_read(line, places):
    words = [str(places.get(word, word)) for word in line.split()]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code in (0, 1), result.output  # 1: the answer is no
    read = json.loads(result.stdout)
    name = next(name for name in sorted(KEYS, key=len, reverse=True) if line.startswith(f"{name} "))
    first = read[0] if isinstance(read, list) else read
    assert set(first) >= KEYS[name], sorted(first)


def test_a_set_with_one_wrong_change_records_nothing(places):
    url = places["URL"]
    before = CliRunner().invoke(main, ["arms", "changes", url, "--json"]).stdout
    result = CliRunner().invoke(main, ["set", url, "traffic.small=0.5", "traffic.large=much"])
    assert result.exit_code == 1
    assert "'traffic.large=much' is not of the form" in result.stderr
    assert CliRunner().invoke(main, ["arms", "changes", url, "--json"]).stdout == before
