"""Estimates over whole sessions: hand-computed, unbiased over all paths, refused where weights are too uneven."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import InvalidInputError, Preference, Router, SQLStore
from banditroute.cli import main
from banditroute.evaluate import evaluate
from banditroute.evaluate.session_values import Turns, doubly_robust, rewards_of
from banditroute.logs import DecisionLog

NAN = np.nan


class TestTurns:
    SESSIONS = np.array([1, 0, 1, 0, 1])
    TURNS = Turns.of(SESSIONS, np.array([5.0, 1.0, 2.0, 3.0, 9.0]))

    def test_turns_are_in_the_order_of_time(self):
        assert self.TURNS.number.tolist() == [1, 0, 0, 1, 2]
        assert self.TURNS.following.tolist() == [4, 3, 0, -1, -1]
        assert self.TURNS.first.tolist() == [1, 2]
        assert self.TURNS.last.tolist() == [3, 4]

    def test_turns_without_a_time_are_in_the_order_of_the_log(self):
        assert Turns.of(self.SESSIONS, np.full(5, NAN)).number.tolist() == [0, 0, 1, 1, 2]

    def test_weights_before_a_turn_are_multiplied(self):
        assert self.TURNS.before(np.array([2.0, 3.0, 5.0, 7.0, 11.0])).tolist() == [5.0, 1.0, 1.0, 3.0, 10.0]

    def test_quality_comes_last_and_dollars_add_up(self):
        outcomes = {
            "quality": np.array([NAN, NAN, 0.5, 0.25, NAN]),
            "cost_usd": np.array([0.1, 0.2, 0.3, NAN, 0.5]),
        }
        found = rewards_of(outcomes, self.TURNS)
        assert found["quality"].tolist() == [0.0, 0.0, 0.0, 0.25, 0.5]
        np.testing.assert_array_equal(found["cost_usd"], [0.1, NAN, 0.3, NAN, 0.5])

    def test_sessions_without_an_outcome_are_not_known(self):
        found = rewards_of({"quality": np.array([NAN, 1.0, NAN, NAN, NAN])}, self.TURNS)["quality"]
        np.testing.assert_array_equal(found, [NAN, 0.0, NAN, 1.0, NAN])


class TestDoublyRobust:
    def test_value_equals_the_hand_computed_one(self):
        turns = Turns.of(np.array([0, 0, 1]), np.arange(3.0))
        found = doubly_robust(
            turns,
            rewards=np.array([0.1, 1.0, 0.5]),
            ratios=np.array([2.0, 0.5, 3.0]),
            logged=np.array([0.6, 0.8, 0.2]),
            under=np.array([0.5, 0.7, 0.3]),
        )
        second = 0.7 + 0.5 * (1.0 - 0.8)
        assert found == pytest.approx([0.5 + 2.0 * (0.1 + second - 0.6), 0.3 + 3.0 * (0.5 - 0.2)])

    @pytest.mark.parametrize("scale", [0.0, 1.0, -3.0])
    def test_the_mean_over_all_paths_is_the_policys_value_whatever_is_predicted(self, scale):
        """Three turns; the outcome depends on all of them, and the chances on the arm before."""
        logging, target = {None: 0.5, 0: 0.8, 1: 0.3}, {None: 0.9, 0: 0.6, 1: 0.7}  # of the first arm
        rng = np.random.default_rng(0)
        predictions, outcomes = scale * rng.random((3, 2, 2)), rng.random((2, 2, 2))  # by turn, arm before, arm
        truth = mean = 0.0
        for path in np.ndindex(2, 2, 2):
            likely, wanted, before = 1.0, 1.0, None
            ratios, logged, under = [], [], []
            for turn, arm in enumerate(path):
                p, pi = (np.array([of[before], 1.0 - of[before]]) for of in (logging, target))
                q = predictions[turn, before or 0]
                ratios.append(pi[arm] / p[arm])
                logged.append(q[arm])
                under.append(pi @ q)
                likely, wanted, before = likely * p[arm], wanted * pi[arm], arm
            rewards = np.array([0.0, 0.0, outcomes[path]])
            turns = Turns.of(np.zeros(3, dtype=int), np.arange(3.0))
            value = doubly_robust(turns, rewards, np.array(ratios), np.array(logged), np.array(under))[0]
            truth, mean = truth + wanted * outcomes[path], mean + likely * value
        assert mean == pytest.approx(truth)


LARGE = {None: 0.5, 0: 0.7, 1: 0.3}  # probability of large, after large and after small


def make(seed=0, *, sessions=2_000, steps=3, shared=True):
    """Sessions that succeed if all steps do: a large step with .95, a small one with .8."""
    rng = np.random.default_rng(seed)
    chosen, propensities, quality, names, likely = [], [], [], [], []
    for number in range(sessions):
        before, right = None, True
        for _ in range(steps):
            p = LARGE[before]
            before = int(rng.random() >= p)
            chosen.append(before)
            likely.append([p, 1.0 - p])
            propensities.append(likely[-1][before])
            right &= rng.random() < (0.95, 0.8)[before]
            names.append(str(number))
        quality += [float(right)] * steps if shared else [NAN] * (steps - 1) + [float(right)]
    chosen = np.array(chosen)
    return DecisionLog(
        arms=("large", "small"),
        chosen=chosen,
        eligible=np.ones((len(chosen), 2), dtype=bool),
        propensities=np.array(propensities),
        probabilities=np.array(likely),
        sessions=tuple(names),
        outcomes={"quality": np.array(quality), "cost_usd": np.where(chosen == 0, 0.01, 0.002)},
        decided_at=np.arange(float(len(chosen))),
    )


class TestEvaluate:
    def test_value_of_a_session_lies_within_its_bounds(self):
        for seed in range(10):
            found = evaluate(make(seed), "large", per="session")
            assert found.utility.value.lower < 0.95**3 < found.utility.value.upper
            assert found.objectives["cost_usd"].value.value == pytest.approx(0.03, rel=0.03)

    def test_estimates_average_to_the_value(self):
        found = [evaluate(make(seed), "large", per="session").utility.value.value for seed in range(40)]
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - 0.95**3) < 3.0 * error

    def test_single_decisions_share_the_luck_of_the_other_steps(self):
        log = make()
        of_session, of_decision = (evaluate(log, "large", per=per).utility for per in ("session", "decision"))
        assert of_decision.value.upper < 0.95**3 < of_session.value.upper

    def test_an_outcome_of_the_last_step_alone_is_the_sessions(self):
        shared, last = (evaluate(make(shared=shared), "large", per="session") for shared in (True, False))
        assert shared.utility.value == last.utility.value

    def test_logged_value_is_the_mean_over_sessions(self):
        log = make()
        found = evaluate(log, "large", per="session", preference=Preference(quality=1.0, cost_usd=2.0))
        assert found.objectives["quality"].against.value == pytest.approx(log.outcomes["quality"].mean())
        assert found.objectives["cost_usd"].against.value == pytest.approx(3.0 * log.outcomes["cost_usd"].mean())
        expected = log.outcomes["quality"].mean() - 2.0 * 3.0 * log.outcomes["cost_usd"].mean()
        assert found.utility.against.value == pytest.approx(expected)

    def test_too_many_steps_are_refused_with_the_effective_number_of_sessions(self):
        found = evaluate(make(steps=12), "large", per="session")
        assert found.utility.value is None
        assert "the effective sample size is" in found.verdict
        assert "of 2,000 sessions, at least 100 are needed; log more sessions" in found.verdict

    def test_table_says_how_many_sessions_there_are(self):
        text = str(evaluate(make(), "large", per="session"))
        assert "2,000 sessions, decisions: large" in text
        assert "are based on" in text
        assert "sessions\nmean weight" in text

    def test_turns_bound_to_their_arm_need_a_chance_only_where_the_policy_comes_to_them(self):
        log = make(steps=2)
        bound = np.arange(len(log)) % 2 == 1  # the second turn goes to the arm of the first
        chosen = np.where(bound, np.roll(log.chosen, 1), log.chosen)
        likely = np.where(bound[:, None], np.eye(2)[chosen], 0.5)
        log = replace(log, chosen=chosen, propensities=likely.max(axis=1), probabilities=likely)
        assert evaluate(log, "large", per="session").utility.value is not None
        never = replace(log, probabilities=np.where(bound[:, None], likely, [0.0, 1.0]))
        assert "had no chance in the log" in evaluate(never, "large", per="session").verdict

    def test_a_session_without_a_propensity_is_left_out(self):
        log = make()
        log.propensities[1] = NAN
        assert evaluate(log, "large", per="session").utility.diagnostics.rows == 1_999

    def test_rows_without_a_session_are_sessions_of_their_own(self):
        log = make(steps=1)
        alone, named = (
            evaluate(replace(log, sessions=names), "large", per="session", features="none").utility
            for names in (("",) * (len(log) - 1) + ("s",), log.sessions)
        )
        assert alone.diagnostics.rows == named.diagnostics.rows == 2_000

    @pytest.mark.parametrize(
        "change", [{"policy": "linucb"}, {"against": "linucb"}, {"clusters": "session"}, {"missing": "weight"}]
    )
    def test_settings_of_single_decisions_are_refused(self, change):
        with pytest.raises(InvalidInputError, match="per='session' takes no learner"):
            evaluate(make(sessions=10), **{"policy": "large", "per": "session", **change})

    def test_logs_without_sessions_and_unknown_units_are_refused(self):
        with pytest.raises(InvalidInputError, match="names no session"):
            evaluate(replace(make(sessions=10), sessions=None), "large", per="session")
        with pytest.raises(InvalidInputError, match="unknown per 'week'; known: decision, session"):
            evaluate(make(sessions=10), "large", per="week")

    def test_command_evaluates_the_sessions_of_a_database(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'r.db'}"
        with Router(arms=["large", "small"], features=1, store=SQLStore(url), seed=0) as router:
            for number in range(300):
                first, second = (router.route([0.5], session=str(number)) for _ in range(2))
                router.session_feedback(str(number), quality=float(first.arm == second.arm), credit="last")
        done = CliRunner().invoke(main, ["evaluate", url, "--policy", "large", "--per", "session"])
        assert "300 sessions, decisions: large" in done.output
