"""Sessions through the router: identity, explanation, learning, and several routers on one database."""

import time

import pytest

from banditroute import Arm, Preference, Router
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError
from banditroute.logs import read_log
from banditroute.sessions import session_key
from banditroute.store import SQLStore
from tests.support import FakeClock, engine_of, wait_until

PRICES = {"small": (1.0, 5.0), "large": (3.0, 15.0)}
QUESTION = [{"role": "system", "content": "You are an agent. " * 500}, {"role": "user", "content": "Mend the test."}]


def arms(**settings):
    return [
        Arm(
            name=name,
            input_usd_per_million_tokens=price,
            output_usd_per_million_tokens=output,
            cached_input_usd_per_million_tokens=0.1 * price,
            cache_write_usd_per_million_tokens=1.25 * price,
            cache_seconds=300.0,
            cache_min_tokens=1024,
            provider="anthropic",
            **settings,
        )
        for name, (price, output) in PRICES.items()
    ]


def make(clock=None, **settings):
    given = {"features": 1, "preference": Preference(quality=1.0, cost_usd=10.0), "seed": 0, **settings}
    return Router(arms=arms(), clock=clock or FakeClock(), **given)


def test_expected_cost_is_that_of_the_caches_as_they_are():
    clock = FakeClock()
    router = make(clock)
    first = router.route([0.5], session="s", input_tokens=10_000, arms=["small"])
    router.feedback(first.id, output_tokens=0.0, quality=1.0)
    clock.advance(10.0)
    second = router.route([0.5], session="s", input_tokens=10_000)
    cost = dict(zip(second.arms, second.means[second.objectives.index("cost_usd")], strict=True))
    assert second.turn.warm == {"small": pytest.approx(0.95)}
    assert cost["small"] < 10_000 * 1.0e-6 < 10_000 * 3.75e-6 <= cost["large"]


def test_utilities_are_those_of_the_expected_cost_less_the_penalty():
    clock = FakeClock()
    router = make(clock)
    for _ in range(3):
        decision = router.route([0.5], session="s", input_tokens=10_000)
        router.feedback(decision.id, quality=0.5, output_tokens=300.0)
        clock.advance(10.0)
    quality, cost = (decision.means[decision.objectives.index(name)] for name in ("quality", "cost_usd"))
    assert decision.utilities == pytest.approx(quality - 10.0 * cost - decision.penalties)


def test_explanation_shows_the_caches_and_that_another_process_may_know_more():
    clock = FakeClock()
    router = make(clock)
    first = str(router.route([0.5], session="s", input_tokens=10_000, arms=["small"]).explain())
    assert "session: this process knows no earlier turn, so every prompt cache counts as cold" in first
    clock.advance(10.0)
    second = str(router.route([0.5], session="s", input_tokens=12_000).explain())
    assert "session: turn 2, 10,000 tokens may be cached" in second
    assert "small: warm with probability 0.95" in second
    assert "large: cold" in second


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, "session: none, so prompt caches do not count"), ({"session": "s"}, "session: no tokens are counted")],
)
def test_explanation_says_why_caches_do_not_count(options, words):
    assert words in str(make().route([0.5], **options).explain())


def test_router_without_cache_prices_shows_no_session():
    decision = Router(arms=["a"], features=1).route([0.5], session="s")
    assert decision.turn is None
    assert "session" not in str(decision.explain())


def test_messages_are_recognised_as_turns_of_their_session():
    clock = FakeClock()
    router = make(clock, features=None)
    first = router.route(QUESTION)
    clock.advance(5.0)
    answer = [*QUESTION, {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "The last one."}]
    second = router.route(answer)
    assert first.session == second.session == session_key(QUESTION)
    assert second.turn.number == 2
    assert router.route(QUESTION, session="mine").session == "mine"


def test_tool_result_goes_to_the_arm_that_called_the_tool():
    router = make(features=None)
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "42"}
    for arm in ("small", "large"):
        question = [*QUESTION[:1], {"role": "user", "content": f"Mend the test of {arm}."}]
        router.route(question, arms=[arm])
        for _ in range(20):
            decision = router.route([*question, call, result])
            assert (decision.arm, decision.propensity) == (arm, 1.0)
            assert decision.reason == "sessions: the result of a tool goes to the arm that called it"


def test_tool_result_goes_elsewhere_where_its_arm_may_not_serve():
    router = make(features=None)
    router.route(QUESTION, arms=["small"])
    decision = router.route([*QUESTION, {"role": "tool", "tool_call_id": "1", "content": "42"}], exclude=["small"])
    assert decision.arm == "large"


