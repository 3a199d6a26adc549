"""Routed clients with graders or under a guarantee: cascades and audits, against a local server."""

import asyncio
import threading
import time

import pytest
from openai import AsyncOpenAI, OpenAI

from banditroute import Arm, Budget, Guarantee, InvalidConfigurationError, Preference, Router
from banditroute.graders import Signal
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from tests.integrations.pairs import Recording, chat, chunk
from tests.support import store_of

PRICES = {"small": 1.0, "large": 10.0}  # USD per million tokens


@pytest.fixture
def asked():
    """Names of the models that the server was asked, in order."""
    return []


@pytest.fixture
def make(serve, asked):
    """Makes a client of a small arm, whose answers are bad, and a large one, whose answers are good."""
    opened = []

    def made(kind=RoutedClient, *, large=None, graders=None, quality=None, dollar=1.0, shadow=0.0, **settings):
        def answer(path, body):
            asked.append(body["model"])
            if body["model"] == "large" and large is not None:
                return large
            if body.get("stream"):
                return 200, [chunk({"content": "bad"})]
            return 200, chat({"small": "bad", "large": "good"}[body["model"]])

        url = serve(answer)
        openai = OpenAI if kind is RoutedClient else AsyncOpenAI
        client = openai(base_url=f"{url}/v1", api_key="x", max_retries=0)
        opened.append(client)
        arms = [
            Arm(name=name, input_usd_per_million_tokens=usd, output_usd_per_million_tokens=usd, max_cost_usd=0.01)
            for name, usd in PRICES.items()
        ]
        preference = Preference(quality=1.0, cost_usd=dollar)
        router = Router(arms=arms, features=None, preference=preference, store=Recording(), seed=0, **settings)
        return kind(router, dict.fromkeys(PRICES, client), graders=graders, quality=quality, shadow=shadow)

    yield made
    for client in opened:
        if isinstance(client, OpenAI):
            client.close()


def until(done):
    deadline = time.monotonic() + 30.0
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def aside():
    """Return the threads of shadow calls."""
    return [thread for thread in threading.enumerate() if thread.name == "banditroute-aside"]


def looks(answer):
    return float(answer.text == "good")


def likes(answer):
    return 1.0


def learn(client, requests=60):
    """Let the router see both arms and what the judge is worth."""
    for k in range(requests):
        decision = client.router.route("hi", arms=[["small", "large"][k % 2]])
        good = float(decision.arm == "large")
        client.router.next_step(decision, {"judge": good})
        client.router.feedback(decision.id, quality=good, cost_usd=1e-4)


class TestCascade:
    def test_answer_that_looks_bad_is_followed_by_another_arm(self, make, asked):
        client = make(graders={"judge": looks}, quality=looks)
        learn(client)
        followed = [answer for _ in range(20) if (answer := client.create("hi", route={"tags": ["t"]})).others]
        for answer in followed:
            assert (answer.text, answer.decision.arm) == ("good", "large")
            assert [each.text for each in answer.others] == ["bad"]
        answer = client.create("hi")
        assert answer.text == "good"
        assert client.router.status().signals["judge"]["answers"] > 60

    def test_every_call_is_charged_and_the_delivered_answer_graded(self, make):
        client = make(graders={"judge": looks}, quality=looks)
        answers = [client.create("hi") for _ in range(20)]
        reports = store_of(client.router).reports
        calls = sum(1 + len(answer.others) for answer in answers)
        assert sum("cost_usd" in outcomes for _, outcomes, _ in reports) == calls
        graded = [outcomes["quality"] for _, outcomes, _ in reports if set(outcomes) == {"quality"}]
        assert len(graded) >= 20
        assert any(answer.others for answer in answers)

    def test_async_client_awaits_graders(self, make):
        async def judge(answer):
            await asyncio.sleep(0)
            return Signal(quality=looks(answer))

        client = make(AsyncRoutedClient, graders={"judge": judge}, quality=judge)
        learn(client)

        async def ask():
            return [await client.create("hi") for _ in range(5)]

        answers = asyncio.run(ask())
        assert answers[-1].text == "good"
        assert client.router.status().signals["judge"]["answers"] > 60

    def test_grader_that_raises_has_no_opinion(self, make, caplog):
        def broken(answer):
            raise RuntimeError("no judge today")

        client = make(graders={"broken": broken, "lies": lambda answer: 7.0})
        assert client.create("hi").text in {"good", "bad"}
        assert "grader 'broken' gives nothing" in caplog.text
        assert "grader 'lies' gives nothing" in caplog.text
        assert client.router.status().signals == {}

    def test_answer_at_hand_is_given_if_a_further_call_fails(self, make, asked, caplog):
        client = make(graders={"judge": looks}, large=(500, {"error": {"message": "down"}}))
        learn(client)
        answer = client.create("hi", route={"arms": ["small", "large"]})
        while asked[-2:] != ["small", "large"]:
            answer = client.create("hi", route={"arms": ["small", "large"]})
        assert answer.text == "bad"
        assert "a further call of arm 'large' failed" in caplog.text

    def test_stream_is_delivered_as_it_is(self, make, asked):
        client = make(graders={"judge": looks}, quality=looks)
        learn(client)
        for calls in range(1, 11):
            assert list(client.create("hi", stream=True))
            assert len(asked) == calls


