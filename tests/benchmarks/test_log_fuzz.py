"""Damaged logs of every format: only declared errors come out."""

from benchmarks import log_fuzz


def test_two_thousand_damaged_files(tmp_path):
    took = log_fuzz.run(2000, seed=0, folder=tmp_path)
    assert sum(len(seconds) for seconds, _ in took.values()) == 2000
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
