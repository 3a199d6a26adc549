"""Every attack of the benchmark, short, on SQLite: nothing hangs or leaks, and all that was acknowledged is found."""

import pytest

from benchmarks import promises

SLOW = {"half-life", "decision dropped", "forked beside threads", "file removed", "database emptied"}  # in tests/store


@pytest.mark.parametrize("name", sorted(promises.ATTACKS.keys() - SLOW))
def test_attack_breaks_no_promise(name, tmp_path):
    rows = promises.attack(name, f"sqlite:///{tmp_path / 'routes.db'}", 20)
    figures = {row.metric: row.mean for row in rows}
    assert figures["hung"] == 0.0
    assert figures["leaked"] == 0.0
    assert figures["found"] >= figures["acknowledged"]
