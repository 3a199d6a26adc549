"""The linear belief against hand-computed numbers, brute force and the papers' own formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.beliefs import ArmStatistics, Linear, Observation, Prior
from banditroute.core.arm import Arm
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError


def disjoint(**settings):
    """Each arm for itself, from a prior that stays: what brute force can follow."""
    return Linear(**{"feature_precision": 16.0, "intercept_precision": 2.0, **settings})


def folded(spec, blob, events, *, dimension):
    return spec.fold(blob, [Observation(*event) for event in events], dimension=dimension)


def started(spec, arms=("a", "b"), dimension=1, **priors):
    belief = spec.start(arms=arms, dimension=dimension, priors=priors)
    belief.watch(list(priors))
    return belief


def ridge(spec, prior, contexts, outcomes):
    """Mean vector, inverse precision and remaining sum of squares, in one go."""
    precision = np.diag([*[spec.feature_precision] * (contexts.shape[1] - 1), spec.intercept_precision])
    mu = np.zeros(contexts.shape[1])
    mu[-1] = 0.0 if prior.mean is None else prior.mean
    a = precision + contexts.T @ contexts
    b = contexts.T @ outcomes + precision @ mu
    theta = np.linalg.solve(a, b)
    return theta, np.linalg.inv(a), outcomes @ outcomes + mu @ precision @ mu - theta @ b


def test_one_outcome_by_hand():
    # Lambda = 2, mu = 0.5, y = 1 at x = 1: A = 3, theta = (1 + 2 x 0.5) / 3 = 2/3, spread = 0.3 sqrt(1/3).
    belief = started(disjoint(intercept_precision=2.0, noise={"quality": 0.3}), quality=Prior(mean=0.5))
    belief.update("a", np.ones(1), {"quality": 1.0})
    means, stds, _ = belief.predict(np.ones(1))
    assert means[0] == pytest.approx([2.0 / 3.0, 0.5])
    assert stds[0] == pytest.approx([0.3 * math.sqrt(1.0 / 3.0), 0.3 * math.sqrt(1.0 / 2.0)])


def test_a_feature_and_a_bias_by_hand():
    # Lambda = diag(1, 1), mu = 0, y = 3 at x = (1, 1): A = [[2, 1], [1, 2]], A^-1 = [[2, -1], [-1, 2]] / 3,
    # theta = A^-1 (3, 3) = (1, 1). At (1, 0): mean 1, spread sqrt(2/3); log det A = log 3.
    belief = started(
        disjoint(feature_precision=1.0, intercept_precision=1.0, noise={"y": 1.0}), dimension=2, y=Prior(mean=0.0)
    )
    belief.update("b", np.ones(2), {"y": 3.0})
    means, stds, _ = belief.predict(np.array([1.0, 0.0]))
    assert means[0] == pytest.approx([0.0, 1.0])
    assert stds[0] == pytest.approx([1.0, math.sqrt(2.0 / 3.0)])
    assert belief.information() == pytest.approx([0.0, math.log(3.0)])


def test_learned_noise_by_hand():
    # Lambda = 1, mu = 0, nu = 2, noise0 = 1. Outcomes 1 and 3 of arm a at x = 1: A = 3, theta = 4/3,
    # rss = 1 + 9 - 4/3 x 4 = 14/3; pooled = (2 + 14/3) / (2 + 2) = 5/3;
    # sigma_a^2 = (2 x 5/3 + 14/3) / (2 + 2) = 2, sigma_b^2 = (2 x 5/3) / 2 = 5/3.
    belief = started(disjoint(intercept_precision=1.0, noise_strength=2.0), y=Prior(mean=0.0, noise=1.0))
    belief.update("a", np.ones(1), {"y": 1.0})
    belief.update("a", np.ones(1), {"y": 3.0})
    assert belief.predict(np.ones(1)).stds[0] == pytest.approx([math.sqrt(2.0 / 3.0), math.sqrt(5.0 / 3.0)])


def test_first_outcomes_set_the_noise_without_a_guess():
    belief = started(disjoint(intercept_precision=1.0, noise_strength=2.0), cost_usd=Prior())
    assert not belief.predict(np.ones(1)).stds.any()
    # theta = 1/2 x 0.4 = 0.2, rss = 0.16 - 0.2 x 0.4 = 0.08, pooled = (2 x 0^2 + 0.08) / (2 + 1) = 0.08 / 3;
    # sigma_a^2 = (2 x 0.08 / 3 + 0.08) / 3 = 0.4 / 9, sigma_b^2 = (2 x 0.08 / 3) / 2 = 0.08 / 3.
    belief.update("a", np.ones(1), {"cost_usd": 0.4})
    assert belief.predict(np.ones(1)).stds[0] == pytest.approx([math.sqrt(0.2 / 9.0), math.sqrt(0.08 / 3.0)])


@pytest.mark.parametrize("strength", [0.01, 0.5, 1.0, 4.0, 100.0])
def test_noise_is_the_guess_before_any_outcome(strength):
    belief = started(disjoint(intercept_precision=4.0, noise_strength=strength), quality=Prior(mean=0.5, noise=0.4))
    assert belief.predict(np.ones(1)).stds[0] == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize(("d", "k", "seed"), [(1, 2, 0), (2, 3, 1), (6, 4, 2), (33, 2, 3)])
def test_scores_are_those_of_linucb(d, k, seed):
    """Li et al. 2010, algorithm 1: A = I + sum x x', theta = A^-1 b, score = theta'x + alpha sqrt(x' A^-1 x)."""
    rng = np.random.default_rng(seed)
    arms = [f"arm {i}" for i in range(k)]
    lam, alpha = 1.0, 0.7
    spec = disjoint(feature_precision=lam, intercept_precision=lam, noise={"y": 1.0})
    belief = started(spec, arms, d, y=Prior(mean=0.0))
    a, b = np.stack([lam * np.eye(d)] * k), np.zeros((k, d))
    worst = 0.0
    for _ in range(400):
        x, chosen, y = rng.normal(size=d), int(rng.integers(k)), float(rng.normal())
        inverse = np.linalg.inv(a)
        theta = np.einsum("kij,kj->ki", inverse, b)
        scores = theta @ x + alpha * np.sqrt(np.einsum("i,kij,j->k", x, inverse, x))
        means, stds, _ = belief.predict(x)
        worst = max(worst, np.abs(means[0] + alpha * stds[0] - scores).max())
        a[chosen] += np.outer(x, x)
        b[chosen] += y * x
        belief.update(arms[chosen], x, {"y": y})
    assert worst < 1e-10


def test_learned_noise_is_the_formula_of_the_module():
    rng = np.random.default_rng(4)
    arms, d, nu = ["a", "b", "c"], 3, 3.0
    spec = disjoint(feature_precision=2.0, intercept_precision=0.5, noise_strength=nu)
    priors = {"quality": Prior(mean=0.5, noise=0.4), "cost_usd": Prior(mean=0.1)}
    belief = started(spec, arms, d, **priors)
    contexts, outcomes = rng.normal(size=(3, 40, d)), rng.normal(size=(3, 40, 2))
    counts = [40, 7, 0]
    for k, n in enumerate(counts):
        for x, y in zip(contexts[k, :n], outcomes[k, :n], strict=True):
            belief.update(arms[k], x, {"quality": y[0], "cost_usd": y[1]})
    x = rng.normal(size=d)
    for j, (name, prior) in enumerate(priors.items()):
        fits = [ridge(spec, prior, contexts[k, :n], outcomes[k, :n, j]) for k, n in enumerate(counts)]
        rss = np.array([fit[2] for fit in fits])
        n, guess = np.array(counts), prior.mean if prior.noise is None else prior.noise
        pooled = (nu * guess**2 + rss.sum()) / (nu + n.sum())
        noise2 = (nu * pooled + rss) / (nu + n)
        expected = [math.sqrt(noise2[k] * (x @ fits[k][1] @ x)) for k in range(3)]
        assert belief.predict(x).stds[belief.objectives.index(name)] == pytest.approx(expected, rel=1e-10)


def test_whole_numbers_are_taken_for_precisions():
    x = np.array([0.3, 1.0])
    whole, decimal = (
        started(Linear(feature_precision=p, intercept_precision=0.5), dimension=2, y=Prior(noise=1.0)) for p in (2, 2.0)
    )
    assert whole.predict(x).stds.tolist() == decimal.predict(x).stds.tolist()


def test_information_is_the_log_determinant_of_abbasi_yadkori():
    """log det(A) - log det(Lambda), also where updates were by rank one (theorem 2 needs it)."""
    rng = np.random.default_rng(5)
    belief = started(disjoint(feature_precision=3.0, intercept_precision=0.2), dimension=4, y=Prior(noise=1.0))
    precision = np.diag([3.0, 3.0, 3.0, 0.2])
    a = precision.copy()
    for i in range(300):
        x = rng.normal(size=4)
        a += np.outer(x, x)
        belief.update("a", x, {"y": 1.0})
        expected = np.linalg.slogdet(a)[1] - np.linalg.slogdet(precision)[1]
        assert belief.information() == pytest.approx([expected, 0.0], rel=1e-10), i


def test_information_is_that_of_the_best_known_objective():
    belief = started(disjoint(intercept_precision=1.0), quality=Prior(noise=0.4), cost_usd=Prior())
    for _ in range(3):
        belief.update("a", np.ones(1), {"cost_usd": 1.0})
    belief.update("a", np.ones(1), {"quality": 1.0})
    assert belief.information() == pytest.approx([math.log(4.0), 0.0])


def test_belief_without_objectives_has_no_information():
    belief = disjoint().start(arms=["a", "b"], dimension=2, priors={})
    assert belief.information().tolist() == [0.0, 0.0]
    assert belief.predict(np.ones(2)).means.shape == (0, 2)


def test_rounding_does_not_build_up():
    """20,000 updates by rank one, contexts of very unlike size, against one solution in one go at the end."""
    rng = np.random.default_rng(6)
    d = 8
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.logspace(0.0, -3.0, d)
    contexts = rng.normal(size=(20_000, d)) @ axes
    contexts[:, -1] = 1.0
    outcomes = contexts @ rng.normal(size=d) + 0.1 * rng.normal(size=20_000)
    contexts *= np.where(np.arange(20_000) % 7_000 == 0, 50.0, 1.0)[:, None]
    spec = disjoint(feature_precision=1e-3, intercept_precision=1e-3)
    prior = Prior(mean=0.5, noise=0.4)
    belief = started(spec, ["a"], d, y=prior)
    for x, y in zip(contexts, outcomes.tolist(), strict=True):
        belief.update("a", x, {"y": y})
    refolded = spec.start(
        arms=["a"],
        dimension=d,
        priors={"y": prior},
        statistics={
            "a": folded(spec, None, [(x, {"y": y}) for x, y in zip(contexts, outcomes, strict=True)], dimension=d)
        },
    )
    theta = ridge(spec, prior, contexts, outcomes)[0]
    for x in contexts[:50]:
        online, afresh = belief.predict(x), refolded.predict(x)
        assert np.abs(online.means - afresh.means).max() < 1e-11
        assert np.abs(online.stds - afresh.stds).max() < 1e-11
        assert online.means[0, 0] == pytest.approx(theta @ x, abs=1e-9)
        assert belief.information()[0] == pytest.approx(refolded.information()[0], abs=1e-8)


def test_contexts_that_outweigh_all_before_them_leave_no_rounding_behind():
    """A prior of next to nothing, and every 20th context 1000 times as large as the others: true to 1e-8."""
    rng = np.random.default_rng(8)
    contexts = rng.normal(size=(300, 5)) * np.where(np.arange(300) % 20 == 10, 1e3, 1.0)[:, None]
    spec, prior = disjoint(feature_precision=1e-6, intercept_precision=1e-6), Prior(noise=1.0)
    belief, events = started(spec, ["a"], 5, y=prior), []
    for i, x in enumerate(contexts):
        events.append((x, {"y": float(rng.normal())}))
        belief.update("a", *events[-1])
        afresh = spec.start(
            arms=["a"], dimension=5, priors={"y": prior}, statistics={"a": folded(spec, None, events, dimension=5)}
        )
        if i >= 5:  # as soon as the contexts span all directions
            for probe in contexts[:10]:
                for mine, true in zip(belief.predict(probe), afresh.predict(probe), strict=True):
                    assert np.abs(mine - true).max() < 1e-8, i


@pytest.mark.parametrize("size", [1e6, 1e9, 1e20, 1e49])
def test_contexts_too_large_and_too_alike_still_leave_a_belief(size):
    rng = np.random.default_rng(7)
    spec, prior = disjoint(noise={"quality": 0.4}), Prior(mean=0.5)
    belief, events = started(spec, ["a"], 3, quality=prior), []
    for i in range(600):
        x = np.array([size * (1.0 + 1e-9 * i), size * (1.0 + 2e-9 * i), 1.0])
        events.append((x, {"quality": 0.8 + 0.1 * rng.random()}))
        belief.update("a", *events[-1])
    blob = folded(spec, None, events, dimension=3)
    again = spec.start(arms=["a"], dimension=3, priors={"quality": prior}, statistics={"a": blob})
    for one in (belief, again):
        means, stds, _ = one.predict(np.array([size, size, 1.0]))
        assert 0.7 < means[0, 0] < 1.0
        assert 0.0 <= stds[0, 0] < 0.4
    # Of the difference of the features next to nothing was learned; no direction is less sure than the least prior, 2.
    assert again.predict(np.array([1.0, -1.0, 0.0])).stds[0, 0] <= 0.4 * math.sqrt(2.0 / 2.0)


OBJECTIVES = ["quality", "cost_usd", "energy_joules"]
PRIORS = {"quality": Prior(mean=0.5, noise=0.4), "cost_usd": Prior(mean=0.1), "energy_joules": Prior()}


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.sets(st.sampled_from(OBJECTIVES), min_size=1), st.booleans()),
        min_size=1,
        max_size=25,
    ),
    st.sets(st.sampled_from(OBJECTIVES)),
    st.integers(0, 2**32 - 1),
)
def test_grouping_is_one_regression_per_objective(reports, watched, seed):
    """Observed together, apart, in parts, in changing subsets: each objective is believed as if it were alone."""
    rng = np.random.default_rng(seed)
    spec = disjoint(feature_precision=2.0, noise=dict.fromkeys(OBJECTIVES, 0.7))
    belief = spec.start(arms=["a", "b"], dimension=3, priors=PRIORS)
    belief.watch(sorted(watched))
    seen = {(arm, name): ([], []) for arm in "ab" for name in OBJECTIVES}
    for arm, names, in_parts in reports:
        x, values = rng.normal(size=3), {name: float(rng.normal()) for name in sorted(names)}
        for part in [{name: value} for name, value in values.items()] if in_parts else [values]:
            belief.update(arm, x, part)
        for name, value in values.items():
            seen[arm, name][0].append(x)
            seen[arm, name][1].append(value)
    x = rng.normal(size=3)
    means, stds, _ = belief.predict(x)
    assert set(belief.objectives) == watched.union(*(names for _, names, _ in reports))
    for j, name in enumerate(belief.objectives):
        for k, arm in enumerate("ab"):
            contexts, outcomes = seen[arm, name]
            theta, inverse, _ = ridge(spec, PRIORS[name], np.array(contexts).reshape(-1, 3), np.array(outcomes))
            assert means[j, k] == pytest.approx(theta @ x, abs=1e-10)
            assert stds[j, k] == pytest.approx(0.7 * math.sqrt(x @ inverse @ x), abs=1e-10)
            assert belief.counts(name)[k] == len(outcomes)


