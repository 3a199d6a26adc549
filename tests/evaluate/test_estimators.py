"""Estimators: by hand, by brute force, in expectation, and beside coba."""

import numpy as np
import pytest
from coba.environments.filters import OpeRewards

from banditroute.errors import InvalidInputError
from banditroute.evaluate import (
    clipped,
    direct_method,
    doubly_robust,
    importance_weights,
    ips,
    normal_interval,
    self_normalized_doubly_robust,
    shrunk,
    snips,
    switched,
)

N, ARMS = 400, 4


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    logged, target = rng.dirichlet(np.ones(ARMS), (2, N))
    chosen = (logged.cumsum(axis=1) > rng.random(N)[:, None]).argmax(axis=1)
    return {
        "y": rng.random((N, 2)),
        "w": importance_weights(chosen, logged[np.arange(N), chosen], target),
        "chosen": chosen,
        "logged": logged,
        "target": target,
        "predicted": rng.random((N, ARMS, 2)),
    }


def brute_force(made, weigh, *, normalise):
    """Both doubly robust estimators, row by row."""
    direct = correction = weight = 0.0
    for i in range(N):
        a, w = made["chosen"][i], weigh(made["w"][i])
        direct += sum(made["target"][i, k] * made["predicted"][i, k] for k in range(ARMS))
        correction += w * (made["y"][i] - made["predicted"][i, a])
        weight += w
    return direct / N + correction / (weight if normalise else N)


class TestByHand:
    Y, W = np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, 0.5])

    def test_ips_equals_the_hand_computed_one(self):
        np.testing.assert_allclose(ips(self.Y, self.W), [2.0, 0.0, 0.5])

    def test_snips_and_the_spread_of_its_terms(self):
        terms = snips(np.array([1.0, 0.0, 1.0]), np.array([2.0, 1.0, 1.0]))
        assert terms.mean() == pytest.approx(0.75)
        np.testing.assert_allclose(terms - 0.75, np.array([2 * 0.25, -0.75, 0.25]) / (4 / 3))

    def test_many_objectives_are_each_by_itself(self):
        y = np.stack([self.Y, 1.0 - self.Y], axis=1)
        for estimator in (ips, snips):
            np.testing.assert_allclose(estimator(y, self.W)[:, 1], estimator(y[:, 1], self.W))

    def test_doubly_robust_equals_the_hand_computed_one(self):
        arms, target, q = np.array([1, 0, 1]), np.tile([0.0, 1.0], (3, 1)), np.tile([0.9, 0.8], (3, 1))
        # .8 + 2 (1 - .8); .8 + 0; .8 + .5 (1 - .8)
        np.testing.assert_allclose(doubly_robust(self.Y, self.W, arms, target, q), [1.2, 0.8, 0.9])
        assert direct_method(target, q).mean() == pytest.approx(0.8)
        normalised = self_normalized_doubly_robust(self.Y, self.W, arms, target, q)
        assert normalised.mean() == pytest.approx(0.8 + 0.5 / 2.5)


class TestBruteForce:
    @pytest.mark.parametrize(
        "weigh",
        [
            lambda w: w,
            lambda w: clipped(np.array([w]), most=2.0)[0] if np.ndim(w) == 0 else clipped(w, most=2.0),
            lambda w: switched(w, most=2.0),
            lambda w: shrunk(w, strength=9.0),
        ],
        ids=["DR", "clipped", "SWITCH-DR", "DRos"],
    )
    def test_doubly_robust_family(self, made, weigh):
        rest = (made["chosen"], made["target"], made["predicted"])
        plain = doubly_robust(made["y"], weigh(made["w"]), *rest).mean(axis=0)
        np.testing.assert_allclose(plain, brute_force(made, weigh, normalise=False), atol=1e-12)
        normalised = self_normalized_doubly_robust(made["y"], weigh(made["w"]), *rest).mean(axis=0)
        np.testing.assert_allclose(normalised, brute_force(made, weigh, normalise=True), atol=1e-12)

    def test_doubly_robust_without_predictions_equals_ips_and_snips(self, made):
        rest = (made["chosen"], made["target"], np.zeros((N, ARMS, 2)))
        np.testing.assert_allclose(doubly_robust(made["y"], made["w"], *rest), ips(made["y"], made["w"]))
        np.testing.assert_allclose(
            self_normalized_doubly_robust(made["y"], made["w"], *rest), snips(made["y"], made["w"])
        )