def test_switch_that_is_too_expensive_is_vetoed_before_the_draw():
    clock = FakeClock()
    router = make(clock, max_switch_spend=0.05)
    router.route([0.5], session="s", input_tokens=10_000, arms=["small"])
    clock.advance(10.0)
    decision = router.route([0.5], session="s", input_tokens=12_000)
    assert (decision.arms, decision.propensity) == (("small",), 1.0)
    assert list(decision.turn.vetoed) == ["large"]
    assert "large: ruled out by max_switch_spend, its utility is" in str(decision.explain())


def test_draws_within_a_session_agree_with_the_propensities():
    share, expected = [], []
    for seed in range(600):
        clock = FakeClock()
        router = make(clock, seed=seed, preference=Preference(quality=1.0, cost_usd=0.5))
        for _ in range(3):
            decision = router.route([0.5], session="s", input_tokens=3_000)
            clock.advance(10.0)
        share.append(decision.arm == "small")
        expected.append(decision.probabilities[decision.arms.index("small")])
    n = len(share)
    assert abs(sum(share) - sum(expected)) < 4.0 * (n * 0.25) ** 0.5
    assert 0.0 < min(expected) < max(expected) < 1.0


def test_cached_tokens_are_recorded_and_learned_and_are_no_quality(tmp_path):
    url = f"sqlite:///{tmp_path}/routes.db"
    clock = FakeClock(time.time())
    with make(clock, store=SQLStore(url)) as router:
        for _ in range(30):
            decision = router.route([0.5], session="s", input_tokens=10_000, arms=["small"])
            router.feedback(decision.id, quality=1.0, cached_tokens=0.0)
            clock.advance(10.0)
        assert router.route([0.5], session="s", input_tokens=10_000).turn.warm["small"] < 0.2
    log = read_log(url)
    assert (log.outcomes["cached_tokens"][:30] == 0.0).all()
    with make(clock, store=SQLStore(url)) as router:
        assert router.status().learned == 30
        for name in ("s", "t"):
            router.route([0.5], session=name, input_tokens=10_000, arms=["small"])
            clock.advance(10.0)
        assert router.route([0.5], session="t", input_tokens=10_000).turn.warm["small"] < 0.2


def test_session_of_another_process_is_known_within_half_a_second(tmp_path):
    url = f"sqlite:///{tmp_path}/routes.db"
    with make(time.time, store=SQLStore(url)) as one, make(time.time, store=SQLStore(url)) as other:
        one.route([0.5], session="s", input_tokens=10_000, arms=["small"])
        one.flush()
        wait_until(lambda: "s" in engine_of(other).sessions.sessions, 10.0)
        turn = other.route([0.5], session="s", input_tokens=12_000).turn
        assert (turn.known, turn.number, turn.prefix_tokens, list(turn.warm)) == (True, 2, 10_000.0, ["small"])


@pytest.mark.parametrize("cached_tokens", [-1.0, float("nan"), "many"])
def test_cached_tokens_must_be_a_number_from_zero(cached_tokens):
    router = make()
    decision = router.route([0.5], session="s", input_tokens=10_000)
    with pytest.raises(InvalidFeedbackError, match="cached_tokens is"):
        router.feedback(decision.id, cached_tokens=cached_tokens)


def test_switch_budget_below_zero_is_refused():
    with pytest.raises(InvalidConfigurationError, match=r"max_switch_spend is -0\.1; it must be at least 0"):
        make(max_switch_spend=-0.1)


def test_price_of_cached_input_without_the_others_is_refused():
    with pytest.raises(InvalidConfigurationError, match="has a price of cached input and none of its other tokens"):
        Arm(name="a", cached_input_usd_per_million_tokens=0.1)


def test_arm_with_cache_prices_that_is_added_later_counts():
    router = Router(arms=["a"], features=1, clock=FakeClock())
    router.add_arm(arms()[0])
    assert router.route([0.5], session="s", input_tokens=10_000).turn is not None


def test_preview_changes_no_session_and_creates_none():
    clock = FakeClock()
    router, twin = make(clock), make(clock)
    for each in (router, twin):
        decision = each.route([0.5], session="s", input_tokens=10_000, arms=["small"])
        each.feedback(decision.id, quality=1.0, output_tokens=300.0, cached_tokens=0.0)
    clock.advance(10.0)
    for _ in range(3):
        router.preview([0.5], session="s", input_tokens=12_000)
        router.preview([0.5], session="new", input_tokens=12_000)
    for session in ("s", "new"):
        decision, same = (each.route([0.5], session=session, input_tokens=12_000) for each in (router, twin))
        assert decision.turn.number == same.turn.number
        assert decision.probabilities.tolist() == same.probabilities.tolist()
        assert str(decision.turn) == str(same.turn)
    router.preview([0.5], session="other", input_tokens=12_000)
    assert list(engine_of(router).sessions.sessions) == ["s", "new"]
