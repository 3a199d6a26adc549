"""Damaged logs of every format: only declared errors come out."""

import pytest

from benchmarks import log_fuzz


@pytest.mark.parametrize("files", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files_raise_declared_errors_only(tmp_path, files):
    took = log_fuzz.run(files, seed=0, folder=tmp_path)
    assert sum(len(seconds) for seconds, _ in took.values()) == files
    for name, (seconds, refused) in took.items():
        assert any(refused), name
        assert name.endswith(".db") or not all(refused), name
        assert max(seconds) < 20.0


def test_every_sample_is_read(tmp_path):
    for name in log_fuzz.SAMPLES:
        path = tmp_path / "log"
        path.write_bytes(log_fuzz.sample(name))
        log_fuzz.read(path, skip_bad=False)
        assert log_fuzz.open_log(path).format.name == name.split(".")[0]