class TestExpectation:
    def test_unbiased_whatever_is_predicted(self, made):
        """Over all arms that could have been chosen, each with its propensity."""
        outcomes = np.random.default_rng(1).random((N, ARMS))
        expected = {"ips": 0.0, "dr": 0.0}
        for k in range(ARMS):
            arm = np.full(N, k)
            w = importance_weights(arm, made["logged"][:, k], made["target"])
            y, q = outcomes[:, k], made["predicted"][:, :, 0]
            expected["ips"] += (made["logged"][:, k] * ips(y, w)).mean()
            expected["dr"] += (made["logged"][:, k] * doubly_robust(y, w, arm, made["target"], q)).mean()
        truth = (made["target"] * outcomes).sum(axis=1).mean()
        assert expected == pytest.approx({"ips": truth, "dr": truth})

    def test_snips_ignores_a_shift_and_stays_in_range(self, made):
        y = made["y"][:, 0]
        assert snips(y + 7.0, made["w"]).mean() == pytest.approx(snips(y, made["w"]).mean() + 7.0)
        assert y.min() <= snips(y, made["w"]).mean() <= y.max()

    @pytest.mark.parametrize("estimator", ["ips", "snips", "dr", "sndr"])
    def test_the_spread_of_the_terms_is_the_error(self, estimator):
        """Standard errors that the terms tell, against the spread of 1,000 estimates."""
        rng = np.random.default_rng(2)
        target, logged = np.array([0.7, 0.3]), np.array([0.3, 0.7])
        values, told = [], []
        for _ in range(1000):
            chosen = (rng.random(300) < logged[1]).astype(int)
            y = rng.random(300) + chosen
            pi, q = np.tile(target, (300, 1)), np.tile([0.3, 1.2], (300, 1))
            w = importance_weights(chosen, logged[chosen], pi)
            terms = {
                "ips": lambda y=y, w=w: ips(y, w),
                "snips": lambda y=y, w=w: snips(y, w),
                "dr": lambda y=y, w=w, c=chosen, pi=pi, q=q: doubly_robust(y, w, c, pi, q),
                "sndr": lambda y=y, w=w, c=chosen, pi=pi, q=q: self_normalized_doubly_robust(y, w, c, pi, q),
            }[estimator]()
            values.append(terms.mean())
            told.append(normal_interval(terms).upper - normal_interval(terms).lower)
        assert np.mean(told) / 2 / 1.968 == pytest.approx(np.std(values), rel=0.08)  # t(.975, 299); 3.5 standard errors
        assert np.mean(values) == pytest.approx(0.7 * 0.5 + 0.3 * 1.5, abs=4 * np.std(values) / np.sqrt(1000) + 1e-3)


class TestCoba:
    """The same rows through coba's estimators, which predict by Vowpal Wabbit."""

    @pytest.fixture
    def rows(self, made):
        arms = list("abcd")
        return [
            {
                "context": {"f": float(made["y"][i, 1])},
                "actions": arms,
                "action": arms[made["chosen"][i]],
                "reward": float(made["y"][i, 0]),
                "probability": float(made["logged"][i, made["chosen"][i]]),
            }
            for i in range(N)
        ]

    @staticmethod
    def rewards(rows, kind):
        return np.array([[row["rewards"](arm) for arm in "abcd"] for row in list(OpeRewards(kind).filter(rows))])

    def test_ips_equals_that_of_coba(self, made, rows):
        theirs = (made["target"] * self.rewards(rows, "IPS")).sum(axis=1).mean()
        assert ips(made["y"][:, 0], made["w"]).mean() == pytest.approx(theirs, abs=1e-9)

    def test_doubly_robust_and_direct_method(self, made, rows):
        predicted = self.rewards(rows, "DM")
        assert np.ptp(predicted) > 0.01
        theirs = (made["target"] * self.rewards(rows, "DR")).sum(axis=1)
        ours = doubly_robust(made["y"][:, 0], made["w"], made["chosen"], made["target"], predicted)
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
        assert direct_method(made["target"], predicted).mean() == pytest.approx(
            (made["target"] * predicted).sum(axis=1).mean(), abs=1e-9
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("y", "w"),
        [
            ([1.0, np.nan], [1.0, 1.0]),
            ([1.0, 0.0], [1.0, np.inf]),
            ([1.0, 0.0], [1.0, -1.0]),
            ([1.0, 0.0], [1.0]),
            ([], []),
            (1.0, 1.0),
            (np.zeros((2, 2, 2)), [1.0, 1.0]),
        ],
    )
    def test_outcomes_and_weights(self, y, w):
        for estimator in (ips, snips):
            with pytest.raises(InvalidInputError):
                estimator(y, w)

    def test_snips_refuses_weights_of_zero(self):
        with pytest.raises(InvalidInputError, match="all weights are 0"):
            snips([1.0, 0.0], [0.0, 0.0])

    @pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 2), (2, 2, 1)])
    def test_predictions_of_another_shape(self, shape):
        for estimator in (doubly_robust, self_normalized_doubly_robust):
            with pytest.raises(InvalidInputError, match="predictions have shape"):
                estimator([1.0, 0.0], [1.0, 1.0], np.array([0, 1]), np.full((2, 2), 0.5), np.zeros(shape))
