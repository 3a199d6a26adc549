"""Reports of many decisions at once: each counts as a report by ``feedback()`` would."""

import pytest

from banditroute.errors import ConflictingFeedbackError, InvalidFeedbackError, UnknownDecisionError
from banditroute.router import feedback as feedback_module
from banditroute.store import MemoryStore, SQLStore
from tests.support import belief_of, make_router, serve


@pytest.fixture(params=["memory", "sqlite"])
def router(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SQLStore(f"sqlite:///{tmp_path}/many.db")
    with make_router(store=store) as made:
        yield made


def test_feedback_many_teaches_what_single_reports_teach(router):
    decisions = [serve(router, arm) for arm in "abab"]
    reports = [(each.id, {"quality": 0.25 * i, "cost_usd": 0.01}) for i, each in enumerate(decisions)]
    assert router.feedback_many(iter(reports)) == ["accepted"] * 4
    singly = make_router()
    for i, arm in enumerate("abab"):
        serve(singly, arm, quality=0.25 * i, cost_usd=0.01)
    assert belief_of(router).statistics() == belief_of(singly).statistics()


def test_refused_report_stops_no_other(router):
    first, second = serve(router, "a", quality=0.0), serve(router, "b")
    answers = router.feedback_many(
        [
            (first.id, {"quality": 1.0}),
            ("unknown", {"quality": 1.0}),
            (second.id, {"quality": 2.0}),
            (second.id, {"beauty": 1.0}),
            second.id,
            (second.id, {"quality": 1.0, "failed": False}),
        ]
    )
    refusals = [ConflictingFeedbackError, UnknownDecisionError, *[InvalidFeedbackError] * 3]
    assert [type(answer) for answer in answers[:-1]] == refusals
    assert "give a decision's id and its outcomes" in str(answers[4])
    assert answers[-1] == "accepted"
    assert router.status().learned == 2


def test_reports_beyond_one_group_are_all_recorded(router, monkeypatch):
    monkeypatch.setattr(feedback_module, "_REPORTS_TOGETHER", 2)
    decisions = [serve(router) for _ in range(5)]
    assert router.feedback_many((each.id, {"quality": 1.0}) for each in decisions) == ["accepted"] * 5
    assert router.status().learned == 5


async def test_afeedback_many_answers_in_the_same_way(router):
    decision = serve(router)
    assert await router.afeedback_many([(decision.id, {"quality": 1.0})], source="Ann") == ["accepted"]