class TestAudits:
    def test_client_makes_and_grades_audits(self, make, asked):
        client = make(graders={"judge": likes}, quality=likes, guarantee=Guarantee(best="large"), dollar=3000.0)
        audited = 0
        for _ in range(30):
            answer = client.create("hi")
            assert answer.decision.arm == "large"  # at first every stop is audited
            audited += answer.audit_of is not None
            if answer.audit_of is not None:
                assert answer.audit_of in {each.decision_id for each in answer.others}
        assurance = client.router.status().assurance
        assert audited > 0
        assert assurance.requests == 30
        assert assurance.audits == audited
        assert assurance.pending_audits == 0

    def test_guarantee_without_graders_is_audited_and_graded_by_the_application(self, make):
        client = make(guarantee=Guarantee(best="large"), dollar=3000.0)
        answer = client.create("hi")
        while answer.audit_of is None:
            answer = client.create("hi")
        assert client.router.status().assurance.pending_audits == 1
        client.router.feedback(answer.decision_id, quality=1.0, audit_of=answer.audit_of)
        client.router.feedback(answer.audit_of, quality=0.0)
        assert client.router.status().assurance.pending_audits == 0

    def test_async_client_makes_audits(self, make):
        client = make(AsyncRoutedClient, quality=likes, guarantee=Guarantee(best="large"), dollar=3000.0)

        async def ask():
            return [await client.create("hi") for _ in range(20)]

        answers = asyncio.run(ask())
        assert {answer.decision.arm for answer in answers} == {"large"}
        assert client.router.status().assurance.audits == sum(answer.audit_of is not None for answer in answers) > 0


class TestShadowCalls:
    """At 3000 utility for a dollar no further call is worth its price, so all that follow are shadow calls."""

    def test_the_other_arm_is_asked_and_graded_by_a_decision_of_its_own(self, make, asked):
        client = make(quality=looks, shadow=1.0, dollar=3000.0)
        answer = client.create("hi", route={"session": "s", "tags": ["t"]})
        store = store_of(client.router)
        until(lambda: sum("quality" in outcomes for _, outcomes, _ in store.reports) == 2)
        served, shadow = store.decisions
        assert served.id == answer.decision_id
        assert (served.tags, served.session, len(served.arms)) == (("t",), "s", 2)
        assert (shadow.tags, shadow.session, shadow.arms, shadow.propensity) == (
            ("t", "shadow"),
            None,
            shadow.ranking,
            1.0,
        )
        assert {served.arm, shadow.arm} == set(asked) == set(PRICES)
        assert answer.others == ()
        graded = {arm: outcomes["quality"] for arm, outcomes, _ in store.reports if "quality" in outcomes}
        assert graded == {"small": 0.0, "large": 1.0}

    def test_its_own_budget_bounds_it(self, make, asked):
        budget = Budget(usd=0.001, per="day", hard=True, tag="shadow")  # an arm may cost .01
        client = make(quality=looks, shadow=1.0, dollar=3000.0, budgets=[budget])
        store = store_of(client.router)
        for calls in range(1, 4):
            assert client.create("hi").decision.granted
            until(lambda calls=calls: len(store.decisions) == 2 * calls)
            assert not store.decisions[-1].granted
        assert len(asked) == 3

    def test_no_arm_is_asked_twice(self, make):
        client = make(quality=looks, shadow=1.0, dollar=3000.0)
        client.create("hi", route={"arms": ["small"]})
        until(lambda: not aside())
        assert [decision.arm for decision in store_of(client.router).decisions] == ["small"]

    def test_a_grader_that_hangs_holds_four_of_them_and_no_answer(self, make):
        released = threading.Event()

        def hangs_aside(answer):
            return looks(answer) if threading.current_thread() not in aside() else released.wait(30.0)

        client = make(quality=hangs_aside, shadow=1.0, dollar=3000.0)
        for _ in range(8):
            client.create("hi")
        assert len(aside()) == 4
        released.set()
        until(lambda: not aside())

    def test_a_shadow_call_that_fails_costs_no_answer(self, make, caplog):
        client = make(quality=looks, shadow=1.0, dollar=3000.0, large=(500, {"error": {"message": "down"}}))
        assert client.create("hi", route={"arms": ["small", "large"]}).text == "bad"
        until(lambda: "a shadow call gave nothing" in caplog.text)

    def test_async_client_does_not_wait_for_it(self, make, asked):
        client = make(AsyncRoutedClient, quality=looks, shadow=1.0, dollar=3000.0)
        store = store_of(client.router)

        async def ask():
            await client.create("hi")
            assert len(asked) == 1
            while sum("quality" in outcomes for _, outcomes, _ in store.reports) < 2:
                await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(ask(), 30))
        assert set(asked) == set(PRICES)

    @pytest.mark.parametrize(
        ("settings", "words"), [({"shadow": 0.1}, "without quality"), ({"shadow": 2}, "shadow is 2")]
    )
    def test_unusable_shares_are_refused(self, make, settings, words):
        with pytest.raises(InvalidConfigurationError, match=words):
            make(**settings)


class TestRefusals:
    @pytest.mark.parametrize("graders", [["judge"], {"judge": 0.5}, {"": looks}])
    def test_graders_are_functions_by_name(self, make, graders):
        with pytest.raises(InvalidConfigurationError, match="grader"):
            make(graders=graders)

    def test_quality_is_a_function(self, make):
        with pytest.raises(InvalidConfigurationError, match=r"quality is 0\.5; give a function"):
            make(quality=0.5)

    def test_client_without_graders_asks_once(self, make, asked):
        answer = make().create("hi")
        assert (answer.others, answer.audit_of, len(asked)) == ((), None, 1)
