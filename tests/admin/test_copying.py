"""A whole router moves between SQLite and PostgreSQL, ids included."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from banditroute import Budget, Learner, Router, SQLStore, admin
from banditroute.beliefs import Hybrid
from banditroute.cli.main import main
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.policies import Thompson


def router(url):
    learner = Learner(policy=Thompson(), belief=Hybrid(half_life_requests=50))
    return Router(arms=["a", "b"], features=2, learner=learner, store=SQLStore(url), budgets=[Budget(usd=9.0)], seed=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request, tmp_path):
    """An empty database of each kind, without tables where it is a file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'target.db'}"
    return request.getfixturevalue("postgresql").database(upgraded=False)


@pytest.fixture
def ids(url):
    """The ids of decisions of a router that has learned from some of them."""
    with router(url) as made:
        ids = [made.route([i % 3, i % 5], session=f"user {i}").id for i in range(20)]
        for id in ids[:15]:
            made.feedback(id, quality=float(id < ids[7]), cost_usd=0.01, source="grader")
    admin.snapshot(url)
    return ids


def test_copy_holds_all_and_goes_on(url, target, ids):
    assert admin.copy(url, target) == 20
    assert admin.inspect(target) == admin.inspect(url)
    assert admin.verify(target) == []
    with router(url) as old, router(target) as new:
        assert new.route([1, 1]).means == pytest.approx(old.route([1, 1]).means, rel=1e-12)
        assert new.status().budgets[0].spent == pytest.approx(0.15)
        assert new.feedback(ids[-1], quality=1.0) == "accepted"
    (epoch,) = admin.inspect(target)
    assert epoch.answered == 16
    assert admin.erase(target, session="user 3") == 1
    assert admin.verify(target) == []
    live = {"default": epoch.decisions, "second": 1}
    with Router(arms=["a"], features=1, name="second", store=SQLStore(target)) as second:  # rows are numbered on
        second.feedback(second.route([1.0]).id, quality=1.0)
    assert {epoch.router: epoch.decisions for epoch in admin.inspect(target)} == {
        **live,
        "default": live["default"] - 1,
    }


def test_a_database_that_holds_a_router_is_no_target(url, target, ids):
    admin.copy(url, target)
    before = admin.inspect(target)
    with pytest.raises(StoreError, match="holds a router already"):
        admin.copy(url, target)
    with pytest.raises(StoreError, match="holds a router already"):
        admin.copy(url, url)
    assert admin.inspect(target) == before


def test_copy_there_and_back_exports_the_same(url, target, ids, tmp_path):
    admin.copy(url, target)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    result = CliRunner().invoke(main, ["db", "copy", target, back], catch_exceptions=False)
    assert result.output == "20 decisions copied\n"
    admin.export(url, tmp_path / "one.parquet")
    admin.export(back, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_no_target_is_made_for_a_source_that_is_not_there(tmp_path):
    target = tmp_path / "target.db"
    with pytest.raises(StoreError, match="there is no file"):
        admin.copy(f"sqlite:///{tmp_path / 'none.db'}", f"sqlite:///{target}")
    assert not target.exists()
    with pytest.raises(InvalidConfigurationError):
        admin.copy("mysql://host/db", f"sqlite:///{target}")
