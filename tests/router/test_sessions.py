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
from banditroute.logs import read_log
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
    with pytest.raises(InvalidFeedbackError, match="unknown credit 'first'; known: equal, advantage, last"):
        router.session_feedback("chat", quality=1.0, credit="first")
    with pytest.raises(InvalidFeedbackError, match=r"decision_id is None .*; give the string decision\.id"):
        router.feedback(None, quality=1.0)
    with pytest.raises(UnknownDecisionError, match="no decision of session 'talk'"):
        router.session_feedback("talk", quality=1.0)
    assert counts(router) == [0.0, 0.0]


class Reports(MemoryStore):
    """A store that shows what was reported."""

    def __init__(self):
        super().__init__()
        self.values = {}

    def add_feedback(self, feedback):
        self.values[feedback.decision_id] = dict(feedback.values)
        return super().add_feedback(feedback)


def taught(router):
    """Let the router learn that large is right and small is wrong, of eight requests each."""
    for arm, quality in [("small", 0.0), ("large", 1.0)] * 8:
        router.feedback(router.route([0.5], arms=[arm]).id, quality=quality)
    return router


def test_credit_by_advantage_is_the_outcome_less_what_the_other_choices_added():
    store = Reports()
    router = taught(router_on(store))
    made = [router.route([0.5], session="chat") for _ in range(3)]
    q = dict(zip(ARMS, belief_of(router).predict(made[0].x).means[0], strict=True))
    added = [
        q[each.arm] - sum(p * q[arm] for arm, p in zip(each.arms, each.probabilities, strict=True)) for each in made
    ]
    router.session_feedback("chat", quality=1.0, credit="advantage")
    for each, own in zip(made, added, strict=True):
        credited = store.values[each.id]
        assert credited == {"quality of 3 in all": 1.0, "quality of 3": pytest.approx(1.0 - sum(added) + own)}
    assert any(added)
    assert sum(counts(router)) == pytest.approx(17.0)


def test_steps_without_a_choice_have_no_advantage():
    store = Reports()
    router = taught(router_on(store))
    made = serve(router, "chat", "small", "large")
    router.session_feedback("chat", quality=0.75, credit="advantage")
    assert [store.values[each.id]["quality of 2"] for each in made] == [0.75, 0.75]


def test_the_last_step_may_get_all(router):
    serve(router, "chat", "large", "small", "large", "small")
    router.session_feedback("chat", quality=1.0, credit="last")
    assert counts(router) == [1.0, 0.0]


@pytest.mark.parametrize("credit", ["equal", "advantage", "last"])
def test_a_rule_repeated_changes_nothing_and_another_outcome_is_refused(router, credit):
    taught(router)
    for _ in range(3):
        router.route([0.5], session="chat")
    router.session_feedback("chat", quality=1.0, credit=credit)
    before, learned = counts(router), router.status().learned
    router.session_feedback("chat", quality=1.0, credit=credit)
    with pytest.raises(ConflictingFeedbackError, match=r"is recorded as 1\.0 and now given as 0\.0"):
        router.session_feedback("chat", quality=0.0, credit=credit)
    assert counts(router) == before
    assert router.status().learned == learned


def test_a_step_with_an_outcome_of_its_own_gets_no_credit_by_advantage(router):
    taught(router)
    made = [router.route([0.5], session="chat") for _ in range(4)]
    router.feedback(made[0].id, quality=0.0)
    before, learned = sum(counts(router)), router.status().learned
    router.session_feedback("chat", quality=1.0, credit="advantage")
    assert sum(counts(router)) == pytest.approx(before + 3 / 4)
    assert router.status().learned == learned + 3


def test_credit_is_folded_alike_by_all_and_logs_hold_the_outcome_of_the_session(tmp_path):
    url = f"sqlite:///{tmp_path / 'r.db'}"
    with router_on(SQLStore(url)) as one:
        taught(one)
        made = [one.route([0.5], session="chat") for _ in range(5)]
        one.session_feedback("chat", quality=0.5, credit="advantage", source="Ann")
        expected = one.preview([0.5]).means
    admin.rebuild(url)
    assert admin.verify(url) == []
    with router_on(SQLStore(url)) as later:
        assert later.preview([0.5]).means == pytest.approx(expected)
    log = read_log(url)
    of_chat = np.array([session == "chat" for session in log.sessions])
    assert log.outcomes["quality"][of_chat].tolist() == [0.5] * len(made)
    assert admin.erase(url, source="Ann") == 5
    with router_on(SQLStore(url)) as later:
        assert sum(counts(later)) == pytest.approx(16.0)


def test_removed_arms_have_no_advantage():
    store = Reports()
    router = taught(router_on(store))
    made = [router.route([0.5], session="chat") for _ in range(2)]
    router.add_arm("huge")
    router.remove_arm("small")
    router.session_feedback("chat", quality=0.75, credit="advantage")
    assert [store.values[each.id]["quality of 2"] for each in made] == [0.75, 0.75]
