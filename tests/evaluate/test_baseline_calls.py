"""The calls that a baseline would have made: hand-computed weights, and savings that do not count cold caches."""

from dataclasses import replace

import numpy as np
import pytest

from banditroute import InvalidInputError, Router, SQLStore
from banditroute.evaluate import savings
from banditroute.evaluate.baseline_calls import FIRST, LATER, OTHER, baseline_calls, further_calls
from banditroute.logs import DecisionLog, read_log


def make(chosen, propensities, sessions=None, *, probabilities=None, eligible=None, decided_at=None, **others):
    n = len(chosen)
    return DecisionLog(
        arms=("large", "small"),
        chosen=np.array(chosen),
        eligible=np.ones((n, 2), dtype=bool) if eligible is None else np.array(eligible),
        propensities=np.array(propensities, dtype=float),
        probabilities=probabilities,
        sessions=sessions,
        decided_at=np.arange(float(n)) if decided_at is None else np.array(decided_at),
        outcomes={"cost_usd": np.ones(n)},
        **others,
    )


def all_first(log):
    return np.zeros(len(log), dtype=bool)


class TestWeights:
    def test_later_turns_weigh_by_their_own_choice_and_the_one_before(self):
        log = make([0, 0, 1, 0, 0], [0.5, 0.8, 0.2, 0.4, 0.9], ("s",) * 5)
        calls = baseline_calls(log, "large", all_first(log))
        assert calls.kinds.tolist() == [FIRST, LATER, OTHER, OTHER, LATER]
        expected = [1 / 0.5, 1 / (0.5 * 0.8), 0.0, 0.0, 1 / (0.4 * 0.9)]
        assert calls.weights == pytest.approx(expected)
        assert calls.target.argmax(axis=1).tolist() == [FIRST, LATER, LATER, LATER, LATER]

    def test_turns_of_other_sessions_lie_between(self):
        log = make([0, 1, 0, 0], [0.5, 0.5, 0.25, 0.5], ("s", "t", "s", ""), decided_at=[3.0, 2.0, 4.0, 5.0])
        assert baseline_calls(log, "large", all_first(log)).weights == pytest.approx([2.0, 0.0, 8.0, 2.0])

    def test_turns_are_taken_in_the_order_of_time(self):
        log = make([0, 1], [0.25, 0.5], ("s", "s"), decided_at=[1.0, 0.0])
        calls = baseline_calls(log, "large", all_first(log))
        assert calls.kinds.tolist() == [OTHER, OTHER]

    def test_turns_bound_to_their_arm_pass_on_the_choice_before_them(self):
        log = make([0, 0, 0, 0], [0.5, 1.0, 1.0, 0.8], ("s",) * 4)
        assert baseline_calls(log, "large", all_first(log)).weights == pytest.approx([2.0, 2.0, 2.0, 2.5])

    def test_a_bound_turn_has_the_chance_of_the_choice_before_it(self):
        chances = np.array([[0.5, 0.5], [0.0, 1.0], [0.3, 0.7]])
        log = make([1, 1, 1], [0.5, 1.0, 0.7], ("s",) * 3, probabilities=chances)
        possible = baseline_calls(log, "large", all_first(log)).possible
        assert possible[:, LATER].tolist()[1:] == [0.5, 0.5]
        assert possible[:, FIRST].tolist() == [0.5, 0.0, 0.3]

    def test_a_turn_after_an_unknown_propensity_has_no_weight(self):
        log = make([0, 0], [np.nan, 0.5], ("s", "s"))
        assert np.isnan(baseline_calls(log, "large", all_first(log)).weights).all()

    def test_weights_average_one_over_all_paths(self):
        """Every path of three turns by its probability; the chance of an arm depends on the one before."""
        mean = np.zeros(3)
        chance = {None: 0.5, 0: 0.7, 1: 0.2}  # of large, after large and after small
        for path in np.ndindex(2, 2, 2):
            likely, before = 1.0, None
            propensities = []
            for arm in path:
                p = chance[before] if arm == 0 else 1.0 - chance[before]
                propensities.append(p)
                likely, before = likely * p, arm
            log = make(path, propensities, ("s",) * 3)
            mean += likely * baseline_calls(log, "large", all_first(log)).weights
        assert mean == pytest.approx([1.0, 1.0, 1.0])


class TestFurtherCalls:
    BOTH, LARGE = [True, True], [True, False]

    def further(self, known=(True, True), eligible=(BOTH, LARGE), **changes):
        log = make([1, 0], [0.5, 1.0], eligible=list(eligible), **{"prompts": ("Why?", "Why?"), **changes})
        return further_calls(log, np.array(known)).tolist()

    def test_the_same_request_without_its_arm_is_a_further_call(self):
        assert self.further() == [False, True]
        assert self.further(prompts=None, contexts=np.array([[0.25, 1.0], [0.25, 1.0]])) == [False, True]

    @pytest.mark.parametrize(
        "changes",
        [
            {"prompts": ("Why?", "How?")},
            {"contexts": np.array([[0.25, 1.0], [0.5, 1.0]])},
            {"sessions": ("s", "t")},
            {"decided_at": [0.0, 601.0]},
            {"prompts": None},
            {"eligible": [[False, True], LARGE]},
            {"eligible": [BOTH, BOTH]},
        ],
    )
    def test_another_request_is_none(self, changes):
        assert self.further(**changes) == [False, False]

    def test_a_request_counts_with_its_first_call_of_known_cost(self):
        assert self.further(known=(False, True)) == [False, False]

    def test_escalated_and_routed_clients_calls_are_found_in_a_database(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'r.db'}"
        with Router(arms=["large", "small"], features=1, store=SQLStore(url), seed=0) as router:
            for k in range(20):
                first = router.route([k / 20])
                router.feedback(first.id, cost_usd=0.001)
                if k % 2:
                    again = router.route([k / 20], exclude=[first.arm])
                    router.feedback(again.id, cost_usd=0.01)
        log = read_log(url)
        assert further_calls(log, np.ones(30, dtype=bool)).sum() == 10


