"""Replay from a log: what a learner would have done online, one that learns no more, and one that learns alongside."""

from dataclasses import replace

import numpy as np
import pytest

from banditroute import EpsilonGreedy, InvalidInputError, Learner, LinUCB, Preference, Router
from banditroute.beliefs import Linear
from banditroute.evaluate import evaluate, frozen, replay_by_rejection
from banditroute.evaluate.rejection import alongside
from banditroute.policies import Adaptive, Mixture, Uniform
from banditroute.store.memory import MemoryStore

PREFER = Preference(quality=1.0)
SKEWED = np.array([0.5, 0.3, 0.2])


def online(world, learner, steps, seed):
    """Mean quality of a learner that is asked, and told, about the first rows of the world."""
    rng = np.random.default_rng(seed)
    with Router(
        arms=["left", "right", "safe"], features=1, learner=learner, store=MemoryStore(capacity=1), seed=seed
    ) as router:
        total = 0.0
        for i in range(steps):
            decision = router.route(world.contexts[i, :-1])
            had = float(rng.random() < world.quality[i, decision.arms.index(decision.arm)])
            router.feedback(decision.id, quality=had)
            total += had
    return total / steps


def test_within_two_standard_errors_of_the_online_truth(make_log):
    """The first 100 decisions of a learner, 20 times online and 20 times from logs of uneven propensities."""
    steps, runs = 100, 20
    learner = LinUCB(alpha=1.0)
    truth, replayed = [], []
    for seed in range(runs):
        log, _ = make_log(900, seed=seed, logged=SKEWED)
        accepted = np.flatnonzero(replay_by_rejection(log, learner=learner, preference=PREFER, seed=seed))[:steps]
        assert len(accepted) == steps
        replayed.append(log.outcomes["quality"][accepted].mean())
        truth.append(online(make_log(steps, seed=1000 + seed)[1], learner, steps, seed))
    error = np.hypot(np.std(truth, ddof=1), np.std(replayed, ddof=1)) / np.sqrt(runs)
    assert abs(np.mean(replayed) - np.mean(truth)) < 2.0 * error
    assert error < 0.025


@pytest.mark.parametrize("logged", [None, SKEWED])
def test_a_fixed_policy_accepts_its_own_choices_alike(make_log, logged):
    shares = {"left": 0.6, "right": 0.1, "safe": 0.3}
    log, _ = make_log(6000, logged=logged)
    learner = Learner(policy=Mixture(shares=shares))
    accepted = replay_by_rejection(log, learner=learner, preference=PREFER)
    least = 1 / 3 if logged is None else 0.2
    assert accepted.mean() == pytest.approx(least, abs=4 * np.sqrt(least / 6000))
    counts = np.bincount(log.chosen[accepted], minlength=3) / accepted.sum()
    np.testing.assert_allclose(counts, list(shares.values()), atol=4 * 0.5 / np.sqrt(accepted.sum()))


def test_the_least_probability_counts_even_where_it_was_not_drawn(make_log):
    log, _ = make_log(3000)
    p = log.probabilities.copy()
    p[0] = [0.05, 0.05, 0.9]
    chosen = np.append(2, log.chosen[1:])
    log = replace(log, probabilities=p, chosen=chosen, propensities=p[np.arange(3000), chosen])
    accepted = replay_by_rejection(log, learner=Learner(policy=Uniform()), preference=PREFER)
    assert accepted.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 / 3000))


