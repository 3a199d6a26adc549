"""Conversations: what is read of them, and what of them reaches a decision."""

import numpy as np
import pytest

from banditroute import Arm, Router
from banditroute.core.request import Request
from banditroute.errors import InvalidRequestError
from banditroute.features import Complexity, Compose, TextFeatures
from banditroute.features._messages import asked, messages_of
from banditroute.store import MemoryStore

CHAT = [
    {"role": "system", "content": "You are a patient teacher of physics."},
    {"role": "user", "content": "Why is the sky blue?"},
    {"role": "assistant", "content": "Rayleigh scattering."},
    {"role": "user", "content": "And at dusk?"},
]


def texts(given):
    return [text for _, text in messages_of(given)]


def test_contents_are_texts_parts_or_nothing():
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "it?"},
    ]
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    given = [{"role": "user", "content": parts}, call, {"role": "tool", "tool_call_id": "1", "content": "4"}]
    assert texts([*given, {"role": "assistant"}]) == ["What is\nit?", "", "4", ""]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([], "And at dusk?"),
        ([{"role": "assistant", "content": None}, {"role": "tool", "content": "red"}], "And at dusk?\nred"),
        ([{"role": "user", "content": "Thanks."}], "Thanks."),
    ],
)
def test_the_last_user_message_is_read_and_what_came_after_it(last, expected):
    assert asked(messages_of([*CHAT, *last])) == expected


def test_messages_are_all_read_without_a_user_message():
    assert asked((("system", "Say hello."), ("assistant", "Hello"))) == "Say hello.\nHello"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([CHAT[0], "Why?"], r"message 1 is 'Why\?'; give a mapping such as"),
        ([{"content": "Why?"}], r"message 0 is .*give a mapping such as"),
        ([{"role": 3, "content": "Why?"}], "role of message 0"),
        ([{"role": "", "content": "Why?"}], "role of message 0"),
        ([{"role": "user", "content": 7}], "content of message 0 is int; give a text, None, or a list of parts"),
        ([{"role": "user", "content": ["Why?", 7]}], "content of message 0 is list"),
    ],
)
def test_bad_conversation_is_refused_with_its_position(given, message):
    with pytest.raises(InvalidRequestError, match=message):
        Router(arms=["a"], features=Complexity()).route(given)


def test_a_router_routes_by_what_is_asked_and_by_the_roles():
    features = TextFeatures()
    with Router(arms=["a", "b"], features=features, seed=0) as router:
        x = router.route(CHAT).x
        alone = router.route("And at dusk?").x
    request = Request(text="And at dusk?", messages=messages_of(CHAT))
    assert np.array_equal(x[:-1], features.transform_one(request))
    changed = np.flatnonzero(x != alone)
    assert [features.names[index] for index in changed] == ["complexity.turns", "complexity.system"]


def test_one_user_message_is_its_text():
    with Router(arms=["a"], features=TextFeatures()) as router:
        assert np.array_equal(router.route(CHAT[1:2]).x, router.route("Why is the sky blue?").x)


async def test_every_way_to_route_takes_conversations():
    with Router(arms=["a"], features=Compose(blocks=[Complexity()])) as router:
        one, other = router.route_many([CHAT, "And at dusk?"])
        assert np.array_equal((await router.aroute(tuple(CHAT))).x, one.x)
        assert not np.array_equal(one.x, other.x)


def test_single_conversation_is_refused_as_a_list_of_requests():
    with pytest.raises(InvalidRequestError, match="the request is dict"), Router(arms=["a"]) as router:
        router.route_many(CHAT)


def test_a_router_of_ready_features_takes_none():
    with pytest.raises(InvalidRequestError, match="expects 2 ready features, a text was given"):
        Router(arms=["a"], features=2).route(CHAT)


def test_cost_is_that_of_the_whole_conversation():
    arm = Arm(name="a", input_usd_per_million_tokens=4.0, output_usd_per_million_tokens=0.0)
    with Router(arms=[arm], preference={"quality": 1.0, "cost_usd": 1.0}) as router:
        decision = router.route(CHAT)
    characters = sum(len(message["content"]) for message in CHAT)
    row = decision.objectives.index("cost_usd")
    assert decision.means[row, 0] == pytest.approx(characters / 4 * 4e-6)


def test_prompts_are_stored_only_if_asked_and_only_as_far_as_read():
    class Noting(MemoryStore):
        prompts: list

        def add_decision(self, decision, prompt=None):
            self.prompts.append(prompt)
            super().add_decision(decision, prompt)

    for asked_for, expected in ((False, None), (True, "And at dusk?")):
        store = Noting()
        store.prompts = []
        with Router(arms=["a"], store=store, store_prompts=asked_for) as router:
            router.route(CHAT)
        assert store.prompts == [expected]
