"""Several arms for one request: the probability of a set, what it teaches, and what is refused."""

from collections import Counter

import pytest
from scipy.stats import chisquare

from banditroute import Arm, InvalidRequestError, Limits, Router
from banditroute.limits import Rule


@pytest.fixture
def router():
    """Three arms of which six outcomes are known, of which one is better."""
    with Router(arms=["a", "b", "c"], features=1, seed=0) as router:
        for arm, quality in (("a", 0.8), ("b", 0.5), ("c", 0.5)):
            for _ in range(2):
                router.feedback(router.route([1.0], arms=[arm]).id, quality=quality)
        yield router


def test_set_is_drawn_with_its_propensity(router):
    drawn, probability = Counter(), {}
    for _ in range(3000):
        chosen = router.route_set([1.0], 2)
        drawn[chosen.arms] += 1
        probability[chosen.arms] = chosen.propensity
    assert len(probability) == 6
    assert sum(probability.values()) == pytest.approx(1.0)
    assert min(probability.values()) < 0.15 < max(probability.values())
    observed = [drawn[each] for each in probability]
    assert chisquare(observed, [3000 * p for p in probability.values()]).pvalue > 0.001


def test_outcome_of_the_set_is_shared_by_its_members(router):
    before = router.route([1.0])
    chosen = router.route_set([1.0], 2)
    router.session_feedback(chosen.session, quality=0.0)
    after = router.route([1.0])
    fell = dict(zip("abc", before.means[0] - after.means[0], strict=True))
    (other,) = set("abc") - set(chosen.arms)
    assert all(fell[arm] > fell[other] + 0.01 for arm in chosen.arms)


def test_members_are_decisions_with_the_options_of_the_request(router):
    chosen = router.route_set([1.0], 3, session="chat 7", tags=["t"])
    assert chosen.session == "chat 7"
    assert [(member.session, member.tags, len(member.arms)) for member in chosen.members] == [
        ("chat 7", ("t",), 3),
        ("chat 7", ("t",), 2),
        ("chat 7", ("t",), 1),
    ]
    assert len({member.id for member in chosen.members}) == 3


def test_sets_without_a_session_are_sessions_apart(router):
    assert router.route_set([1.0]).session != router.route_set([1.0]).session


def test_text_is_featurized_once():
    with Router(arms=["a", "b", "c"], seed=0) as router:
        calls, featurize = [], router.features.transform_one
        router.features.transform_one = lambda request: calls.append(request) or featurize(request)
        first, second, third = router.route_set("Why?", 3).members
        assert len(calls) == 1
        assert first.x.tolist() == second.x.tolist() == third.x.tolist()


@pytest.mark.parametrize(
    ("k", "options", "message"),
    [
        (4, {}, "k is 4, and 3 arms may be chosen: a, b, c"),
        (2, {"exclude": ["a", "b"]}, "k is 2, and 1 arms may be chosen: c"),
        (2, {"limits": Limits(rules=[Rule(when="tag('private')", arms=["b"])]), "tags": ["private"]}, "chosen: b;"),
        (0, {}, "k is 0; give a whole number"),
        (2.0, {}, "k is 2.0; give a whole number"),
    ],
)
def test_set_that_cannot_be_drawn_is_refused_and_nothing_is_drawn(router, k, options, message):
    before = router.status().decisions
    with pytest.raises(InvalidRequestError, match=message):
        router.route_set([1.0], k, **options)
    assert router.status().decisions == before


def test_capabilities_hold_in_every_place():
    arms = [Arm(name="a", capabilities=["eu"]), Arm(name="b", capabilities=["eu"]), Arm(name="c")]
    with Router(arms=arms, features=1, seed=0) as router:
        assert {each for _ in range(20) for each in router.route_set([1.0], 2, requires=["eu"]).arms} == {"a", "b"}


def test_set_is_drawn_while_decisions_fall_back():
    def lies():
        raise OSError("no clock")

    with Router(arms=["a", "b", "c"], features=1, fallback="c", clock=lies) as router:
        chosen = router.route_set([1.0], 2)
        assert chosen.arms == ("c", "a")
        assert all(member.fell_back for member in chosen.members)


async def test_asynchronous_set(router):
    assert len((await router.aroute_set([1.0], 2)).arms) == 2