def test_the_same_seed_gives_the_same_history_and_only_eligible_arms_are_asked(make_log):
    log, _ = make_log(600)
    eligible = log.eligible.copy()
    eligible[np.arange(600), (log.chosen + 1) % 3] = False
    log = replace(log, eligible=eligible, probabilities=None)
    options = {"learner": EpsilonGreedy(), "preference": PREFER, "seed": 3}
    first, second = (replay_by_rejection(log, **options) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.mean() > 0.4  # of two arms, where of three it would be a third


def test_rows_without_outcome_are_accepted_and_teach_nothing(make_log):
    log, _ = make_log(300)
    log = replace(log, outcomes={"quality": np.full(300, np.nan)}, contexts=None)
    assert replay_by_rejection(log, learner=EpsilonGreedy(), preference=PREFER).mean() > 0.2


@pytest.mark.parametrize("propensities", [None, np.append(np.nan, np.full(99, 0.3))])
def test_a_log_without_propensities_cannot_be_replayed(make_log, propensities):
    log = replace(make_log(100)[0], propensities=propensities)
    with pytest.raises(InvalidInputError, match="needs the propensity of every row"):
        replay_by_rejection(log, learner=EpsilonGreedy(), preference=PREFER)


def test_frozen_learned_from_the_first_rows_alone(make_log):
    log, world = make_log(3000)
    learner = EpsilonGreedy(epsilon=0.03)
    options = {"learner": learner, "preference": PREFER, "taught": 2000}
    target = frozen(log, **options)
    assert target.shape == (1000, 3)
    np.testing.assert_allclose(target.sum(axis=1), 1.0)
    best = world.quality[2000:].max(axis=1).mean()
    assert (target * world.quality[2000:]).sum(axis=1).mean() > best - 0.03
    later = replace(log, outcomes={"quality": np.append(log.outcomes["quality"][:2000], np.zeros(1000))})
    log = replace(log, outcomes={"quality": log.outcomes["quality"]})
    np.testing.assert_array_equal(frozen(later, **options), frozen(log, **options))


def test_frozen_gives_no_chance_to_what_is_not_eligible(make_log):
    log, _ = make_log(200)
    eligible = log.eligible.copy()
    eligible[150:, 0] = False
    log = replace(log, eligible=eligible, chosen=np.where(np.arange(200) >= 150, 1, log.chosen))
    target = frozen(log, learner=EpsilonGreedy(), preference=PREFER, taught=100)
    assert (target[50:, 0] == 0.0).all()
    assert (target[:50, 0] > 0.0).all()


class Broken:
    """A policy that fails in a given way."""

    floor = 0.0

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, *args, **kwargs):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer", [ValueError("no idea"), np.array([0.5, 0.6, 0.7]), np.array([np.nan, 0.5, 0.5]), None]
)
@pytest.mark.parametrize("learning", [True, False, "progressive"])
def test_policy_that_fails_stops_a_replay(make_log, answer, learning):
    log, _ = make_log(300)
    with pytest.raises(InvalidInputError, match="the policy made no choice"):
        evaluate(log, Learner(policy=Broken(answer)), learning=learning)


def test_challenger_is_asked_about_every_row_before_it_learns_it(make_log):
    """The probabilities of each row are those of a router that has learned the logged choices of the rows before it."""
    log, _ = make_log(40)
    learner = LinUCB(belief=Linear())
    found = alongside(log, learner=learner, preference=PREFER)
    for n in (0, 1, 17, 39):
        with Router(arms=log.arms, features=1, learner=learner, store=MemoryStore()) as router:
            for i in range(n):
                decision = router.route(log.contexts[i, :-1], arms=[log.arms[log.chosen[i]]])
                router.feedback(decision.id, quality=log.outcomes["quality"][i])
            expected = router.route(log.contexts[n, :-1]).probabilities
        np.testing.assert_allclose(found[n], expected, atol=1e-9)


def test_challenger_learns_nothing_from_later_rows(make_log):
    log, _ = make_log(200)
    quality = log.outcomes["quality"]
    later = replace(log, outcomes={"quality": np.append(quality[:100], 1.0 - quality[100:])})
    log = replace(log, outcomes={"quality": quality})
    first, second = (alongside(each, learner=EpsilonGreedy(), preference=PREFER) for each in (log, later))
    np.testing.assert_array_equal(first[:101], second[:101])
    assert not np.array_equal(first, second)


def test_intervals_of_a_challenger_hold_the_truth(make_log):
    learner, runs, errors, held = LinUCB(alpha=1.0), 5, [], 0
    for seed in range(runs):
        log, world = make_log(700, seed=seed, logged=SKEWED)
        truth = world.value(alongside(log, learner=learner, preference=PREFER))
        logged = world.value(log.probabilities)
        found = evaluate(log, learner, preference=PREFER, learning="progressive").utility
        held += found.difference.lower <= truth - logged <= found.difference.upper
        errors.append(found.value.value - truth)
    assert held == runs
    assert abs(np.mean(errors)) < 2.5 * np.std(errors, ddof=1) / np.sqrt(runs)


def test_policy_that_learns_by_its_own_choices_is_judged_by_replay_alone(make_log):
    with pytest.raises(InvalidInputError, match="learns by its own choices"):
        evaluate(make_log(100)[0], Learner(policy=Adaptive()), learning="progressive")


def test_unknown_way_of_learning_is_refused(make_log):
    with pytest.raises(InvalidInputError, match="unknown learning"):
        evaluate(make_log(100)[0], EpsilonGreedy(), learning="online")
