"""Every mistake of a caller gets a message with what was given and what to do, and changes nothing."""

import math
from decimal import Decimal

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.errors import BanditRouteError, InvalidConfigurationError, InvalidFeedbackError, InvalidRequestError
from banditroute.features import Complexity
from banditroute.learners import Learner
from banditroute.objectives import Objective
from banditroute.policies import Thompson, Uniform
from banditroute.router import Router
from banditroute.store.memory import MemoryStore
from tests.support import X, belief_of, make_router


class Counting(MemoryStore):
    """Counts what it is given."""

    def __init__(self):
        super().__init__()
        self.given = 0
        self.stream = np.random.default_rng(0)  # that the router draws from

    def add_decision(self, decision, prompt=None):
        self.given += 1
        super().add_decision(decision, prompt)


@pytest.fixture
def store():
    return Counting()


@pytest.fixture
def router(store):
    router = Router(
        arms=["a", "b"],
        features=2,
        preference=Preference(quality=1.0, cost_usd=2.0),
        learner=Learner(policy=Uniform()),
        store=store,
        seed=store.stream,
    )
    for i in range(10):
        router.feedback(router.route([0.1 * i, 1.0]).id, quality=i / 10, cost_usd=0.01 * i)
    return router


def expect_refusal(router, store, error, message, call):
    """``call`` is refused with the message, and beliefs, store and randomness stay exactly as they were."""
    before = router.route([0.3, -0.7])
    dice, given, learned = (
        str(store.stream.bit_generator.state),
        store.given,
        router.status().learned,
    )
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, BanditRouteError)
    assert (str(store.stream.bit_generator.state), store.given, router.status().learned) == (
        dice,
        given,
        learned,
    )
    after = router.route([0.3, -0.7])
    assert before.objectives == after.objectives
    for name in ("means", "stds", "utilities", "utility_stds", "probabilities"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert router.status().fallbacks == 0


FEATURES = [
    ([1.0], r"shape \(1,\); this router expects \(2,\), without the bias entry"),
    ([1.0, 2.0, 1.0], r"shape \(3,\); this router expects \(2,\)"),
    ([[1.0, 2.0]], r"shape \(1, 2\); this router expects \(2,\)"),
    ([], r"shape \(0,\); this router expects \(2,\)"),
    (1.0, r"shape \(\); this router expects \(2,\)"),
    ([1.0, math.nan], r"hold NaN, an infinity or numbers beyond 1e8; give finite numbers of mean square about 1"),
    ([1.0, -math.inf], r"hold NaN, an infinity"),
    ([1.0, 1e10], r"numbers beyond 1e8"),
    ([1.0, 1e300], r"numbers beyond 1e8"),
    ([True, False], r"the request is list of bool; give a text, or 2 numbers"),
    (["1", "2"], r"the request is list of <U1; give a text, or 2 numbers"),
    ([1j, 2.0], r"the request is list of complex128; give a text, or 2 numbers"),
    ([[1.0], [2.0, 3.0]], r"the request is list of object; give a text, or 2 numbers"),
    (None, r"the request is NoneType of object; give a text, or 2 numbers"),
    (b"text", r"the request is bytes of .*; give a text, or 2 numbers"),
    ("a text", r"expects 2 ready features, a text was given; make it with Router\(features=TextFeatures\(\)\)"),
]


@pytest.mark.parametrize(("request_", "message"), FEATURES, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("many", [False, True])
def test_features_that_are_none(router, store, request_, message, many):
    def call():
        return router.route_many([[1.0, 2.0], request_]) if many else router.route(request_)

    expect_refusal(router, store, InvalidRequestError, message, call)


OPTIONS = [
    ({"arms": []}, r"no arm is left: arms=\[\], exclude=\[\] of a, b; leave at least one"),
    ({"exclude": ["a", "b"]}, r"no arm is left: arms=None, exclude=\['a', 'b'\] of a, b"),
    ({"arms": ["a"], "exclude": {"a"}}, r"no arm is left: arms=\['a'\], exclude=\['a'\]"),
    ({"arms": ["c"]}, r"arms names an unknown arm 'c'; known arms: a, b"),
    ({"exclude": ["c"]}, r"exclude names an unknown arm 'c'; known arms: a, b"),
    ({"arms": [["a"]]}, r"arms names an unknown arm \['a'\]"),
    ({"arms": "a"}, r"arms is the string 'a'; give a collection of names, \['a'\]"),
    ({"exclude": "b"}, r"exclude is the string 'b'; give a collection of names"),
    ({"arms": 1}, r"arms is 1 \(int\); give a list of names"),
    (
        {"preference": {"qualty": 1.0}},
        r"objective 'qualty' of the preference is unknown; known objectives: availability, .*quality. Declare",
    ),
    ({"preference": {1: 1.0}}, r"objective 1 of the preference is unknown"),
    (
        {"preference": "quality"},
        r"preference is 'quality' \(str\); give a Preference, for example Preference\(quality=1.0",
    ),
    ({"preference": 1.0}, r"preference is 1.0 \(float\); give a Preference"),
    ({"session": 5}, r"session is 5 \(int\); give a string"),
    ({"session": ""}, r"session has 0 characters; give 1 to 255"),
    ({"session": "x" * 256}, r"session has 256 characters; give 1 to 255"),
    ({"session": "\x00"}, r"NUL and lone surrogates cannot be stored: remove them"),
    ({"tags": "tag"}, r"tags is the string 'tag'; give a collection of strings"),
    ({"tags": [1]}, r"tag is 1 \(int\); give a string"),
    ({"tags": 1}, r"tags is 1 \(int\); give a collection of strings"),
    ({"input_tokens": -1}, r"input_tokens is -1.0; it must be at least 0"),
    ({"input_tokens": True}, r"input_tokens is True \(bool\); give a number"),
    ({"input_tokens": "7"}, r"input_tokens is '7' \(str\); give a number"),
    ({"input_tokens": math.nan}, r"input_tokens is nan; give a finite number"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS, ids=lambda value: repr(value)[:40])
def test_options_that_cannot_be(router, store, options, message):
    expect_refusal(router, store, InvalidRequestError, message, lambda: router.route([0.0, 0.0], **options))


@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ({}, r"a preference needs a weight above 0, got \{\}; for example Preference\(quality=1.0\)"),
        ({"quality": 0.0, "cost_usd": 0}, r"a preference needs a weight above 0"),
        ({"quality": -1.0}, r"preference quality is -1.0; it must be between 0 and 1e\+50"),
        ({"quality": math.nan}, r"preference quality is nan; give a finite number"),
        ({"quality": True}, r"preference quality is True \(bool\)"),
        ({"quality": "1"}, r"preference quality is '1' \(str\); give a number"),
    ],
)
def test_weights_that_are_no_preference(router, store, preference, message):
    def call():
        router.route([0.0, 0.0], preference=preference)

    expect_refusal(router, store, InvalidConfigurationError, message, call)
    with pytest.raises(InvalidConfigurationError, match=message):
        Router(arms=["a"], features=1, preference=preference)


OUTCOMES = [
    ({"quality": 1.01}, r"^quality is 1.01; it must be between 0 and 1$"),
    ({"quality": -0.01}, r"^quality is -0.01; it must be between 0 and 1$"),
    ({"quality": math.nan}, r"^quality is nan; give a finite number, or leave it out if it is not known$"),
    ({"quality": math.inf}, r"^quality is inf; give a finite number"),
    ({"quality": True}, r"^quality is True \(bool\); give a number: float\(...\) if you mean 0 or 1$"),
    ({"quality": np.True_}, r"^quality is True \(bool\); give a number"),
    ({"quality": "0.5"}, r"^quality is '0.5' \(str\); give a number$"),
    ({"quality": Decimal("1.5")}, r"^quality is 1.5; it must be between 0 and 1$"),
    ({"quality": np.array(0.5)}, r"^quality is array\(0.5\) \(ndarray\); give a number$"),
    ({"quality": 1j}, r"^quality is 1j \(complex\); give a number$"),
    ({"cost_usd": -0.01}, r"^cost_usd is -0.01; it must be between 0 and 1e\+50$"),
    ({"cost_usd": 1e200}, r"^cost_usd is 1e\+200; it must be between 0 and 1e\+50$"),
    ({"cost_usd": 10**400}, r"^cost_usd is inf; give a finite number"),
    ({"energy_joules": -1}, r"^energy_joules is -1.0"),
    ({"latency_seconds": -1}, r"^latency_seconds is -1.0"),
    ({"output_tokens": -1}, r"^output_tokens is -1.0"),
    (
        {"helpfulness": 1.0},
        r"^unknown objective 'helpfulness'; known objectives: availability, cost_usd, .* Declare your own with",
    ),
    ({"helpfulness": None}, r"^unknown objective 'helpfulness'"),
    ({}, r"has no outcome; give at least one, for example quality=1.0$"),
    ({"quality": None}, r"has no outcome; give at least one"),
    ({"cost_usd": 0.5, "quality": 2.0}, r"^quality is 2.0"),
]


@pytest.mark.parametrize(("values", "message"), OUTCOMES, ids=lambda value: repr(value)[:30])
def test_outcomes_that_cannot_be(router, store, values, message):
    decision = router.route([1.0, 2.0])
    expect_refusal(router, store, InvalidFeedbackError, message, lambda: router.feedback(decision.id, **values))
    router.feedback(decision.id, quality=0.25, cost_usd=0.125)  # nothing was recorded that this could conflict with


@pytest.mark.parametrize("values", [values for values, _ in OUTCOMES], ids=lambda value: repr(value)[:30])
async def test_outcomes_that_cannot_be_are_refused_to_the_event_loop_alike(router, values):
    with pytest.raises(InvalidFeedbackError):
        await router.afeedback(router.route([1.0, 2.0]).id, **values)


@pytest.mark.parametrize("id", [None, 5, b"0123", ["x"]])
def test_bad_decision_id_is_refused(router, store, id):
    def call():
        router.feedback(id, quality=1.0)

    expect_refusal(router, store, InvalidFeedbackError, r"^decision_id is .*; give the string decision.id$", call)


def test_a_whole_decision_is_no_decision_id(router):
    with pytest.raises(InvalidFeedbackError, match=r"\(Decision\); give the string decision.id$"):
        router.feedback(router.route([1.0, 2.0]), quality=1.0)


def test_ready_features_of_another_length_are_refused_by_a_router_of_text():
    router = Router(arms=["a"], features=Complexity())
    with pytest.raises(InvalidRequestError, match=rf"this router expects \({Complexity().dimension},\)"):
        router.route([1.0, 2.0])


def test_a_text_is_no_list_of_texts():
    router = Router(arms=["a"], features=Complexity())
    with pytest.raises(
        InvalidRequestError, match=r"requests is 'hello' \(str\); give several, for example .*, or use route"
    ):
        router.route_many("hello")


SETTINGS = [
    ({"arms": []}, r"arms is empty; give at least one arm"),
    ({"arms": "small"}, r"arms is 'small'; give a list of arms or names, for example \['small', 'large'\]"),
    ({"arms": 3}, r"arms is 3; give a list"),
    ({"arms": ["a", "b", Arm(name="a"), "b"]}, r"arm names must be unique; given twice: a, b"),
    ({"arms": ["a", 5]}, r"arm 5 is a int; give an Arm or its name"),
    ({"arms": [""]}, r"Arm\(name=...\) has 0 characters; give 1 to 255"),
    ({"fallback": "c"}, r"unknown fallback arm 'c'; known arms: a, b"),
    ({"features": -1}, r"features is -1; give a whole number from 0"),
    ({"features": True}, r"features is True; give a whole number from 0"),
    ({"features": "text"}, r"features is 'text'; give a featurizer such as TextFeatures\(\), or the number of"),
    ({"features": 2.0}, r"features is 2.0; give a featurizer"),
    ({"learner": Thompson()}, r"learner is Thompson\(.*; give a learner such as LinUCB\(\), or Learner\(policy=...\)"),
    ({"learner": "linucb"}, r"learner is 'linucb'; give a learner"),
    ({"store": "sqlite:///x.db"}, r"store is 'sqlite:///x.db'; give a store such as MemoryStore\(\) or SQLStore"),
    ({"name": ""}, r"Router\(name=...\) has 0 characters"),
    ({"name": 5}, r"Router\(name=...\) is 5 \(int\); give a string"),
    (
        {"objectives": [Objective(name="quality", higher_is_better=True)]},
        r"'quality' is defined twice .*choose another",
    ),
    ({"objectives": ["helpfulness"]}, r"objective 'helpfulness' is a str; give Objective\(name=..."),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS, ids=lambda value: repr(value)[:40])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Router(**{"arms": ["a", "b"], "features": 2, **settings})


@pytest.mark.parametrize("preference", [{"qualty": 1.0}, "quality"])
def test_a_preference_that_cannot_be_is_refused_when_the_router_is_made(preference):
    with pytest.raises(
        InvalidRequestError, match=r"objective 'qualty' of the preference is unknown|preference is 'quality' \(str\)"
    ):
        Router(arms=["a"], features=1, preference=preference)


def test_tags_none_is_refused():
    with pytest.raises(InvalidRequestError, match="tags is None"):
        make_router().route(X, tags=None)


def test_messages_that_are_nested_too_deeply_are_refused():
    content: list = []
    for _ in range(100_000):
        content = [content]
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        Router(arms=["a"], features=Complexity()).route([{"role": "user", "content": content}])


@pytest.mark.parametrize("option", ["arms", "exclude"])
def test_message_lists_few_of_many_arms(option):
    router = make_router(*(f"arm {number}" for number in range(500)))
    with pytest.raises(InvalidRequestError) as error:
        router.route(X, **{option: ["nobody"]})
    assert "(500 names)" in str(error.value)
    assert len(str(error.value)) < 400


class NoNumber(float):
    """A number of a type of the caller's own, which fails when it is read."""

    def __float__(self):
        raise RuntimeError("no number")


class NoKey(str):
    """A string that cannot be a key."""

    __hash__ = None


RAW = {
    "feature": lambda: make_router().route([NoNumber(0.5), 0.1]),
    "outcome": lambda: make_router().feedback("x", quality=NoNumber(0.5)),
    "weight": lambda: Preference(quality=NoNumber(0.5)),
    "range": lambda: Objective(name="z", low="0.5", high=1.0, higher_is_better=True),
    "range of a Decimal": lambda: Objective(name="z", low=Decimal("NaN"), high=1.0, higher_is_better=True),
    "dimension": lambda: Router(arms=["a"], features=2**63),
    "arm": lambda: Router(arms=[NoKey("x"), "b"], features=1),
    "router": lambda: Router(arms=["a"], features=1, name=NoKey("x")),
    "named arm": lambda: make_router().route(X, arms=[NoKey("x")]),
    "decision": lambda: make_router().feedback(NoKey("x"), quality=1.0),
    "seed": lambda: make_router(seed=0.5),
}


@pytest.mark.parametrize("name", RAW)
def test_hostile_values_are_refused_by_errors_of_ours(name):
    with pytest.raises(BanditRouteError) as error:
        RAW[name]()
    assert len(str(error.value)) < 400


def test_descriptors_beyond_64_bits_are_numbers():
    arms = [Arm(name="a", descriptors={"size": 2**64}), Arm(name="b", descriptors={"size": 1.0})]
    assert Router(arms=arms, features=1).route([0.5]).reason == "policy"


@pytest.mark.parametrize("worth", [np.float32(0.5), Decimal("0.5")])
def test_worth_of_a_log_may_be_any_number(worth):
    router = make_router()
    router.warm_start([(X, {"a": {"quality": 1.0}})], worth=worth)
    assert belief_of(router).counts("quality").tolist() == [0.5, 0.0]
