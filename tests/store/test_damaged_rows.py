"""Rows that no router wrote: opening, verifying and reporting say which row is damaged."""

from __future__ import annotations

import pytest

from banditroute import Router, SQLStore, admin
from banditroute.budgets import Budget
from banditroute.errors import IncompatibleStoreError, StoreError
from banditroute.store.sql.database import database_at, parse

pytestmark = pytest.mark.filterwarnings("error")


def execute(url, statement, *values):
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        connection.exec_driver_sql(statement, values)


def served(url, requests=4):
    """Return the ids of decisions with feedback that is pending."""
    with Router(arms=["a", "b"], features=2, store=SQLStore(url), seed=1) as router:
        ids = [router.route([1.0, 2.0], session="s").id for _ in range(requests)]
        for id in ids[:-1]:
            router.feedback(id, quality=1.0)
    execute(url, "UPDATE banditroute_feedback SET folded_version = NULL")
    execute(url, "DELETE FROM banditroute_statistics")
    return ids


DAMAGE = [
    ("decision", "x", b"\x01\x02\x03"),
    ("decision", "x", b""),
    ("decision", "x", bytes(800)),  # of another dimension
    ("decision", "x", b"\xff" * 24),  # three times NaN
    ("decision", "arms", "no JSON"),
    ("decision", "preference", "[1]"),
    ("decision", "tags", "5"),
]
DAMAGE_OF_SQLITE = [  # its columns take values of every type
    ("decision", "x", "text"),
    ("decision", "x", 5),
    ("decision", "arm", b"\xff"),
    ("decision", "decided_at", "noon"),
    ("decision", "ordinal", "first"),
    ("feedback", "value", "good"),
    ("feedback", "value", b"\x00"),
    ("feedback", "value", -1e308),
    ("feedback", "objective", b"\xff"),
]
OPENING_READS = {"x", "arm", "decided_at", "ordinal", "value", "objective"}


def check(url, table, column, value, mark):
    ids = served(url)
    key = "id" if table == "decision" else "decision_id"
    execute(url, f"UPDATE banditroute_{table} SET {column} = {mark} WHERE {key} = {mark}", value, ids[0])
    found = admin.verify(url)
    assert any(ids[0] in line and column in line for line in found)
    assert not any(id in line for line in found for id in ids[1:])
    if column in OPENING_READS:
        with pytest.raises(IncompatibleStoreError, match=ids[0]):
            Router(arms=["a", "b"], features=2, store=SQLStore(url))


@pytest.mark.parametrize(("table", "column", "value"), DAMAGE)
def test_a_damaged_row_is_named_by_verify_and_by_opening(url, table, column, value):
    check(url, table, column, value, "?" if url.startswith("sqlite") else "%s")


@pytest.mark.parametrize(("table", "column", "value"), DAMAGE_OF_SQLITE)
def test_a_value_of_another_type_is_named_by_verify_and_by_opening(tmp_path, table, column, value):
    check(f"sqlite:///{tmp_path / 'r.db'}", table, column, value, "?")


@pytest.mark.parametrize("value", ["text", 7, b"\x00"])
def test_damaged_statistics_are_named_by_verify_and_by_opening(tmp_path, value):
    url = f"sqlite:///{tmp_path / 'r.db'}"
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        router.feedback(router.route([1.0, 2.0], arms=["a"]).id, quality=1.0)
    execute(url, "UPDATE banditroute_statistics SET blob = ?", value)
    assert any("statistics" in line and "'a'" in line for line in admin.verify(url))
    with pytest.raises(IncompatibleStoreError, match="arm 'a' are damaged"):
        Router(arms=["a", "b"], features=2, store=SQLStore(url))


def test_a_report_for_a_damaged_decision_is_refused_alone(url):
    ids = served(url)
    execute(url, "UPDATE banditroute_feedback SET folded_version = 0")
    mark = "?" if url.startswith("sqlite") else "%s"
    execute(url, f"UPDATE banditroute_decision SET x = {mark} WHERE id = {mark}", b"\x01", ids[-1])
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        with pytest.raises(StoreError, match=f"x of decision '{ids[-1]}' is damaged"):
            router.feedback(ids[-1], quality=1.0)
        assert router.feedback(ids[0], cost_usd=1.0) == "accepted"
        assert router.status().trouble is None
    admin.erase(url, decision_id=ids[-1])
    assert admin.verify(url) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("spent", b"\x00"), ("spent", float("inf")), ("balance", "x"), ("requests", 1.5), ("period", "x")],
)
def test_a_damaged_count_of_a_budget_is_named_by_verify_and_by_opening(tmp_path, column, value):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    budget = Budget(usd=1.0, per="day")
    with Router(arms=["a", "b"], features=2, store=SQLStore(url), budgets=[budget]) as router:
        router.feedback(router.route([1.0, 2.0]).id, cost_usd=0.1)
    execute(url, f"UPDATE banditroute_tally SET {column} = ?", value)
    assert any(f"the count of budget {budget.name!r}" in line for line in admin.verify(url))
    with pytest.raises(IncompatibleStoreError, match=r"the count of budget .* is damaged"):
        Router(arms=["a", "b"], features=2, store=SQLStore(url), budgets=[budget])


def test_fold_settings_of_another_type_are_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    served(url)
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        router.feedback(router.route([1.0, 2.0]).id, quality=1.0)
    execute(url, "UPDATE banditroute_epoch SET fold_settings = ?", b"\xff\xfe")
    with pytest.raises(IncompatibleStoreError, match="was folded with"):
        Router(arms=["a", "b"], features=2, store=SQLStore(url))


@pytest.mark.parametrize(
    "settings", ["", "no JSON", "null", "3", '["x"]', '{"quality": 1.0}', '{"half_life_requests": -1}']
)
def test_damaged_fold_settings_are_named_by_every_command(url, settings):
    served(url)
    execute(url, f"UPDATE banditroute_epoch SET fold_settings = '{settings}'")
    for command in (admin.verify, admin.rebuild, lambda url: admin.erase(url, session="s")):
        if settings == "":  # as in a database of an earlier version, where nothing was recorded
            command(url)
            continue
        with pytest.raises(IncompatibleStoreError, match=r"recorded fold settings .* are damaged"):
            command(url)


def test_long_fold_settings_are_not_repeated(url):
    served(url)
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        router.feedback(router.route([1.0, 2.0]).id, quality=1.0)
    execute(url, f"UPDATE banditroute_epoch SET fold_settings = '{'x' * 10_000}'")
    for opened in (lambda: Router(arms=["a"], features=2, store=SQLStore(url)), lambda: admin.verify(url)):
        with pytest.raises(IncompatibleStoreError) as error:
            opened()
        assert len(str(error.value)) < 600
