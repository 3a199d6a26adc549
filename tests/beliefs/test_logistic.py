"""The logistic belief against weighted least squares of its expansion, and against the exact posterior by scipy."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from banditroute.beliefs import Hybrid, Logistic, Observation, Prior
from banditroute.errors import InvalidConfigurationError
from banditroute.testing import check_belief

QUALITY = {"quality": Prior(mean=0.5, noise=0.4)}
SETTINGS = {"feature_precision": 1.0, "shared_precision": 1.0}  # of one arm, together: 1/2 for each feature


def drawn(base, effect, count, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    x[:, -1] = 1.0
    weights = rng.normal(size=3)
    y = rng.random(count) < expit(logit(base) + x[:, :-1] @ weights * effect / np.linalg.norm(weights))
    return x, y.astype(float)


def learned(spec, x, y):
    blob = spec.fold(None, [Observation(row, {"quality": value}) for row, value in zip(x, y, strict=True)], dimension=4)
    return spec.start(arms=["a"], dimension=4, priors=QUALITY, statistics={"a": blob})


@pytest.mark.parametrize(
    "spec", [Logistic(), Logistic(feature_precision=0.1, intercept_precision=0.01), Logistic(half_life_requests=9.0)]
)
def test_logistic_keeps_the_belief_contract(spec):
    check_belief(spec)


@pytest.mark.parametrize("count", [3, 40, 400])
def test_posterior_is_the_second_order_expansion_about_the_base_rate(count):
    x, y = drawn(0.8, 1.0, count)
    belief = learned(Logistic(**SETTINGS, noise={"quality": 0.4}), x, y)
    average = (y.sum() + 0.25 * 0.5) / (count + 0.25)
    p = (y.sum() + 4.0 * average) / (count + 4.0)
    v = p * (1.0 - p)
    # one arm: its own weights scatter about the shared, and these about the prior mean
    precision = v / (np.array([1.0, 1.0, 1.0, 1 / 4.0]) + np.array([1.0, 1.0, 1.0, 1 / 0.25]))
    prior = np.array([0.0, 0.0, 0.0, logit(p) + (0.5 - p) / v])
    z = logit(p) + (y - p) / v
    phi = np.linalg.solve(np.diag(precision) + v * x.T @ x, v * x.T @ z + precision * prior)
    std = learned(Hybrid(**SETTINGS, noise={"quality": 0.4}), x, y).predict
    for row in drawn(0.5, 1.0, 5, seed=1)[0]:
        tau = std(row).stds[0, 0] / v
        mean = expit(logit(p) + (row @ phi - logit(p)) / np.sqrt(1.0 + np.pi / 8.0 * tau**2))
        means, stds, averages = belief.predict(row)
        assert means[0, 0] == pytest.approx(mean, rel=1e-9)
        assert stds[0, 0] == pytest.approx(mean * (1.0 - mean) * tau)
        assert averages[0, 0] == pytest.approx(mean * (1.0 - mean) * 0.4 / np.sqrt(count + 4.0) / v)


def exact(x, y):
    """The mode of the exact posterior under the same prior."""
    v = y.mean() * (1.0 - y.mean())

    def loss(phi):
        odds = x @ phi
        lost = np.logaddexp(0.0, odds).sum() - y @ odds + 0.25 * v * phi @ phi
        return lost, x.T @ (expit(odds) - y) + 0.5 * v * phi

    return minimize(loss, np.zeros(4), jac=True, options={"gtol": 1e-6}).x


@pytest.mark.parametrize(
    ("base", "effect", "worst"),
    [(0.5, 0.0, 0.002), (0.5, 0.25, 0.005), (0.85, 0.5, 0.02), (0.7, 1.0, 0.05), (0.95, 1.0, 0.1)],
)
def test_posterior_is_near_the_exact_one_within_the_stated_error(base, effect, worst):
    x, y = drawn(base, effect, 4000)
    belief, linear, phi = learned(Logistic(**SETTINGS), x, y), learned(Hybrid(**SETTINGS), x, y), exact(x, y)
    off = [belief.predict(row).means[0, 0] - expit(row @ phi) for row in x[:500]]
    assert np.abs(off).max() < worst
    if effect >= 0.5:
        assert np.abs(off).max() < np.abs([linear.predict(row).means[0, 0] - expit(row @ phi) for row in x[:500]]).max()


def test_the_spread_is_that_of_the_exact_curvature():
    x, y = drawn(0.7, 0.25, 4000)
    belief, phi = learned(Logistic(**SETTINGS), x, y), exact(x, y)
    p = expit(x @ phi)
    covariance = np.linalg.inv(0.5 * y.var() * np.eye(4) + (x * (p * (1.0 - p))[:, None]).T @ x)
    for row in x[:20]:
        q = expit(row @ phi)
        assert belief.predict(row).stds[0, 0] == pytest.approx(q * (1 - q) * np.sqrt(row @ covariance @ row), rel=0.1)


def test_expectations_stay_within_0_and_1_however_one_sided_the_outcomes():
    x, _ = drawn(0.5, 0.0, 500)
    for outcome in (0.0, 1.0):
        belief = learned(Logistic(feature_precision=0.01), x, np.full(500, outcome))
        for scale in (0.0, 1.0, 1e3):
            means, stds, _ = belief.predict(np.append(scale * np.ones(3), 1.0))
            assert 0.0 <= means[0, 0] <= 1.0
            assert np.isfinite(stds).all()


def test_a_prior_mean_is_expected_at_every_context_and_others_are_linear():
    priors = {"quality": Prior(mean=0.9, noise=0.3), "cost_usd": Prior(mean=2.0)}
    belief, hybrid = (s.start(arms=["a", "b"], dimension=2, priors=priors) for s in (Logistic(), Hybrid()))
    for each in (belief, hybrid):
        each.watch(["quality", "cost_usd"])
    assert belief.predict(np.array([5.0, 1.0])).means[0] == pytest.approx([0.9, 0.9])
    for each in (belief, hybrid):
        each.update("a", np.array([1.0, 1.0]), {"quality": 1.0, "cost_usd": 7.0})
    x = np.array([-1.0, 1.0])
    for ours, theirs in zip(belief.predict(x), hybrid.predict(x), strict=True):
        assert ours[1] == pytest.approx(theirs[1])
        assert ours[0] != pytest.approx(theirs[0])


@pytest.mark.parametrize("name", ["qualty", "cost_usd", "availability"])
def test_objectives_that_are_no_probabilities_are_refused(name):
    priors = {"quality": Prior(mean=0.5), "cost_usd": Prior(), "availability": Prior(mean=1.0)}
    with pytest.raises(InvalidConfigurationError, match=f"objective '{name}' has the prior mean"):
        Logistic(objectives=(name,)).start(arms=["a"], dimension=2, priors=priors)