def test_arms_of_another_router_keep_their_statistics_to_themselves():
    blob = folded(disjoint(), None, [(np.ones(2), {"quality": 1.0})], dimension=2)
    belief = disjoint().start(arms=["a"], dimension=2, priors={}, statistics={"gone": blob})
    assert belief.objectives == ()


def test_statistics_of_another_dimension_are_refused():
    blob = folded(disjoint(), None, [(np.ones(3), {"quality": 1.0})], dimension=3)
    with pytest.raises(IncompatibleStoreError, match=r"have 3 features, the router has 2; use the featurizer"):
        disjoint().start(arms=["a"], dimension=2, priors={}, statistics={"a": blob})
    with pytest.raises(IncompatibleStoreError, match=r"have 3 features, the router has 2; use the featurizer"):
        folded(disjoint(), blob, [], dimension=2)


def test_damaged_statistics_are_refused_at_the_start():
    with pytest.raises(IncompatibleStoreError, match="restore the database"):
        disjoint().start(arms=["a"], dimension=2, priors={}, statistics={"a": b"BRST"})


def test_statistics_are_the_sums_that_the_belief_was_given():
    blob = folded(disjoint(), None, [(np.array([2.0, 1.0]), {"quality": 0.5})], dimension=2)
    (group,) = ArmStatistics.from_bytes(blob).groups
    assert (group.n, group.s.tolist(), group.b.tolist()) == (1, [[4.0, 2.0], [2.0, 1.0]], [[1.0, 0.5]])


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, True, np.True_, "1", []])
@pytest.mark.parametrize("setting", ["feature_precision", "intercept_precision", "noise_strength"])
def test_bad_settings_are_refused(setting, bad):
    with pytest.raises(InvalidConfigurationError, match=f"^{setting} is "):
        disjoint(**{setting: bad})


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, True])
def test_bad_noise_is_refused(bad):
    with pytest.raises(InvalidConfigurationError, match=r"^noise\['quality'\] is "):
        disjoint(noise={"quality": bad})


