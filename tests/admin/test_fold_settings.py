"""What folding depends on is recorded by the router, and used by everything that folds the log."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import update

from banditroute import Learner, Objective, Router, SQLStore, admin
from banditroute.beliefs import Hybrid, Linear
from banditroute.errors import IncompatibleStoreError, StoreError
from banditroute.policies import Thompson
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import epoch

NOW = 1_700_000_000.0
DAY = 86_400.0


def forgetting(days=1.0, belief=Hybrid):
    return Learner(policy=Thompson(), belief=belief(half_life_seconds=days * DAY))


def live(url, learner, days=30, start=NOW):
    """Serve 4 requests a day."""
    clock = iter(np.arange(start, start + days * DAY, DAY / 8).tolist())
    with Router(
        arms=["a", "b"], features=2, learner=learner, store=SQLStore(url), seed=1, clock=lambda: next(clock, start)
    ) as router:
        for i in range(days * 4):
            decision = router.route([i % 3, i % 5], session=f"user {i % 7}")
            router.feedback(decision.id, quality=float(i % 2), source="grader" if i % 4 else "user")


def counts(url):
    (only,) = admin.inspect(url)
    return {arm.name: arm.counts["quality"] for arm in only.arms}


@pytest.mark.parametrize("belief", [Hybrid, Linear])
def test_every_tool_is_exact_for_a_router_that_forgets(url, belief):
    live(url, forgetting(belief=belief))
    assert admin.verify(url) == []
    before = counts(url)
    assert sum(before.values()) < 10.0  # of 120: the others have faded
    admin.rebuild(url)
    assert counts(url) == pytest.approx(before)
    admin.erase(url, session="user 3")
    assert admin.verify(url) == []
    assert all(0.0 <= count <= before[arm] for arm, count in counts(url).items())
    admin.erase(url, source="grader")
    assert admin.verify(url) == []
    before = counts(url)
    assert admin.prune(url, answered_seconds=10 * DAY, unanswered_seconds=10 * DAY, now=NOW + 15 * DAY) > 0
    assert counts(url) == pytest.approx(before)
    assert admin.verify(url) == []
    admin.rebuild(url)
    assert admin.verify(url) == []
    with Router(arms=["a", "b"], features=2, learner=forgetting(belief=belief), store=SQLStore(url)) as router:
        assert router.route([1, 1]).reason == "policy"


def test_a_router_with_another_half_life_is_refused_until_all_is_rebuilt(url):
    live(url, forgetting(1.0))
    with pytest.raises(IncompatibleStoreError, match=r"was folded with .*86400.* folds with .*172800.*admin.rebuild"):
        live(url, forgetting(2.0))
    with pytest.raises(IncompatibleStoreError, match="leave learner= out"):
        admin.erase(url, session="user 1", learner=forgetting(2.0))
    before = counts(url)
    admin.rebuild(url, learner=forgetting(2.0))
    assert sum(counts(url).values()) > 1.5 * sum(before.values())
    assert admin.verify(url) == []
    live(url, forgetting(2.0), start=NOW + 40 * DAY)
    assert admin.verify(url) == []


def test_an_epoch_without_a_record_is_not_guessed(url):
    live(url, forgetting())
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        connection.execute(update(epoch).values(fold_settings=None))
    with pytest.raises(IncompatibleStoreError, match="half-life is not recorded"):
        admin.erase(url, session="user 1")
    assert admin.erase(url, session="user 1", learner=forgetting()) > 0
    assert admin.verify(url, learner=forgetting()) == []
    live(url, forgetting(), days=1, start=NOW + 40 * DAY)  # which records it
    assert admin.verify(url) == []


def test_erasing_from_lost_statistics_is_refused_and_changes_nothing(url):
    live(url, Learner(policy=Thompson()))
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        connection.exec_driver_sql("DELETE FROM banditroute_statistics")
    with pytest.raises(StoreError, match="nothing was changed"):
        admin.erase(url, session="user 1")
    admin.rebuild(url)
    assert admin.erase(url, session="user 1") > 0
    assert admin.verify(url) == []


def test_an_objective_that_is_no_longer_declared_keeps_its_sums(url):
    thumbs = Objective(name="thumbs", low=0.0, high=1.0, prior_mean=0.5, higher_is_better=True)
    options = {"arms": ["a", "b"], "features": 1}
    with Router(**options, objectives=[thumbs], store=SQLStore(url)) as router:
        for i in range(20):
            router.feedback(router.route([0.5]).id, thumbs=float(i % 2), quality=1.0)
    with Router(**options, store=SQLStore(url)) as router:
        decision = router.route([0.5])
        assert (decision.reason, "thumbs" in decision.objectives) == ("policy", False)
        router.feedback(decision.id, quality=1.0)
    with Router(**options, objectives=[thumbs], store=SQLStore(url)) as router:
        decision = router.route([0.5], preference={"thumbs": 1.0})
        assert decision.reason == "policy"
    (only,) = admin.inspect(url)
    assert sum(arm.counts.get("thumbs", 0.0) for arm in only.arms) == 20.0
    assert sum(arm.counts["quality"] for arm in only.arms) == 21.0
    assert admin.verify(url) == []


def test_old_and_new_processes_learn_side_by_side(url, until):
    thumbs = Objective(name="thumbs", low=0.0, high=1.0, prior_mean=0.5, higher_is_better=True)
    options = {"arms": ["a", "b"], "features": 1}
    with (
        Router(**options, store=SQLStore(url)) as old,
        Router(**options, objectives=[thumbs], store=SQLStore(url)) as new,
    ):
        for i in range(300):
            new.feedback(new.route([0.5]).id, thumbs=float(i % 2), quality=1.0)
        until(lambda: old.status().learned == 300)
        assert old.route([0.5]).reason == "policy"
        assert old.route([0.5]).means.max() > 0.8
