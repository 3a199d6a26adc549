"""One outcome for all decisions of a session."""

import numpy as np
import pytest

from banditroute import (
    ConflictingFeedbackError,
    InvalidFeedbackError,
    MemoryStore,
    Objective,
    Router,
    SQLStore,
    UnknownDecisionError,
    admin,
)
from tests.support import belief_of

ARMS = ["small", "large"]


def router_on(store=None, **settings):
    return Router(arms=ARMS, features=1, seed=0, store=store or MemoryStore(), **settings)


def serve(router, session, *arms):
    return [router.route([0.5], arms=[arm], session=session) for arm in arms]


def counts(router):
    belief = belief_of(router)
    belief.watch(["quality"])
    return belief.counts("quality").tolist()


@pytest.fixture(params=["memory", "sqlite"])
def router(request, tmp_path):
    with router_on(None if request.param == "memory" else SQLStore(f"sqlite:///{tmp_path / 'r.db'}")) as made:
        yield made


def test_each_decision_is_given_its_part(router):
    serve(router, "chat", "small", "large", "large")
    serve(router, "other", "small")
    router.session_feedback("chat", quality=1.0)
    assert counts(router) == pytest.approx([1 / 3, 2 / 3])
    assert router.status().learned == 3


def test_a_decision_with_an_outcome_of_its_own_keeps_it(router):
    first, _, _ = serve(router, "chat", "small", "large", "large")
    router.feedback(first.id, quality=0.0)
    router.session_feedback("chat", quality=1.0)
    assert counts(router) == pytest.approx([1.0, 2 / 3])
    small, large = router.route([0.5]).means[0]
    assert small < 0.5 < large


def test_repeated_report_changes_nothing_and_another_value_is_refused(router):
    serve(router, "chat", "small", "large")
    router.session_feedback("chat", quality=1.0)
    before = counts(router)
    router.session_feedback("chat", quality=1.0)
    with pytest.raises(ConflictingFeedbackError, match="quality of 2"):
        router.session_feedback("chat", quality=0.0)
    assert counts(router) == before


def test_a_session_that_goes_on_is_told_of_what_is_new(router):
    serve(router, "chat", "small")
    router.session_feedback("chat", quality=1.0)
    serve(router, "chat", "large")
    router.session_feedback("chat", quality=0.0)
    assert counts(router) == pytest.approx([1.0, 0.5])


def test_session_is_remembered_and_another_process_may_report_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'r.db'}"
    with router_on(SQLStore(url)) as one, router_on(SQLStore(url)) as other:
        serve(one, "chat", "small", "large")
        one.flush()
        serve(other, "chat", "large")
        other.session_feedback("chat", quality=1.0, source="Ann")
        assert counts(other) == pytest.approx([1 / 3, 2 / 3])
    admin.rebuild(url)
    assert admin.verify(url) == []
    with router_on(SQLStore(url)) as later:
        assert counts(later) == pytest.approx([1 / 3, 2 / 3])
    assert admin.erase(url, source="Ann") == 3
    with router_on(SQLStore(url)) as later:
        assert counts(later) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_objectives_of_the_users_own(tmp_path):
    objective = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)
    router = router_on(objectives=[objective])
    serve(router, "chat", "small", "large")
    router.session_feedback("chat", helpfulness=5.0)
    belief = belief_of(router)
    assert belief.counts("helpfulness").tolist() == [0.5, 0.5]


async def test_awaited_session_feedback_is_learned(router):
    serve(router, "chat", "small", "large")
    await router.asession_feedback("chat", quality=1.0)
    assert counts(router) == pytest.approx([0.5, 0.5])


def test_bad_session_feedback_is_refused(router):
    serve(router, "chat", "small")
    for session, outcomes, match in [
        ("chat", {"cost_usd": 1.0}, "cost_usd is given for session"),
        ("chat", {"quality": 1.0, "availability": 0.0}, "availability is given"),
        ("chat", {}, "no outcome"),
        ("", {"quality": 1.0}, "session"),
        ("chat", {"quality": np.nan}, "quality"),
    ]:
        with pytest.raises(InvalidFeedbackError, match=match):
            router.session_feedback(session, **outcomes)
    with pytest.raises(InvalidFeedbackError, match=r"decision_id is None .*; give the string decision\.id"):
        router.feedback(None, quality=1.0)
    with pytest.raises(UnknownDecisionError, match="no decision of session 'talk'"):
        router.session_feedback("talk", quality=1.0)
    assert counts(router) == [0.0, 0.0]
