"""What a log says of a policy: the truth within its bounds, a sentence, or why not."""

from dataclasses import replace

import numpy as np
import pytest

from banditroute import EpsilonGreedy, InvalidInputError, Learner, Objective, Preference
from banditroute.evaluate import asymptotic_sequence, doubly_robust, evaluate, progressive
from banditroute.policies import Mixture

N = 3000


def one_hot(arms):
    return np.eye(3)[arms]


class TestAnswers:
    def test_a_given_policy_against_what_was_logged(self, make_log):
        log, world = make_log(N)
        target = one_hot(world.quality[:, :2].argmax(axis=1))
        found = evaluate(log, target)
        compared = found.objectives["quality"]
        assert compared.value.lower < world.value(target) < compared.value.upper
        assert compared.against.value == pytest.approx(log.outcomes["quality"].mean())
        assert compared.difference.value == pytest.approx(compared.value.value - compared.against.value)
        assert 0.0 < compared.difference.lower < compared.difference.upper < 0.3
        low, high = compared.anytime
        assert 0.0 < low < compared.difference.lower < compared.difference.upper < high
        assert compared.estimates.keys() == {"DR", "SNDR", "SNIPS", "DM"}
        assert compared.estimates["DR"] == compared.value
        for each in compared.estimates.values():
            assert each.value == pytest.approx(world.value(target), abs=0.06)
        assert found.verdict == (
            f"the given probabilities would have been better than logged: utility {compared.value.value:.3g} against "
            f"{compared.against.value:.3g}, difference {compared.difference.value:.3g} "
            f"({compared.difference.lower:.3g} to {compared.difference.upper:.3g})."
        )

    def test_verdict_says_that_always_valid_bounds_do_not_confirm_it_yet(self, make_log):
        found = evaluate(make_log(1100, seed=2)[0], "safe")
        assert found.utility.difference.lower > 0.0 > found.utility.anytime[0]
        assert found.verdict.endswith(
            "; the always-valid bounds (safe if the logged policy was learning) do not confirm it yet."
        )

    def test_each_preference_is_evaluated(self, make_log):
        """Cost is known of each arm to the cent: with it the utility of "safe" falls by 30 x (.01 - .0043)."""
        log, _ = make_log(N)
        plain, thrifty = evaluate(log, "safe"), evaluate(log, "safe", preference=Preference(quality=1.0, cost_usd=30.0))
        assert plain.objectives["cost_usd"].value == pytest.approx([0.01] * 3, abs=1e-4)
        gap = plain.utility.difference.value - thrifty.utility.difference.value
        assert gap == pytest.approx(30.0 * (0.01 - 0.013 / 3), abs=0.02)
        assert "worse than logged" in thrifty.verdict
        low, high = thrifty.utility.anytime
        assert low < thrifty.utility.difference.lower < thrifty.utility.difference.upper < high < 0.0
        assert thrifty.utility.anytime_is_asymptotic  # dollars have no upper end
        assert thrifty.objectives["cost_usd"].anytime_is_asymptotic
        assert not thrifty.objectives["quality"].anytime_is_asymptotic
        assert not plain.utility.anytime_is_asymptotic

    def test_dollars_at_all_times(self, make_log):
        """What bounds them are doubly robust terms whose predictions come from earlier rows alone."""
        log, _ = make_log(N)
        dollars = log.outcomes["cost_usd"] * np.random.default_rng(2).lognormal(sigma=0.5, size=N)
        log = replace(log, outcomes={**log.outcomes, "cost_usd": dollars})
        compared = evaluate(log, "safe").objectives["cost_usd"]
        predicted = progressive(log.contexts, log.chosen, dollars, arms=3)
        target = one_hot(np.full(N, 2))
        terms = doubly_robust(dollars, 3.0 * (log.chosen == 2), log.chosen, target, predicted) - dollars
        lower, upper = asymptotic_sequence(terms)
        assert compared.anytime == pytest.approx((lower[-1], upper[-1]))
        assert compared.anytime[0] < compared.difference.lower < compared.difference.upper < compared.anytime[1]
        rare = np.where(np.arange(N) % 200, dollars, 1.0)  # fifteen of them stand for the error
        found = evaluate(replace(log, outcomes={**log.outcomes, "cost_usd": rare}), "safe").objectives["cost_usd"]
        assert found.value is not None
        assert (found.anytime, found.anytime_is_asymptotic) == (None, False)

    def test_evaluation_compares_one_policy_with_another(self, make_log):
        log, world = make_log(N)
        found = evaluate(log, "safe", against="uniform")
        truth = 0.6 - world.quality.mean()
        assert found.utility.difference.lower < truth < found.utility.difference.upper
        low, high = found.utility.anytime
        assert low < truth < high
        back = evaluate(log, "uniform", against="safe").utility
        assert back.difference.value == pytest.approx(-found.utility.difference.value)
        assert back.anytime == pytest.approx((-high, -low))

    def test_logged_policy_does_not_differ_from_itself(self, make_log):
        found = evaluate(make_log(N)[0], "logged")
        assert found.utility.difference == (0.0, 0.0, 0.0)
        assert found.verdict.startswith("No difference between logged and logged is shown: utility 0.5")

    def test_uniform_means_over_what_is_eligible(self, make_log):
        log, _ = make_log(N)
        eligible = log.eligible.copy()
        eligible[:, 2] = log.chosen == 2
        p = np.where(eligible, 1.0 / eligible.sum(axis=1, keepdims=True), 0.0)
        log = replace(log, eligible=eligible, probabilities=p, propensities=p[np.arange(N), log.chosen])
        found = evaluate(log, "uniform").utility
        assert found.diagnostics.effective_rows == pytest.approx(N)
        assert found.estimates["SNIPS"] == pytest.approx(found.against)

    def test_evaluation_works_without_probabilities_and_contexts(self, make_log):
        log, _ = make_log(N)
        found = evaluate(replace(log, probabilities=None, contexts=None), "safe").objectives["quality"]
        assert found.value.lower < 0.6 < found.value.upper
        low, high = found.anytime
        assert low < found.difference.value < high

    def test_rows_of_a_session_hang_together(self, make_log):
        log, _ = make_log(N)
        once = evaluate(log, "safe").utility.difference
        repeated = np.repeat(np.arange(N // 5), 5)
        log = replace(
            log,
            chosen=log.chosen[repeated],
            propensities=log.propensities[repeated],
            probabilities=None,
            contexts=None,
            outcomes={"quality": log.outcomes["quality"][repeated]},
        )
        blind = evaluate(log, "safe").utility.difference
        aware = evaluate(replace(log, sessions=tuple(f"s{i}" for i in repeated)), "safe").utility.difference
        assert aware.upper - aware.lower > 2.0 * (blind.upper - blind.lower)
        assert blind.upper - blind.lower == pytest.approx(once.upper - once.lower, rel=0.2)
        alone = evaluate(replace(log, sessions=("",) * N), "safe").utility.difference
        assert alone.upper - alone.lower == pytest.approx(blind.upper - blind.lower, rel=0.15)

    def test_a_learner_that_learns(self, make_log):
        log, _ = make_log(N)
        found = evaluate(log, EpsilonGreedy(epsilon=0.05))
        assert found.utility.estimates == {}
        assert found.utility.anytime is None
        assert not found.utility.anytime_is_asymptotic
        assert found.utility.value.value > 0.65
        assert found.utility.diagnostics.rows == pytest.approx(N / 3, abs=4 * np.sqrt(N * 2 / 9))
        assert found.verdict.startswith("EpsilonGreedy(policy=Greedy(floor=0.05)) would have been better than logged")

    def test_a_learner_by_its_spec(self, make_log):
        log, _ = make_log(N)
        found = evaluate(log, "epsilon_greedy(epsilon=0.05)")
        assert found.utility == evaluate(log, EpsilonGreedy(epsilon=0.05)).utility
        assert found.verdict.startswith("epsilon_greedy(epsilon=0.05) would have been better than logged")

    def test_a_learner_that_learned(self, make_log):
        log, world = make_log(N)
        found = evaluate(log, EpsilonGreedy(epsilon=0.05), learning=False, against="safe")
        assert found.utility.diagnostics.rows == N // 2
        best = world.quality[N // 2 :].max(axis=1).mean()
        assert found.utility.value.value == pytest.approx(best, abs=0.06)
        assert "better than safe" in found.verdict

    def test_an_objective_that_is_seldom_observed(self, make_log):
        log, _ = make_log(N)
        seldom = np.where(np.arange(N) % 5 == 0, log.outcomes["quality"], np.nan)
        found = evaluate(replace(log, outcomes={**log.outcomes, "quality": seldom}), "safe")
        assert found.objectives["quality"].diagnostics.rows == N // 5
        assert found.objectives["cost_usd"].diagnostics.rows == N
        assert found.utility.diagnostics.rows == N // 5

    def test_an_objective_that_was_never_observed_has_no_answer(self, make_log):
        log, _ = make_log(N)
        found = evaluate(replace(log, outcomes={**log.outcomes, "energy_joules": np.full(N, np.nan)}), "safe")
        assert found.objectives["energy_joules"].value is None
        assert found.objectives["energy_joules"].diagnostics.rows == 0
        assert found.utility.value is not None

    def test_rows_without_propensity_are_left_out(self, make_log):
        log, _ = make_log(N)
        p = log.propensities.copy()
        p[::3] = np.nan
        found = evaluate(replace(log, propensities=p), one_hot(np.full(N, 2)), against=np.full((N, 3), 1 / 3))
        assert found.utility.diagnostics.rows == N - N // 3

    def test_the_users_own_objective(self, make_log):
        log, _ = make_log(N)
        log = replace(log, outcomes={"stars": 1.0 + 4.0 * log.outcomes["quality"]})
        stars = Objective(name="stars", higher_is_better=True, low=1.0, high=5.0)
        found = evaluate(log, "safe", preference=Preference(stars=1.0), objectives=[stars])
        low, high = found.utility.anytime
        assert low < found.utility.difference.value < high
        assert found.utility.value.value == pytest.approx(1.0 + 4.0 * 0.6, abs=0.2)


class TestText:
    def test_an_answer(self, make_log):
        found = evaluate(make_log(N)[0], "safe", preference=Preference(quality=1.0, cost_usd=30.0))
        first, head, quality, cost, utility, gap, *rest = str(found).splitlines()
        assert first == "Contexts: 1 recorded features of 3,000 decisions."
        assert head.split() == ["safe", "logged", "difference", "at", "all", "times"]
        value, lower, upper = found.objectives["quality"].difference
        assert f"{value:.3g} ({lower:.3g} to {upper:.3g})" in quality
        assert cost.startswith("cost_usd  0.01 (0.01 to 0.01)")
        low, high = found.objectives["cost_usd"].anytime
        assert cost.endswith(f"{low:.3g} to {high:.3g} (asymptotically)")
        assert "asymptotically" not in quality
        assert utility.startswith("utility   ")
        assert gap == ""
        support = found.utility.diagnostics.support
        assert rest[0] == f"3,000 decisions: left {support[0]:,}, right {support[1]:,}, safe {support[2]:,}"
        assert rest[1].startswith(
            f"effective sample size {support[2]:,}; the error bars are based on {support[2]:,} decisions"
        )
        assert rest[-1] == found.verdict

    def test_a_warning_a_refusal_and_a_replay(self, make_log):
        warned = evaluate(make_log(N, logged=np.array([0.47, 0.47, 0.06]))[0], "safe")
        assert "\nwarning: the effective sample size is " in str(warned)
        refused = evaluate(make_log(N, logged=np.array([0.49, 0.49, 0.02]))[0], "safe")
        assert str(refused).splitlines()[-1].startswith("No answer: the effective sample size is ")
        assert "\nalso: " not in str(refused)
        one = evaluate(make_log(N, logged=np.array([0.4995, 0.4995, 0.001]))[0], "safe")
        assert len(one.utility.diagnostics.refusals) > 1
        assert f"\nalso: {one.utility.diagnostics.refusals[1]}" in str(one)
        assert "effective sample size" not in str(evaluate(make_log(N)[0], "logged"))
        assert "mean weight" not in str(evaluate(make_log(N)[0], "logged"))

    def test_text_gives_only_the_reason_without_propensities(self, make_log):
        found = evaluate(replace(make_log(N)[0], propensities=None), "safe")
        assert str(found).splitlines()[1:] == [found.verdict]


class TestNoAnswer:
    @pytest.mark.parametrize("propensities", [None, np.full(N, np.nan)])
    def test_a_log_without_propensities(self, make_log, propensities):
        log, _ = make_log(N)
        found = evaluate(replace(log, propensities=propensities, probabilities=None), "safe")
        assert found.verdict.startswith("No answer: the log has no propensities")
        assert "record the probability of every choice" in found.verdict
        assert found.objectives == {}
        assert found.utility is None

    def test_a_policy_that_was_hardly_logged(self, make_log):
        log, _ = make_log(N, logged=np.array([0.49, 0.49, 0.02]))
        found = evaluate(log, "safe")
        assert found.verdict.startswith("No answer: the effective sample size is ")
        assert found.utility.value is found.utility.difference is found.utility.anytime is None
        assert found.utility.estimates == {}

    def test_the_other_policy_is_judged_too(self, make_log):
        log, _ = make_log(N, logged=np.array([0.49, 0.49, 0.02]))
        assert evaluate(log, "left", against="safe").verdict.startswith("No answer")
        assert not evaluate(log, "left").verdict.startswith("No answer")

    def test_wrong_propensities_are_refused(self, make_log):
        log, _ = make_log(N, logged=np.array([0.6, 0.2, 0.2]))
        found = evaluate(replace(log, propensities=np.full(N, 1 / 3), probabilities=None), "safe")
        assert "should average 1" in found.verdict

    def test_a_replay_of_too_few(self, make_log):
        log, _ = make_log(200)
        verdict = evaluate(log, Learner(policy=Mixture(shares={"left": 1.0}))).verdict
        assert "of the logged decisions too, at least 100 are needed" in verdict
        assert "judge the learner frozen" in verdict


class TestRefusals:
    @pytest.mark.parametrize(
        ("policy", "message"),
        [
            ("nobody", r"neither 'logged', 'uniform' nor an arm \(left, right, safe\); unknown learner 'nobody'"),
            ("linucb(alpha=-1)", r"alpha"),
            (None, "policy is None; give 'logged'"),
            ([[1.0, 0.0, 0.0]], "an array of probabilities"),
            (np.full((5, 3), 1 / 3), r"have shape \(5, 3\)"),
            (np.full((N, 3), 0.5), "sum to 1"),
            (np.full((N, 3), np.nan), "sum to 1"),
        ],
    )
    def test_bad_policy_is_refused(self, make_log, policy, message):
        with pytest.raises(InvalidInputError, match=message):
            evaluate(make_log(N)[0], policy)

    def test_unknown_objectives_are_refused(self, make_log):
        log, _ = make_log(N)
        with pytest.raises(InvalidInputError, match="the log has no 'energy_joules', it has quality, cost_usd; read"):
            evaluate(log, "safe", preference=Preference(energy_joules=1.0))
        with pytest.raises(InvalidInputError, match=r"unknown objective 'wit'; the log has quality.*declare your own"):
            evaluate(log, "safe", preference=Preference(wit=1.0))
        starred = replace(log, outcomes={**log.outcomes, "stars": np.ones(N)})
        with pytest.raises(InvalidInputError, match=r"'stars'.*declare your own"):
            evaluate(starred, "safe", preference=Preference(stars=1.0))
        assert evaluate(starred, "safe").objectives["stars"].anytime_is_asymptotic
        assert evaluate(starred, EpsilonGreedy()).objectives["stars"].value.value == 1.0  # and teaches nothing
