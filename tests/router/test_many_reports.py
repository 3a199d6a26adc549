"""Reports of many decisions at once: each counts as a report by ``feedback()`` would."""

import pytest

from banditroute import Guarantee
from banditroute.core import Failure
from banditroute.errors import ConflictingFeedbackError, InvalidFeedbackError, UnknownDecisionError
from banditroute.router import feedback as feedback_module
from banditroute.store import MemoryStore, SQLStore
from tests.support import X, belief_of, make_router, serve


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


def test_report_says_how_a_call_failed_as_feedback_does(router):
    limited, failed, wrong = serve(router, "a"), serve(router, "b"), serve(router, "b")
    answers = router.feedback_many(
        [
            (limited.id, {"failure": "rate_limit", "retry_after_seconds": 3600.0}),
            (failed.id, {"failure": Failure.SERVER_ERROR, "latency_seconds": 2.0}),
            (wrong.id, {"failure": "tired"}),
        ]
    )
    assert answers[:2] == ["accepted", "accepted"]
    assert isinstance(answers[2], InvalidFeedbackError)
    assert router.route(X).arms == ("b",)  # a asked to be left alone


def test_report_names_the_decision_that_it_audits():
    router = make_router(guarantee=Guarantee(max_loss=0.2, best="b"))
    while (step := router.next_step(router.route(X, arms=["a", "b"]), {"length": 0.5})).audit_of is None:
        pass
    refusal, *accepted = router.feedback_many(
        [
            (step.next.id, {"quality": 1.0, "audit_of": "0" * 32}),
            (step.next.id, {"quality": 1.0, "audit_of": step.audit_of}),
            (step.audit_of, {"quality": 0.0}),
        ]
    )
    assert "is not the audit of" in str(refusal)
    assert accepted == ["accepted", "accepted"]
    assert router.status().assurance.audits == 1


def test_reports_beyond_one_group_are_all_recorded(router, monkeypatch):
    monkeypatch.setattr(feedback_module, "_REPORTS_TOGETHER", 2)
    decisions = [serve(router) for _ in range(5)]
    assert router.feedback_many((each.id, {"quality": 1.0}) for each in decisions) == ["accepted"] * 5
    assert router.status().learned == 5


async def test_afeedback_many_answers_in_the_same_way(router):
    decision = serve(router)
    assert await router.afeedback_many([(decision.id, {"quality": 1.0})], source="Ann") == ["accepted"]
