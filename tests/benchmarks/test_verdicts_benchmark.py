"""The benchmark of verdicts runs, and counts what it says."""

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
