"""The processor time of examples."""

from click.testing import CliRunner

from benchmarks import examples


def test_each_script_has_its_processor_time(tmp_path):
    script = tmp_path / "busy.py"
    script.write_text("import time\nwhile time.process_time() < 0.3:\n    pass\n")
    result = CliRunner().invoke(examples.main, [str(script), "--seeds", "2"])
    assert result.exit_code == 0, result.output
    case, policy, metric, mean, _, _, n = result.output.splitlines()[1].split()
    assert (case, policy, metric, n) == ("busy.py", "python", "processor_seconds", "2")
    assert float(mean) >= 0.3


def test_script_that_fails_is_not_timed(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text("raise SystemExit(3)\n")
    assert CliRunner().invoke(examples.main, [str(script)]).exit_code != 0