TOKENS = np.array([10.0, 14.0, 18.0, 22.0])
WRITE, READ = 1.25, 0.1
KEEPS = 0.8


def sessions_log(seed, *, sessions=1500, small=0.2):
    """Sessions of four turns: a turn after one of the same arm reads what that one wrote."""
    rng = np.random.default_rng(seed)
    chosen, propensities, usd, names = [], [], [], []
    for number in range(sessions):
        before = None
        for t in range(len(TOKENS)):
            p = np.array([0.5, 0.5]) if before is None else np.where(np.arange(2) == before, KEEPS, 1 - KEEPS)
            arm = int(rng.random() >= p[0])
            held = TOKENS[t - 1] if arm == before else 0.0
            cost = held * READ + (TOKENS[t] - held) * WRITE
            usd.append(cost * (1.0 if arm == 0 else small) * rng.uniform(0.8, 1.2) / 1000)
            chosen.append(arm)
            propensities.append(p[arm])
            names.append(str(number))
            before = arm
    log = make(chosen, propensities, tuple(names))
    return replace(log, outcomes={"cost_usd": np.array(usd)})


ALWAYS_LARGE = 1000 * (TOKENS[0] * WRITE + (TOKENS[:-1] * READ + (TOKENS[1:] - TOKENS[:-1]) * WRITE).sum()) / 4000


class TestSavings:
    def test_the_baseline_has_its_caches_warm(self):
        found = [savings(sessions_log(seed), baseline="large") for seed in range(10)]
        assert np.mean([each.baseline_usd_per_1000 for each in found]) == pytest.approx(ALWAYS_LARGE, rel=0.02)
        for seed, each in enumerate(found):
            truth = ALWAYS_LARGE - 1000 * sessions_log(seed).outcomes["cost_usd"].mean()
            assert each.usd_per_1000.lower < truth < each.usd_per_1000.upper

    def test_cold_caches_count_as_savings_in_a_log_without_sessions(self):
        cold = savings(replace(sessions_log(0), sessions=None), baseline="large")
        assert cold.usd_per_1000.lower > savings(sessions_log(0), baseline="large").usd_per_1000.upper

    def test_switching_between_equal_arms_is_a_loss(self):
        assert savings(sessions_log(0, small=1.0), baseline="large").verdict.startswith("Routing cost $")

    def test_no_saving_is_shown_where_cold_writes_take_it_all(self):
        for seed in range(10):
            log = sessions_log(seed)
            usd = log.outcomes["cost_usd"] * ALWAYS_LARGE / 1000 / log.outcomes["cost_usd"].mean()
            usd = np.where(log.chosen == 0, log.outcomes["cost_usd"], usd)
            left = ALWAYS_LARGE / 1000 * len(usd) - usd[log.chosen == 0].sum()
            usd[log.chosen == 1] *= left / usd[log.chosen == 1].sum()
            found = savings(replace(log, outcomes={"cost_usd": usd}), baseline="large")
            assert found.verdict.startswith("No saving is shown against always large")

    def test_retries_and_escalations_cost_and_the_baseline_makes_one_call(self):
        rng = np.random.default_rng(0)
        chosen, propensities, usd, prompts, eligible = [], [], [], [], []
        for number in range(3000):
            arm = int(rng.random() < 0.6)
            chosen.append(arm)
            propensities.append(0.6 if arm else 0.4)
            usd.append(0.002 if arm else 0.01)
            eligible.append([True, True])
            prompts.append(str(number))
            if arm and rng.random() < 0.5:
                chosen.append(0)
                propensities.append(1.0)
                usd.append(0.01)
                eligible.append([True, False])
                prompts.append(str(number))
        log = make(chosen, propensities, eligible=eligible, prompts=tuple(prompts))
        usd = np.array(usd) * rng.uniform(0.9, 1.1, len(usd))
        found = savings(replace(log, outcomes={"cost_usd": usd}), baseline="large", features="none")
        assert found.requests == 3000
        assert found.baseline_usd_per_1000 == pytest.approx(10.0, rel=0.02)
        assert found.usd_per_1000.value == pytest.approx(10.0 - 1000 * usd.sum() / 3000, rel=0.05)
        assert f"{len(usd):,} decisions of 3,000 requests" in str(found)

    def test_dollars_beyond_the_log_are_taken_off(self):
        log = sessions_log(0)
        found, net = (savings(log, baseline="large", own_usd=own) for own in (0.0, 6.0))
        assert np.subtract(found.usd_per_1000, net.usd_per_1000) == pytest.approx([1.0] * 3)  # of 6,000 requests
        with pytest.raises(InvalidInputError, match="own_usd"):
            savings(log, baseline="large", own_usd=-1.0)

    def test_too_few_sessions_have_no_answer(self):
        found = savings(replace(sessions_log(0), sessions=tuple(str(k % 3) for k in range(6000))), baseline="large")
        assert "clusters of one size" in found.verdict
