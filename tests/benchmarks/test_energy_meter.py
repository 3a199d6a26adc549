"""The meter's benchmark measures what there is, and says what there is not."""

import json

from click.testing import CliRunner

from benchmarks import energy_meter


def test_every_case_has_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(energy_meter, "BLOCKS", 20)
    out = tmp_path / "out.json"
    result = CliRunner().invoke(energy_meter.main, ["--seeds", "2", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {row["case"]: row for row in json.loads(out.read_text())["rows"]}
    assert "estimate" in rows
    for name in ("nvml", "rapl"):
        assert (name in rows) != (f"left out: {name}" in result.output)
    assert ("rapl" in rows) != ("rapl@files" in rows)
    assert all(row["mean"] > 0.0 and row["n"] == 2 for row in rows.values())
