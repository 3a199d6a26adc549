"""What each way to fail means for an arm, through the router's feedback."""

import pytest

from banditroute import InvalidFeedbackError, Router
from banditroute.core import Failure


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def router(clock):
    return Router(arms=["a", "b"], features=1, seed=0, clock=clock)


def fail(router, clock, failure, *, times=5, seconds=0.1, **more):
    for _ in range(times):
        decision = router.route([0.5], arms=["a"])
        clock.now += seconds
        router.feedback(decision.id, failure=failure, **more)


def is_left_alone(router):
    return router.route([0.5]).arms == ("b",)


BLAMED = [failure for failure in Failure if failure.blames_arm]


@pytest.mark.parametrize("failure", BLAMED)
def test_failures_of_the_arm_open_its_circuit(router, clock, failure):
    fail(router, clock, failure, times=4)
    assert not is_left_alone(router)
    fail(router, clock, failure, times=1)
    assert is_left_alone(router)


@pytest.mark.parametrize("failure", sorted(set(Failure) - set(BLAMED)))
def test_failures_of_the_request_or_the_caller_open_no_circuit(router, clock, failure):
    fail(router, clock, failure, times=20)
    assert not is_left_alone(router)


@pytest.mark.parametrize("failure", Failure)
def test_no_failure_teaches_quality(router, clock, failure):
    before = router.route([0.5]).means[0].tolist()
    fail(router, clock, failure, times=20)
    assert router.route([0.5], limits=None).means[0].tolist() in (before, before[1:])


def test_rate_limit_with_retry_after_leaves_the_arm_alone_that_long(router, clock):
    fail(router, clock, "rate_limit", times=1, retry_after_seconds=3600)
    assert is_left_alone(router)
    clock.now += 3599
    assert is_left_alone(router)
    clock.now += 1
    assert not is_left_alone(router)


def test_an_answer_to_an_earlier_request_does_not_end_the_rest(router, clock):
    earlier = router.route([0.5], arms=["a"])
    fail(router, clock, "rate_limit", times=1, retry_after_seconds=60)
    router.feedback(earlier.id, quality=1.0)
    assert is_left_alone(router)


def test_retry_after_is_cut_at_one_day(router, clock):
    fail(router, clock, "rate_limit", times=1, retry_after_seconds=1e12)
    clock.now += 86_401
    assert not is_left_alone(router)


def test_rest_survives_a_restart(tmp_path, clock):
    from banditroute import SQLStore

    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with Router(arms=["a", "b"], features=1, seed=0, clock=clock, store=SQLStore(url)) as router:
        fail(router, clock, "rate_limit", times=1, retry_after_seconds=3600)
    with Router(arms=["a", "b"], features=1, seed=0, clock=clock, store=SQLStore(url)) as router:
        assert is_left_alone(router)
        clock.now += 3600
        assert not is_left_alone(router)


def test_cancelled_counts_after_five_seconds_where_the_usual_time_is_unknown(router, clock):
    fail(router, clock, "cancelled", seconds=4.9)
    assert not is_left_alone(router)
    fail(router, clock, "cancelled", seconds=5.0)
    assert is_left_alone(router)


def test_cancelled_counts_after_the_usual_time_where_it_is_known(router, clock):
    for _ in range(20):
        router.feedback(router.route([0.5], arms=["a"]).id, latency_seconds=0.2)
    fail(router, clock, "cancelled", seconds=0.1)
    assert not is_left_alone(router)
    fail(router, clock, "cancelled", seconds=0.3)
    assert is_left_alone(router)


def test_cancelled_after_an_answer_began_is_an_answer(router, clock):
    fail(router, clock, "cancelled", seconds=60.0, failed=False)
    assert not is_left_alone(router)


def test_a_repeated_report_is_harmless(router, clock):
    decision = router.route([0.5], arms=["a"])
    router.feedback(decision.id, failure="rate_limit", retry_after_seconds=60)
    router.feedback(decision.id, failure="rate_limit", retry_after_seconds=59)
    router.feedback(decision.id, failed=True)


def test_unknown_failure_is_refused_with_the_known_ones(router):
    with pytest.raises(InvalidFeedbackError, match=r"unknown failure 'oops'; known failures: rate_limit, timeout"):
        router.feedback(router.route([0.5]).id, failure="oops")


@pytest.mark.parametrize(
    "given",
    [
        {"failure": "timeout", "failed": False},
        {"retry_after_seconds": 5.0},
        {"failure": "rate_limit", "retry_after_seconds": -1.0},
        {"failure": "rate_limit", "retry_after_seconds": "soon"},
    ],
)
def test_contradictions_are_refused(router, given):
    with pytest.raises(InvalidFeedbackError):
        router.feedback(router.route([0.5]).id, **given)


def test_a_session_cannot_fail_as_a_call(router):
    router.route([0.5], session="s")
    with pytest.raises(InvalidFeedbackError, match="failure"):
        router.session_feedback("s", failure="context_length")


async def test_afeedback_takes_failures(router, clock):
    decision = await router.aroute([0.5], arms=["a"])
    await router.afeedback(decision.id, failure="rate_limit", retry_after_seconds=60)
    assert is_left_alone(router)
