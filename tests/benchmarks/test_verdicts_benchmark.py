"""The benchmark of verdicts runs, and counts what it says."""

import numpy as np
from click.testing import CliRunner

from benchmarks import verdicts


def test_rows_of_every_case(monkeypatch):
    monkeypatch.setattr(verdicts, "CASES", {"null": verdicts.Case(old=0.99, new=0.99, explored=0.05, decisions=2_400)})
    monkeypatch.setattr(verdicts, "GAINS", {"gain": verdicts.Case(old=0.2, new=0.8, explored=0.5, decisions=1_000)})
    done = CliRunner().invoke(verdicts.main, ["--logs", "3", "--gain-logs", "2"])
    assert done.exit_code == 0, done.output
    lines = [line.split()[:5] for line in done.output.splitlines()]
    rows = [line for line in lines if line and line[0] in ("null", "gain")]
    assert rows == [
        ["null", "banditroute/against_old", "wrong", "0", "0"],
        ["null", "banditroute/against_logged", "wrong", "0", "0"],
        ["gain", "banditroute/against_old", "found", "1", "0"],
        ["gain", "banditroute/against_logged", "found", "1", "0"],
    ]


def test_amounts_take_the_place_of_quality(monkeypatch):
    drawn = []

    def one_amount(rng, n):
        drawn.append(n)
        return np.full(n, 0.001)

    case = verdicts.Case(old=1.0, new=1.0, explored=0.2, decisions=1_000, amounts=("energy_joules", one_amount))
    monkeypatch.setattr(verdicts, "CASES", {"joules": case})
    monkeypatch.setattr(verdicts, "GAINS", {})
    done = CliRunner().invoke(verdicts.main, ["--logs", "2"])
    assert done.exit_code == 0, done.output
    assert drawn == [1_000] * 4
    assert [line.split()[:5] for line in done.output.splitlines() if line.startswith("joules ")] == [
        ["joules", "banditroute/against_old", "wrong", "0", "0"],
        ["joules", "banditroute/against_logged", "wrong", "0", "0"],
    ]
