"""A correction replaces a recorded outcome, and the models follow."""

import numpy as np
import pytest

from banditroute import SQLStore
from banditroute.beliefs import Linear
from banditroute.core.events import FeedbackCorrected
from banditroute.errors import ConflictingFeedbackError, InvalidFeedbackError, UnknownDecisionError
from banditroute.learners import Learner
from banditroute.policies import Uniform
from banditroute.store.memory import MemoryStore
from tests.support import X, belief_of, make_router, serve, wait_until


def predicted(router):
    """The means of all arms, by objective in alphabetical order."""
    belief = belief_of(router)
    means = belief.predict(np.append(X, 1.0)).means
    return means[np.argsort(belief.objectives)]


def as_if_reported(**outcomes):
    """The predictions of a router to which these outcomes were reported in the first place."""
    router = make_router()
    serve(router, "b", quality=0.25)
    serve(router, "a", **outcomes)
    return predicted(router)


@pytest.mark.parametrize("belief", [None, Linear(), Linear(half_life_requests=10.0)])
def test_the_models_are_as_if_the_new_value_had_been_reported(belief):
    routers = [make_router(learner=Learner(policy=Uniform(), belief=belief)) for _ in range(2)]
    for router, quality in zip(routers, (1.0, 0.0), strict=True):
        serve(router, "b", quality=0.25)
        decision = serve(router, "a", quality=quality, cost_usd=0.1)
        if quality == 1.0:
            router.correct(decision.id, quality=0.0)
    corrected, reported = (predicted(router) for router in routers)
    assert corrected == pytest.approx(reported, rel=1e-9)
    assert routers[0].status().learned == 2


def test_a_value_may_be_corrected_several_times():
    router = make_router()
    serve(router, "b", quality=0.25)
    decision = serve(router, "a", quality=1.0)
    for quality in (0.0, 0.75, 0.5):
        router.correct(decision.id, quality=quality)
    assert predicted(router) == pytest.approx(as_if_reported(quality=0.5), rel=1e-9)
    with pytest.raises(ConflictingFeedbackError):
        router.feedback(decision.id, quality=1.0)
    router.feedback(decision.id, quality=0.5)  # as it is recorded now


def test_a_correction_holds_after_a_restart():
    store = MemoryStore()
    with make_router(store=store) as router:
        serve(router, "b", quality=0.25)
        router.correct(serve(router, "a", quality=1.0).id, quality=0.5)
    with make_router(store=store) as router:
        assert predicted(router) == pytest.approx(as_if_reported(quality=0.5), rel=1e-9)


def test_correction_reaches_all_routers_of_a_database_within_seconds(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with make_router(store=SQLStore(url)) as one, make_router(store=SQLStore(url)) as other:
        serve(one, "b", quality=0.25)
        decision = serve(one, "a", quality=1.0)
        wait_until(lambda: other.status().learned == 2)
        other.correct(decision.id, quality=0.5)
        expected = as_if_reported(quality=0.5)
        for router in (one, other):
            wait_until(lambda router=router: np.allclose(predicted(router), expected, rtol=1e-9))


def test_outcomes_that_were_forgotten_stay_learned():
    router = make_router(store=MemoryStore(capacity=1))
    for _ in range(30):
        serve(router, "a", quality=1.0)
    router.correct(serve(router, "b", quality=1.0).id, quality=0.0)
    assert belief_of(router).counts("quality").tolist() == [30.0, 1.0]


async def test_acorrect_does_the_same():
    router = make_router()
    serve(router, "b", quality=0.25)
    await router.acorrect(serve(router, "a", quality=1.0).id, quality=0.5)
    assert predicted(router) == pytest.approx(as_if_reported(quality=0.5), rel=1e-9)


def test_an_observer_sees_a_correction():
    class Recorder:
        def __init__(self):
            self.events = []

        def on_decision(self, decision): ...

        def on_feedback(self, feedback): ...

        def on_event(self, event):
            self.events.append(event)

    recorder = Recorder()
    with make_router(observers=[recorder]) as router:
        decision = serve(router, "a", quality=1.0)
        router.correct(decision.id, quality=0.5)
    (corrected,) = (event for event in recorder.events if isinstance(event, FeedbackCorrected))
    assert (corrected.decision_id, corrected.values) == (decision.id, {"quality": 0.5})


@pytest.mark.parametrize(
    ("outcomes", "error", "message"),
    [
        ({}, InvalidFeedbackError, "there is no outcome to correct"),
        ({"quality": None}, InvalidFeedbackError, "there is no outcome to correct"),
        ({"quality": 2.0}, InvalidFeedbackError, "quality is 2.0; it must be between 0 and 1"),
        ({"helpfulness": 1.0}, InvalidFeedbackError, "unknown objective 'helpfulness'"),
        ({"cost_usd": 1.0}, UnknownDecisionError, "has no cost_usd that could be corrected; report it with feedback"),
        ({"quality": 0.0, "failed": True}, UnknownDecisionError, "has no availability that could be corrected"),
    ],
)
def test_a_correction_that_cannot_be_made_changes_nothing(outcomes, error, message):
    router = make_router()
    decision = serve(router, "a", quality=1.0)
    before = predicted(router)
    with pytest.raises(error, match=message):
        router.correct(decision.id, **outcomes)
    assert np.array_equal(predicted(router), before)


def test_an_unknown_decision_cannot_be_corrected():
    with pytest.raises(UnknownDecisionError):
        make_router().correct("0" * 32, quality=1.0)
    with pytest.raises(InvalidFeedbackError, match="decision_id is 7"):
        make_router().correct(7, quality=1.0)
