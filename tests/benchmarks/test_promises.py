"""Every attack of the benchmark, short, on SQLite: nothing hangs or leaks, and all that was acknowledged is found."""

import pytest

from benchmarks import promises

IN_TESTS_OF_THE_STORE = {
    "half-life",
    "decision dropped",
    "forked beside threads",
    "file removed",
    "database emptied",
}
SLOW = {name for name in promises.ATTACKS if name.startswith("route: ")} | {
    "process ends, database locked",
    "context too large",
    "retries in an outage",
    "rows damaged",
    "names in a report",
    "server of adapters hostile",
    "reader that stays",
    "log that is a bomb",
}


@pytest.mark.parametrize(
    "name", sorted(promises.ATTACKS.keys() - IN_TESTS_OF_THE_STORE - SLOW - promises.OF_POSTGRESQL)
)
def test_attack_breaks_no_promise(name, tmp_path):
    rows = promises.attack(name, f"sqlite:///{tmp_path / 'routes.db'}", 20)
    figures = {row.metric: row.mean for row in rows}
    assert figures["hung"] == 0.0
    assert figures["leaked"] == 0.0
    assert figures["found"] >= figures["acknowledged"]
