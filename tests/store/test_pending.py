"""Feedback for a decision that is not there yet: only what is accepted is a promise."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from banditroute import Router, SQLStore
from banditroute.core.decision_ids import DecisionIds
from banditroute.errors import StoreError, UnknownDecisionError
from banditroute.store.sql import log, ticket
from banditroute.testing.samples import until
from tests.store.test_promises import locked
from tests.support import in_child


def opened(url, **settings):
    return Router(arms=["a", "b"], features=1, store=SQLStore(url, **settings), seed=0)


@pytest.fixture
def router(url):
    with opened(url) as made:
        yield made


def test_feedback_for_another_process_is_pending_and_shows_until_the_decision_is_written(url, router):
    with opened(url, linger_seconds=60.0) as slow:
        decision = slow.route([0.5])
        assert router.feedback(decision.id, quality=1.0) == "pending"
        assert router.status().pending == 1
        slow.flush()
        until(lambda: router.status().pending == 0)
        assert router.feedback(decision.id, quality=1.0) == "accepted"
        until(lambda: router.status().learned == slow.status().learned == 1)


def test_an_id_that_this_router_did_not_make_but_would_have_is_refused_at_once(router):
    decision = router.route([0.5])
    changed = decision.id[:-4] + ("0000" if decision.id[-4:] != "0000" else "1111")
    with pytest.raises(UnknownDecisionError):
        router.feedback(changed, quality=1.0)
    assert router.status().pending == 0
    assert router.feedback(decision.id, quality=1.0) == "accepted"


def test_an_id_that_nobody_wrote_is_refused_once_its_minute_is_over(router, monkeypatch):
    made_up = DecisionIds().make(time.time() - 50.0)
    assert router.feedback(made_up, quality=1.0) == "pending"
    monkeypatch.setattr(log, "ORPHAN_SECONDS", 40.0)  # as if ten seconds had gone by
    until(lambda: router.status().pending == 0)
    with pytest.raises(UnknownDecisionError):
        router.feedback(made_up, quality=1.0)


@pytest.mark.parametrize("age", [-61.0, 61.0])
def test_an_id_of_another_minute_is_refused_at_once(router, age):
    with pytest.raises(UnknownDecisionError):
        router.feedback(DecisionIds().make(time.time() - age), quality=1.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_makes_ids_of_its_own():
    ids = DecisionIds()
    assert in_child(lambda: ids.make(0.0))[:20] != ids.make(0.0)[:20]


def test_afeedback_has_a_limit(url, router, monkeypatch):
    decision = router.route([0.5])
    router.flush()
    monkeypatch.setattr(ticket, "ANSWER_SECONDS", 0.2)
    with locked(url), pytest.raises(StoreError, match="outcome unknown"):
        asyncio.run(router.afeedback(decision.id, quality=1.0))
    monkeypatch.undo()
    assert router.feedback(decision.id, quality=1.0) == "accepted"