def test_noise_of_an_unknown_objective_is_refused_and_later_changes_of_the_mapping_have_no_effect():
    noise = {"quality": 0.4}
    spec = Linear(noise=noise)
    noise["qualty"] = 0.1
    assert spec.noise == {"quality": 0.4}
    with pytest.raises(InvalidConfigurationError, match="noise is given for the unknown objective qualty; known: qual"):
        Linear(noise=noise).start(arms=["a"], dimension=1, priors={"quality": Prior(mean=0.5)})


def test_expectation_of_an_arm_overrides_the_prior_of_the_objective():
    """The belief about an arm is that of a router whose objective has the arm's expectation for its prior mean."""
    arms = [Arm(name="a", expected={"quality": 0.9}), Arm(name="b")]
    both = Linear().start(arms=arms, dimension=3, priors={"quality": Prior(mean=0.5, noise=0.4)})
    both.watch(["quality"])
    rng = np.random.default_rng(0)
    events = [(np.append(rng.normal(size=2), 1.0), float(rng.uniform())) for _ in range(12)]
    x = np.array([0.3, -0.2, 1.0])
    assert both.predict(np.array([0.0, 0.0, 1.0])).means[0] == pytest.approx([0.9, 0.5])
    for arm, mean in (("a", 0.9), ("b", 0.5)):
        alone = Linear().start(arms=[arm], dimension=3, priors={"quality": Prior(mean=mean, noise=0.4)})
        one_of_two = Linear().start(arms=arms, dimension=3, priors={"quality": Prior(mean=0.5, noise=0.4)})
        for context, y in events:
            alone.update(arm, context, {"quality": y})
            one_of_two.update(arm, context, {"quality": y})
        k = one_of_two.arms.index(arm)
        for whole, part in zip(one_of_two.predict(x), alone.predict(x), strict=True):
            assert whole[0, k] == pytest.approx(part[0, 0])
