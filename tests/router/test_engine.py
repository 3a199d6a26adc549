"""The choice: drawn exactly as logged, steered by preference and prices, and learned from nothing but feedback."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters.penalties import AdapterPenalties
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.state import StateSlot
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.objectives import Objective
from banditroute.objectives.utility import merge_objectives
from banditroute.policies import Mixture, Uniform
from banditroute.router import Router
from banditroute.router.constraints import Constraints
from banditroute.router.engine import Engine
from banditroute.router.models import ArmModels
from banditroute.router.requests import Ask
from banditroute.router.sampling import CannotChooseError, RandomStream, sample_arm
from banditroute.store.base import OutcomeEvent, StoredState
from banditroute.store.memory import MemoryStore
from banditroute.store.state_slot import StateSlots
from tests.support import spoil

QUALITY = Preference(quality=1.0)
X = np.array([0.3, -0.2, 1.0])
REQUEST = Request(features=X[:-1])


def learn(made, arm, x, values):
    made.learn(OutcomeEvent(arm=arm, x=x, values=values, decided_at=0.0, ordinal=0))


def make_engine(learner, arms=("a", "b", "c", "d"), seed=0, objectives=()):
    arms = [arm if isinstance(arm, Arm) else Arm(name=arm) for arm in arms]
    memory = StoredState(statistics={}, pending=[], decisions=0, feedback=0)
    return Engine(
        objectives=merge_objectives(objectives),
        learner=learner,
        models=ArmModels(
            arms=arms,
            objectives=merge_objectives(objectives),
            learner=learner,
            tracked=(),
            features_version="1",
            dimension=3,
            blocks=None,
            memory=memory,
            drift_slot=StateSlot(name="drift"),
            choices_slot=StateSlot(name="choices"),
        ),
        constraints=Constraints(
            arms=arms, breaker=None, slots=StateSlots(), totals={}, add_total=lambda budget, total: None
        ),
        adapters=AdapterPenalties(
            arms=arms,
            cache=None,
            switching={},
            slot=StateSlot(name="adapters"),
            state_slots=lambda name: StateSlot(name=name),
            clock=lambda: 0.0,
        ),
        memory=memory,
        slots=StateSlots(),
        stream=RandomStream(np.random.default_rng(seed)),
    )


def taught(learner, seed=0):
    """An engine that has learned something different of each arm."""
    rng = np.random.default_rng(1)
    made = make_engine(learner, seed=seed)
    for k, arm in enumerate("abcd"):
        for _ in range(5 * k + 1):
            x = np.array([*rng.normal(size=2), 1.0])
            learn(made, arm, x, {"quality": float(rng.random() < 0.4 + 0.1 * k), "cost_usd": 0.001 * (k + 1)})
    return made


def ask(made, preference=QUALITY, among=None, x=X, request=REQUEST):
    return made.decide(Ask(request, x, preference, among, None, 1.7e9))


LEARNERS = [
    ThompsonSampling(),
    ThompsonSampling(scale=1.0, floor=0.2),
    LinUCB(floor=0.1),
    EpsilonGreedy(epsilon=0.5),
    Learner(policy=Uniform()),
    Learner(policy=Mixture(shares={"a": 5, "b": 3, "d": 2})),
]


@pytest.mark.parametrize("learner", LEARNERS, ids=repr)
def test_200_000_draws_agree_with_the_logged_probabilities(learner):
    decision = ask(taught(learner))
    probabilities, n = decision.probabilities, 200_000
    drawn = [sample_arm(probabilities, 4, u)[0] for u in np.random.default_rng(2).random(n).tolist()]
    shares = np.bincount(drawn, minlength=4) / n
    assert (np.abs(shares - probabilities) <= 5.0 * np.sqrt(probabilities * (1.0 - probabilities) / n)).all()


def test_whole_choices_agree_with_the_logged_probabilities():
    made = taught(ThompsonSampling(scale=1.0, floor=0.2))
    decisions = [ask(made) for _ in range(10_000)]
    probabilities = decisions[0].probabilities
    assert all(np.array_equal(decision.probabilities, probabilities) for decision in decisions)
    counts = np.array([sum(decision.arm == arm for decision in decisions) for arm in "abcd"])
    expected = 10_000 * probabilities
    # Chi-squared with 3 degrees of freedom exceeds 21.1 once in 10,000 times.
    assert ((counts - expected) ** 2 / expected).sum() < 21.1


@pytest.mark.parametrize("learner", LEARNERS, ids=repr)
def test_the_propensity_is_the_probability_of_the_arm(learner):
    made = taught(learner)
    for _ in range(50):
        decision = ask(made)
        assert decision.propensity == decision.probabilities[decision.arms.index(decision.arm)] > 0.0


@given(
    st.lists(st.sampled_from([0.0, 1e-300, 0.1, 0.5, 1.0]), min_size=1, max_size=6).filter(any),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_an_arm_is_drawn_where_its_share_holds_the_number(weights, u):
    probabilities = np.array(weights) / sum(weights)
    chosen, propensity = sample_arm(probabilities, len(weights), u)
    assert propensity == probabilities[chosen] > 0.0
    assert probabilities[:chosen].sum() <= u + 1e-12
    assert u < probabilities[: chosen + 1].sum() + 1e-12


@pytest.mark.parametrize(("u", "chosen"), [(0.0, 1), (0.2499, 1), (0.25, 3), (math.nextafter(1.0, 0.0), 3)])
def test_an_arm_of_probability_0_is_never_drawn(u, chosen):
    assert sample_arm(np.array([0.0, 0.25, 0.0, 0.75, 0.0]), 5, u)[0] == chosen


def test_the_last_arm_takes_what_rounding_leaves():
    thirds = np.full(3, 0.1 + 0.2) + 0.1 / 3.0
    assert sample_arm(thirds * (1.0 - 1e-13), 3, math.nextafter(1.0, 0.0))[0] == 2


@pytest.mark.parametrize("bad", [[math.nan, 0.5], [0.6, 0.6], [1.5, -0.5], [0.0, 0.0], [1.0], [0.5, 0.3, 0.2]])
def test_bad_probabilities_are_never_drawn_from(bad):
    with pytest.raises(CannotChooseError, match=r"2 probabilities that sum to 1; test it with testing.check_policy"):
        sample_arm(np.array(bad), 2, 0.5)


def test_a_seed_reproduces_the_choices():
    first, again, other = (
        [ask(made).arm for _ in range(60)] for made in (taught(LEARNERS[4], seed) for seed in (3, 3, 4))
    )
    assert first == again
    assert first != other


def test_a_generator_is_used_as_it_is():
    seeds = [np.random.default_rng(5), np.random.default_rng(5)]
    routers = [Router(arms=["a", "b"], features=1, learner=Learner(policy=Uniform()), seed=seed) for seed in seeds]
    first, second = ([router.route([0.0]).arm for _ in range(40)] for router in routers)
    assert first == second
    assert len(set(first)) == 2


def test_the_choices_of_a_seed_are_not_the_numbers_of_a_simulation_with_that_seed():
    router = Router(arms=["a", "b"], features=1, learner=Learner(policy=Uniform()), seed=5)
    chosen = [router.route([0.0]).arm == "b" for _ in range(200)]
    drawn = np.random.default_rng(5).random(200) >= 0.5
    assert 70 < np.count_nonzero(np.array(chosen) == drawn) < 130


@pytest.mark.parametrize("seed", [-1, 0.5, "seven", True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(InvalidConfigurationError, match=r"seed is .*; give a whole number of at least 0"):
        Router(arms=["a"], features=1, seed=seed)


def test_escalation_draws_from_a_stream_of_its_own():
    routers = [Router(arms=["a", "b"], features=1, learner=Learner(policy=Uniform()), seed=5) for _ in range(2)]
    chosen = []
    for escalates, router in enumerate(routers):
        arms = []
        for _ in range(40):
            decision = router.route([0.0], arms=["a"])
            if escalates:
                router.escalate(decision.id, signal=1.0)  # nothing is left to ask: no arm is drawn
            arms.append(router.route([0.0]).arm)
        chosen.append(arms)
    assert chosen[0] == chosen[1]


def test_ids_are_unique_and_sort_by_time():
    made = taught(Learner(policy=Uniform()))
    early = {made.decide(Ask(REQUEST, X, QUALITY, None, None, 1.7e9)).id for _ in range(200)}
    late = {made.decide(Ask(REQUEST, X, QUALITY, None, None, 1.7e9 + 0.002)).id for _ in range(200)}
    assert len(early | late) == 400
    assert max(early) < min(late)
    assert all(len(id) == 32 and int(id[:12], 16) == 1_700_000_000_000 for id in early)


def test_a_preference_changes_the_decision_and_relearns_nothing():
    made = make_engine(EpsilonGreedy(epsilon=0.0), ["good", "cheap"])
    for _ in range(200):
        learn(made, "good", X, {"quality": 0.9, "cost_usd": 0.02})
        learn(made, "cheap", X, {"quality": 0.7, "cost_usd": 0.001})
    before, learned = made.models.belief.predict(X), made.learned
    thrifty = Preference(quality=1.0, cost_usd=50.0)
    # 0.9 - 50 x 0.02 = -0.1 against 0.7 - 50 x 0.001 = 0.65
    chosen = [ask(made, preference).arm for preference in (QUALITY, thrifty, QUALITY, thrifty)]
    assert chosen == ["good", "cheap", "good", "cheap"]
    after = made.models.belief.predict(X)
    assert np.array_equal(before.means, after.means)
    assert np.array_equal(before.stds, after.stds)
    assert made.learned == learned
    assert ask(made, thrifty).utilities == pytest.approx([-0.1, 0.65], abs=0.02)


def test_an_objective_is_believed_from_the_first_preference_that_names_it():
    made = make_engine(EpsilonGreedy())
    assert ask(made).objectives == ("quality",)
    assert ask(made, Preference(quality=1.0, latency_seconds=0.1)).objectives == ("quality", "latency_seconds")
    assert ask(made).objectives == ("quality", "latency_seconds")
    assert ask(made, Preference(quality=1.0, energy_joules=0.0)).objectives == ("quality", "latency_seconds")


def test_more_preferences_than_are_cached_are_each_weighed_right():
    made = make_engine(EpsilonGreedy(), ["a"])
    learn(made, "a", X, {"quality": 1.0})
    mean = ask(made).means[0, 0]
    for weight in [*range(1, 1200), 1, 600]:
        assert ask(made, Preference(quality=weight)).utilities[0] == pytest.approx(weight * mean)
        assert len(made.models._signed_weights) <= 1024


def test_the_utility_of_a_decision_is_its_means_weighed():
    made = taught(ThompsonSampling(context_exploration=1.0))
    decision = ask(made, Preference(quality=2.0, cost_usd=30.0))
    quality, cost = (decision.objectives.index(name) for name in ("quality", "cost_usd"))
    assert decision.utilities == pytest.approx(2.0 * decision.means[quality] - 30.0 * decision.means[cost])
    assert decision.utility_stds == pytest.approx(np.hypot(2.0 * decision.stds[quality], 30.0 * decision.stds[cost]))


def test_only_a_part_of_the_std_that_the_context_adds_is_explored():
    made = taught(ThompsonSampling(context_exploration=0.5))
    decision = ask(made)
    averages = made.models.belief.predict(X).average_stds[decision.objectives.index("quality")]
    stds = decision.stds[decision.objectives.index("quality")]
    assert (stds > averages).all()
    assert decision.utility_stds == pytest.approx(np.sqrt(averages**2 + 0.25 * (stds**2 - averages**2)))


class BestKnown:
    """Each arm in proportion to what was learned of it."""

    def __repr__(self):
        return "BestKnown()"

    def probabilities(self, means, stds, *, arms, information):
        return information() / information().sum()


@pytest.mark.parametrize("eligible", [[0, 2], [3], [1, 2, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize("learner", [*LEARNERS, LinUCB(delta=0.1), Learner(policy=BestKnown())], ids=repr)
def test_a_subset_of_arms_is_judged_as_if_there_were_no_others(learner, eligible):
    made = taught(learner)
    all_arms, some = ask(made), ask(made, among=["abcd"[k] for k in eligible])
    assert some.arms == tuple(all_arms.arms[k] for k in eligible)
    assert some.arm in some.arms
    assert np.array_equal(some.means, all_arms.means[:, eligible])
    assert np.array_equal(some.stds, all_arms.stds[:, eligible])
    assert np.array_equal(some.penalties, np.zeros(len(eligible)))
    information = made.models.belief.information()[eligible]
    expected = learner.policy.probabilities(
        some.utilities, some.utility_stds, arms=some.arms, information=lambda: information
    )
    assert np.array_equal(some.probabilities, expected)


def test_a_users_objective_is_learned_and_weighed_in_its_own_direction():
    helpful = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0, prior_noise=1.0)
    waste = Objective(name="waste", higher_is_better=False)
    made = make_engine(EpsilonGreedy(epsilon=0.0), ["a", "b"], objectives=[helpful, waste])
    assert ask(made, Preference(helpfulness=1.0)).means.tolist() == [[3.0, 3.0]]
    for _ in range(30):
        learn(made, "a", X, {"helpfulness": 4.0, "waste": 9.0})
        learn(made, "b", X, {"helpfulness": 2.0, "waste": 1.0})
    assert ask(made, Preference(helpfulness=1.0)).arm == "a"
    assert ask(made, Preference(waste=1.0)).arm == "b"


def test_a_belief_that_is_not_finite_cannot_choose():
    made = make_engine(EpsilonGreedy())
    learn(made, "a", X, {"quality": 1.0})
    spoil(made.models.belief)
    with pytest.raises(CannotChooseError, match="verify or restore the stored statistics"):
        ask(made)


PRICED = [
    Arm(name="small", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=2.0),
    Arm(name="large", input_usd_per_million_tokens=10.0, output_usd_per_million_tokens=40.0),
    Arm(name="own hardware"),
]


def believed_cost(decision):
    j = decision.objectives.index("cost_usd")
    return decision.means[j], decision.stds[j]


def test_the_cost_of_priced_arms_is_computed_from_tokens():
    # Before any feedback 256 output tokens are expected: 1000 x 1e-6 + 256 x 2e-6, and 1000 x 10e-6 + 256 x 40e-6.
    router = Router(arms=PRICED, features=1, preference={"quality": 1.0, "cost_usd": 10.0})
    decision = router.route([0.0], input_tokens=1000)
    mean, std = believed_cost(decision)
    assert mean == pytest.approx([0.001512, 0.02024, 0.0])
    tokens = decision.stds[decision.objectives.index("output_tokens")]
    assert std == pytest.approx([tokens[0] * 2e-6, tokens[1] * 40e-6, 0.0])


def test_a_text_is_counted_as_a_token_per_four_characters():
    made = make_engine(EpsilonGreedy(), PRICED)
    mean, _ = believed_cost(ask(made, request=Request(text="x" * 4000)))
    assert mean[:2] == pytest.approx([0.001512, 0.02024])


def test_learned_cost_stands_without_tokens_or_text():
    made = make_engine(EpsilonGreedy(), PRICED)
    learn(made, "small", X, {"cost_usd": 0.5})
    mean, _ = believed_cost(ask(made))
    assert mean[0] == pytest.approx(0.5)
    assert mean[1] == pytest.approx(0.5)  # what the arms have in common, and not what 256 tokens would cost


def test_an_arm_that_reported_dollars_and_never_tokens_is_known_by_its_dollars():
    made = make_engine(EpsilonGreedy(), PRICED)
    counted = Request(features=X[:-1], input_tokens=1000)
    learn(made, "small", X, {"cost_usd": 0.5})
    assert believed_cost(ask(made, request=counted))[0][0] > 0.1
    learn(made, "small", X, {"output_tokens": 300.0})
    assert believed_cost(ask(made, request=counted))[0][0] == pytest.approx(0.0015, rel=0.1)


def test_a_new_price_acts_on_the_next_request():
    store, preference = MemoryStore(), Preference(quality=1.0, cost_usd=100.0)
    settings = {"features": 1, "store": store, "preference": preference, "learner": EpsilonGreedy(epsilon=0.0)}
    with Router(arms=PRICED[:2], **settings) as router:
        for k, arm in enumerate(["small", "large"] * 30):
            decision = router.route([0.0], arms=[arm], input_tokens=1000)
            router.feedback(decision.id, quality=0.5 + 0.4 * (k % 2), output_tokens=500.0)
        assert router.route([0.0], input_tokens=1000).arm == "small"
        before = router.route([0.0], input_tokens=1000)
    cheaper = Arm(name="large", input_usd_per_million_tokens=0.1, output_usd_per_million_tokens=0.2)
    with Router(arms=[PRICED[0], cheaper], **settings) as router:
        after = router.route([0.0], input_tokens=1000)
        assert after.arm == "large"
        quality = after.objectives.index("quality")
        assert after.means[quality] == pytest.approx(before.means[before.objectives.index("quality")], rel=1e-12)
        tokens = after.means[after.objectives.index("output_tokens")]
        assert believed_cost(after)[0] == pytest.approx([1e-3 + tokens[0] * 2e-6, 1e-4 + tokens[1] * 0.2e-6])
