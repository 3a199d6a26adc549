"""Where rows are left out, a log of which no row of an arm is left is refused: it would say nothing of that arm."""

import json

import pytest
from click.testing import CliRunner

from banditroute.cli.main import main
from banditroute.errors import InvalidInputError
from banditroute.logs import read_log, read_outcomes


def flat(path, bad=8):
    """A log in which the cost of one arm is in another unit, so that all of its rows are out of range."""
    lines = ["model,propensity,quality"]
    lines += [f"small,0.5,{k % 2}" for k in range(20)]
    lines += ["large,0.5,70" for _ in range(bad)]
    path.write_text("\n".join(lines) + "\n")
    return path


def litellm(path):
    rows = [
        {"request_id": f"{k}", "model": "small", "spend": 0.1, "startTime": "2026-01-01T00:00:00Z"} for k in range(9)
    ]
    rows += [{**row, "request_id": f"l{k}", "model": "large", "startTime": "soon"} for k, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def long_outcomes(path):
    lines = ["query_id,arm,quality"]
    lines += [f"q{k},{arm},{0.5 if arm == 'small' else 70}" for k in range(9) for arm in ("small", "large")]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("make", "name", "why"), [(flat, "log.csv", "outcomes 8"), (litellm, "log.jsonl", "9")])
def test_log_without_any_row_of_an_arm_is_refused(make, name, why, tmp_path):
    with pytest.raises(InvalidInputError, match=f"all rows of arm 'large' would be left out.*{why}"):
        read_log(make(tmp_path / name), skip_bad=True)


def test_outcomes_without_any_row_of_an_arm_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="all rows of arm 'large' would be left out"):
        read_outcomes(long_outcomes(tmp_path / "outcomes.csv"), skip_bad=True, partial=True)


def test_few_rows_of_a_mistyped_arm_are_left_out(tmp_path):
    log = read_log(flat(tmp_path / "log.csv", bad=4), skip_bad=True)
    assert log.arms == ("small",)
    assert log.skipped == {"outcomes": 4}


def test_an_arm_of_which_one_row_is_left_is_kept(tmp_path):
    path = flat(tmp_path / "log.csv")
    path.write_text(path.read_text() + "large,0.5,0.7\n")
    assert read_log(path, skip_bad=True).arms == ("large", "small")


@pytest.mark.parametrize("command", [["convert", "{log}", "{out}"], ["evaluate", "{log}", "--policy", "uniform"]])
def test_commands_say_so_in_their_words(command, tmp_path):
    log, out = flat(tmp_path / "log.csv"), tmp_path / "out.jsonl"
    result = CliRunner().invoke(main, [*(each.format(log=log, out=out) for each in command), "--skip-bad"])
    assert result.exit_code != 0
    assert "all rows of arm 'large' would be left out" in result.output
    assert not out.exists()
