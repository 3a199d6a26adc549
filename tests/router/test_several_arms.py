"""Several arms for one request, drawn one after the other: the probability of the sequence, what the set teaches."""

from collections import Counter

import pytest
from scipy.stats import chisquare

from banditroute import Router


@pytest.fixture
def router():
    """Three arms of which six outcomes are known, of which one is better."""
    with Router(arms=["a", "b", "c"], features=1, seed=0) as router:
        for arm, quality in (("a", 0.8), ("b", 0.5), ("c", 0.5)):
            for _ in range(2):
                router.feedback(router.route([1.0], arms=[arm]).id, quality=quality)
        yield router


def pair(router, session=None):
    first = router.route([1.0], session=session)
    return first, router.route([1.0], exclude=[first.arm], session=session)


def test_sequence_is_drawn_with_the_product_of_its_propensities(router):
    drawn, probability = Counter(), {}
    for _ in range(3000):
        first, second = pair(router)
        drawn[first.arm, second.arm] += 1
        probability[first.arm, second.arm] = first.propensity * second.propensity
    assert len(probability) == 6
    assert sum(probability.values()) == pytest.approx(1.0)
    assert min(probability.values()) < 0.15 < max(probability.values())
    observed = [drawn[each] for each in probability]
    assert chisquare(observed, [3000 * p for p in probability.values()]).pvalue > 0.001


def test_outcome_of_the_set_is_shared_by_its_members(router):
    before = router.route([1.0])
    members = pair(router, session="question 1")
    router.session_feedback("question 1", quality=0.0)
    after = router.route([1.0])
    fell = dict(zip("abc", before.means[0] - after.means[0], strict=True))
    (other,) = set("abc") - {member.arm for member in members}
    assert all(fell[member.arm] > fell[other] + 0.01 for member in members)
