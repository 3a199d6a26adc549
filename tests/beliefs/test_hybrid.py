"""The hybrid belief against the joint Gaussian of all weights, written out and solved in one go."""

import math

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_t

from banditroute.beliefs import Hybrid, Linear, Observation, Prior
from banditroute.beliefs.hybrid import descriptors
from banditroute.beliefs.profiles import stated
from banditroute.beliefs.relevance import Relevance
from banditroute.core.arm import Arm
from banditroute.core.feature_block import FeatureBlock
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError

QUALITY = {"quality": Prior(mean=0.5, noise=0.4)}
PRECISION_OF_INTERACTION = 32.0


def joint(arms, contexts, outcomes, *, own, shared, z, columns, b0, said=None):
    """Posterior mean and covariance, in units of the noise, of (beta, delta, theta_1 .. theta_K) together.

    A weight that an arm has ``said`` follows that instead of what is shared.
    """
    k, d, q = len(arms), contexts[0].shape[1], z.shape[1]
    size = d + q + k * d
    p, r = np.zeros((size, size)), np.zeros(size)
    p[: d + q, : d + q] = np.diag(shared)
    r[: d + q] = shared * b0
    for i in range(k):
        at = slice(d + q + i * d, d + q + (i + 1) * d)
        e = np.zeros((d, d + q))  # theta_i - e (beta, delta) has the precision own
        e[:, :d] = np.eye(d)
        e[-1, d:] = z[i]
        usual, begin = own, np.zeros(d)
        if said is not None:
            e[said.known[i]] = 0.0
            usual, begin = np.where(said.known[i], said.precision[i], own), said.means[i]
        both = np.zeros((d, size))
        both[:, : d + q] = -e
        both[:, at] = np.eye(d)
        p += both.T @ np.diag(usual) @ both
        r += both.T @ (usual * begin)
        p[at, at] += contexts[i].T @ contexts[i]
        r[at] += contexts[i].T @ outcomes[i]
    covariance = np.linalg.inv(p)
    return covariance @ r, covariance


PROFILES = {
    "one of three": [{"profile": {"quality": {"math": 0.9, "code": 0.3}}}, {}, {}],
    "an average alone": [{}, {"expected": {"quality": 0.8}}, {}],
    "two and a descriptor": [
        {"profile": {"quality": {"task.code": 0.2}}, "expected": {"quality": 0.4}},
        {"profile": {"quality": {"math": 0.7, "code": 0.6}}, "descriptors": {"size": 2.0}},
        {"descriptors": {"size": 1.0}},
    ],
}
TASKS = [FeatureBlock(2, names=("task.math", "task.code"))]


@pytest.mark.parametrize("given", PROFILES.values(), ids=PROFILES)
def test_a_profile_matches_the_joint_posterior_in_which_stated_weights_are_not_shared(given):
    arms = [Arm(name=f"arm {k}", **each) for k, each in enumerate(given)]
    counts, d = [9, 4, 0], 3
    contexts, outcomes = drawn(5, counts, d)
    spec = Hybrid(feature_precision=8.0, intercept_precision=2.0, shared_precision=0.5, noise={"quality": 0.7})
    belief = spec.start(arms=arms, dimension=d, priors=QUALITY, blocks=TASKS)
    belief.watch(["quality"])
    for i in range(max(counts)):
        for k, n in enumerate(counts):
            if i < n:
                belief.update(arms[k].name, contexts[k][i], {"quality": outcomes[k][i]})
    z, columns = descriptors(arms, ["quality"])
    own = np.array([8.0] * (d - 1) + [2.0])
    shared = np.array([0.5] * (d - 1) + [0.25] + [1.0 if name else 2.0 for name in columns])
    b0 = np.array([0.0] * (d - 1) + [0.5] + [float(name == "quality") for name in columns])
    said = stated(arms, TASKS, ["quality"])["quality"]
    mean, _ = joint(arms, contexts, outcomes, own=own, shared=shared, z=z, columns=columns, b0=b0, said=said)
    x = np.array([0.3, -0.8, 1.0])
    again = spec.start(arms=arms, dimension=d, priors=QUALITY, blocks=TASKS, statistics=belief.statistics())
    for k in range(len(arms)):
        at = slice(d + z.shape[1] + k * d, d + z.shape[1] + (k + 1) * d)
        assert belief.predict(x).means[0, k] == pytest.approx(mean[at] @ x, abs=1e-9)
        if counts[k]:
            assert again.predict(x).means[0, k] == pytest.approx(mean[at] @ x, abs=1e-9)
    np.testing.assert_allclose(belief.predict(x).stds, again.predict(x).stds, rtol=1e-9)


def test_the_noise_is_what_a_joint_posterior_with_profiles_leaves_over():
    arms = [Arm(name=f"arm {k}", **each) for k, each in enumerate(PROFILES["two and a descriptor"])]
    counts, d, nu = [40, 3, 0], 3, 4.0
    contexts, outcomes = drawn(3, counts, d)
    spec = Hybrid(feature_precision=8.0, intercept_precision=2.0, shared_precision=0.5)
    belief = spec.start(arms=arms, dimension=d, priors=QUALITY, blocks=TASKS)
    for k, n in enumerate(counts):
        for i in range(n):
            belief.update(arms[k].name, contexts[k][i], {"quality": outcomes[k][i]})
    z, columns = descriptors(arms, ["quality"])
    own = np.array([8.0, 8.0, 2.0])
    shared = np.array([0.5, 0.5, 0.25] + [1.0 if name else 2.0 for name in columns])
    b0 = np.array([0.0, 0.0, 0.5] + [float(name == "quality") for name in columns])
    said = stated(arms, TASKS, ["quality"])["quality"]
    mean, _ = joint(arms, contexts, outcomes, own=own, shared=shared, z=z, columns=columns, b0=b0, said=said)
    p = d + z.shape[1]
    rss = []
    for k in range(3):
        theta = mean[p + k * d : p + (k + 1) * d]
        follows = mean[:d] + np.append(np.zeros(d - 1), z[k] @ mean[d:p])
        prior = np.where(said.known[k], said.means[k], follows)
        precision = np.where(said.known[k], said.precision[k], own)
        left = outcomes[k] - contexts[k] @ theta
        rss.append(left @ left + (theta - prior) @ (precision * (theta - prior)))
    pooled = (nu * 0.4**2 + sum(rss)) / (nu + sum(counts))
    averages = belief.predict(np.ones(d)).average_stds[0]
    for k, n in enumerate(counts):
        assert averages[k] == pytest.approx(math.sqrt((nu * pooled + rss[k]) / (nu + n) / (n + 2.0)))


def test_a_linear_belief_begins_with_a_profile():
    arms = [Arm(name="a", profile={"quality": {"math": 0.9, "code": 0.3}}), Arm(name="b")]
    belief = Linear().start(arms=arms, dimension=3, priors=QUALITY, blocks=TASKS)
    belief.watch(["quality"])
    math_task, code_task = (np.append(math.sqrt(2.0) * np.eye(2)[i], 1.0) for i in (0, 1))
    assert belief.predict(math_task).means[0] == pytest.approx([0.9, 0.5])
    assert belief.predict(code_task).means[0] == pytest.approx([0.3, 0.5])


def test_dollars_of_a_profile_are_expected_where_it_names_them():
    arms = [Arm(name="a", profile={"cost_usd": {"math": 0.03, "code": 0.01}}), Arm(name="b")]
    belief = Hybrid().start(arms=arms, dimension=3, priors={"cost_usd": Prior()}, blocks=TASKS)
    belief.watch(["cost_usd"])
    math_task, code_task = (np.append(math.sqrt(2.0) * np.eye(2)[i], 1.0) for i in (0, 1))
    for _ in range(30):
        belief.update("b", math_task, {"cost_usd": 0.002})
        belief.update("b", code_task, {"cost_usd": 0.002})
    assert belief.predict(math_task).means[0] == pytest.approx([0.03, 0.002], rel=0.05)
    assert belief.predict(code_task).means[0] == pytest.approx([0.01, 0.002], rel=0.05)


def test_a_profile_that_names_no_entry_is_refused():
    arms = [Arm(name="a", profile={"quality": {"maths": 0.9}})]
    with pytest.raises(InvalidConfigurationError, match=r"maths.*task\.math"):
        Hybrid().start(arms=arms, dimension=3, priors=QUALITY, blocks=TASKS)


def drawn(seed, counts, d):
    rng = np.random.default_rng(seed)
    contexts = [rng.normal(size=(n, d)) for n in counts]
    for x in contexts:
        x[:, -1] = 1.0
    return contexts, [0.3 * k + x[:, 0] + rng.normal(size=len(x)) for k, x in enumerate(contexts)]


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize(("counts", "d"), [([40, 3, 0], 3), ([0, 0], 2), ([5, 500], 1), ([7, 7, 7, 300], 6)])
def test_hybrid_belief_equals_the_joint_posterior(counts, d, described):
    arms = [
        Arm(name=f"arm {k}", descriptors={"size": k**2} if k != 1 else {}, expected={"quality": 0.1 * k})
        if described
        else Arm(name=f"arm {k}")
        for k in range(len(counts))
    ]
    contexts, outcomes = drawn(1, counts, d)
    spec = Hybrid(feature_precision=8.0, intercept_precision=2.0, shared_precision=0.5, noise={"quality": 0.7})
    belief = spec.start(arms=arms, dimension=d, priors=QUALITY)
    belief.watch(["quality"])
    for i in range(max(counts)):  # in turns, so that what is shared moves while the others learn
        for k, n in enumerate(counts):
            if i < n:
                belief.update(arms[k].name, contexts[k][i], {"quality": outcomes[k][i]})
    z, columns = descriptors(arms, ["quality"])
    own = np.array([8.0] * (d - 1) + [2.0])
    shared = np.array([0.5] * (d - 1) + [0.25] + [1.0 if name else 2.0 for name in columns])
    b0 = np.array([0.0] * (d - 1) + [0.5] + [float(name == "quality") for name in columns])
    mean, covariance = joint(arms, contexts, outcomes, own=own, shared=shared, z=z, columns=columns, b0=b0)
    p = d + z.shape[1]
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = np.append(rng.normal(size=d - 1), 1.0)
        means, stds, averages = belief.predict(x)
        for k, n in enumerate(counts):
            at = slice(p + k * d, p + (k + 1) * d)
            assert means[0, k] == pytest.approx(mean[at] @ x, abs=1e-9)
            inverse = np.linalg.inv(np.diag(own) + contexts[k].T @ contexts[k])
            width = x @ inverse @ x + (2.0 * inverse[-1, -1]) ** 2 * covariance[d - 1, d - 1]
            assert stds[0, k] == pytest.approx(0.7 * math.sqrt(width), rel=1e-9)
            assert averages[0, k] == pytest.approx(0.7 / math.sqrt(n + 2.0))


def test_the_noise_is_what_the_joint_posterior_leaves_over():
    counts, d, nu = [40, 3, 0], 3, 4.0
    contexts, outcomes = drawn(3, counts, d)
    spec = Hybrid(feature_precision=8.0, shared_precision=0.5)
    belief = spec.start(arms=["a", "b", "c"], dimension=d, priors=QUALITY)
    for k, n in enumerate(counts):
        for i in range(n):
            belief.update("abc"[k], contexts[k][i], {"quality": outcomes[k][i]})
    own = np.array([8.0, 8.0, 4.0])
    none = np.zeros((3, 0))
    shared, b0 = np.array([0.5, 0.5, 0.25]), np.array([0.0, 0.0, 0.5])
    mean, _ = joint("abc", contexts, outcomes, own=own, shared=shared, z=none, columns=[], b0=b0)
    beta = mean[:d]
    rss = []
    for k in range(3):
        theta = mean[d + k * d : d + (k + 1) * d]
        left = outcomes[k] - contexts[k] @ theta
        rss.append(left @ left + (theta - beta) @ (own * (theta - beta)))
    pooled = (nu * 0.4**2 + sum(rss)) / (nu + sum(counts))
    averages = belief.predict(np.ones(d)).average_stds[0]
    for k, n in enumerate(counts):
        assert averages[k] == pytest.approx(math.sqrt((nu * pooled + rss[k]) / (nu + n) / (n + 4.0)))


def test_untried_arm_is_expected_to_find_hard_what_others_found_hard():
    belief = Hybrid().start(arms=["a", "b", "new"], dimension=2, priors=QUALITY)
    for hard in [0.0, 1.0] * 100:
        for arm in "ab":
            belief.update(arm, np.array([hard, 1.0]), {"quality": 0.9 - 0.6 * hard})
    easy, hard = (belief.predict(np.array([h, 1.0])).means[0, 2] for h in (0.0, 1.0))
    assert easy == pytest.approx(0.9, abs=0.05)
    assert hard == pytest.approx(0.3, abs=0.05)


def test_dollars_are_shared_by_ratio_and_not_by_difference():
    """Long requests cost three times as much with both arms; the third, five times dearer, was seen on short ones."""
    belief = Hybrid().start(arms=["a", "b", "dear"], dimension=2, priors={"cost_usd": Prior()})
    for long in [0.0, 1.0] * 200:
        for arm, cost in {"a": 0.001, "b": 0.002}.items():
            belief.update(arm, np.array([long, 1.0]), {"cost_usd": cost * (1.0 + 2.0 * long)})
    for _ in range(50):
        belief.update("dear", np.array([0.0, 1.0]), {"cost_usd": 0.01})
    means = belief.predict(np.array([1.0, 1.0])).means[0]
    assert means[:2] == pytest.approx([0.003, 0.006], rel=0.02)
    assert means[2] > 0.016  # and .013 by difference


def test_descriptors_say_what_to_expect_of_an_arm_never_tried():
    arms = [Arm(name=str(n), descriptors={"size_billions": 4.0**n}) for n in range(6)]
    belief = Hybrid().start(arms=arms, dimension=1, priors=QUALITY)
    for arm in arms[:5]:
        for _ in range(100):
            belief.update(arm.name, np.ones(1), {"quality": 0.3 + 0.1 * int(arm.name)})
    means = belief.predict(np.ones(1)).means[0]
    assert means[5] == pytest.approx(0.8, abs=0.1)  # and .5 is the average of the others


def test_expected_outcomes_are_where_arms_begin():
    arms = [Arm(name="good", expected={"quality": 0.8}), Arm(name="bad", expected={"quality": 0.4}), Arm(name="new")]
    belief = Hybrid().start(arms=arms, dimension=1, priors=QUALITY)
    belief.watch(["quality"])
    assert belief.predict(np.ones(1)).means[0] == pytest.approx([0.7, 0.3, 0.5])  # differences count, about 0.5
    belief = Hybrid().start(
        arms=[
            Arm(name="slow", expected={"latency_seconds": 8.0}),
            Arm(name="quick"),
        ],
        dimension=1,
        priors={"latency_seconds": Prior()},
    )
    for _ in range(50):
        belief.update("quick", np.ones(1), {"latency_seconds": 2.0})
    assert belief.predict(np.ones(1)).means[0] == pytest.approx([8.0, 2.0], rel=0.1)


@pytest.mark.parametrize(
    ("said", "precisions"),
    [
        ([0.8, 0.4], [16.0, 16.0]),
        ([0.8, None], [16.0, 4.0]),
        ([0.8, 0.8], [4.0, 4.0]),
        ([None, None], [4.0, 4.0]),
    ],
)
def test_expected_outcomes_of_arms_lower_the_prior_std(said, precisions):
    arms = [Arm(name=str(k), expected={} if each is None else {"quality": each}) for k, each in enumerate(said)]
    belief = Hybrid(noise={"quality": 0.4}).start(arms=arms, dimension=2, priors=QUALITY)
    belief.watch(["quality"])
    assert belief.predict(np.array([0.3, 1.0])).average_stds == pytest.approx(0.4 / np.sqrt([precisions]))


@pytest.mark.parametrize("settings", [{"half_life_requests": 50.0}, {"half_life_seconds": 500.0}])
@pytest.mark.parametrize("spec", [Linear, Hybrid])
def test_forgetting_follows_a_change_and_online_equals_the_fold(spec, settings):
    rng = np.random.default_rng(5)
    made = spec(**settings)
    belief = made.start(arms=["a", "b"], dimension=3, priors=QUALITY)
    observations = {"a": [], "b": []}
    for i in range(400):
        x = np.append(rng.normal(size=2), 1.0)
        arm, values = "ab"[i % 2], {"quality": 0.9 if i < 200 else 0.2}
        belief.advance(10.0 * i, i)
        belief.update(arm, x, values, decided_at=10.0 * i, ordinal=i)
        observations[arm].append(Observation(x, values, 10.0 * i, i))
    blobs = {arm: made.fold(None, each, dimension=3) for arm, each in observations.items()}
    again = made.start(arms=["a", "b"], dimension=3, priors=QUALITY, statistics=blobs)
    x = np.array([0.0, 0.0, 1.0])
    assert belief.predict(x).means[0] == pytest.approx([0.2, 0.2], abs=0.1)
    assert belief.counts("quality") == pytest.approx(again.counts("quality"), rel=0.02)  # as of 2% of a half-life ago
    assert belief.predict(x).means == pytest.approx(again.predict(x).means, rel=0.01)
    assert again.statistics() == blobs


def test_an_idle_belief_returns_to_its_prior_and_no_further():
    belief = Hybrid(half_life_seconds=60.0, noise={"quality": 0.4}).start(arms=["a"], dimension=2, priors=QUALITY)
    belief.watch(["quality"])
    x = np.array([0.7, 1.0])
    before = belief.predict(x)
    for i in range(100):
        belief.update("a", x, {"quality": 1.0}, decided_at=float(i))
    belief.advance(1e6, 100)
    for mine, theirs in zip(belief.predict(x), before, strict=True):
        assert mine == pytest.approx(theirs)


def test_two_half_lives_are_refused():
    from banditroute.errors import InvalidConfigurationError

    with pytest.raises(InvalidConfigurationError, match="give one of them"):
        Hybrid(half_life_requests=1.0, half_life_seconds=1.0)
    with pytest.raises(InvalidConfigurationError, match="half_life_seconds is 0"):
        Linear(half_life_seconds=0.0)


def folded(spec, contexts, outcomes):
    return {
        f"arm {k}": spec.fold(
            None, [Observation(row, {"quality": value}) for row, value in zip(x, y, strict=True)], dimension=x.shape[1]
        )
        for k, (x, y) in enumerate(zip(contexts, outcomes, strict=True))
    }


def test_the_evidence_is_the_student_density_of_all_outcomes():
    counts, d, nu = [9, 3, 0], 3, 4.0
    contexts, outcomes = drawn(5, counts, d)
    arms = [Arm(name=f"arm {k}", expected={"quality": 0.2 * k}, descriptors={"size": k}) for k in range(3)]
    z, columns = descriptors(arms, ["quality"])
    ours, theirs = [], []
    for feature in (0.5, 8.0, 300.0):
        spec = Hybrid(feature_precision=feature, intercept_precision=2.0)
        belief = spec.start(arms=arms, dimension=d, priors=QUALITY, statistics=folded(spec, contexts, outcomes))
        evidence, (precision, shared_precision) = belief.evidence("quality"), belief.precisions("quality")
        ours.append(evidence.log(evidence.fit(precision), shared_precision))
        own, shared = np.array([feature, feature, 2.0]), [feature / 32.0] * 2 + [0.25]
        shared += [1.0 if name else 2.0 for name in columns]
        b0 = np.array([0.0, 0.0, 0.5] + [float(name == "quality") for name in columns])
        e = [np.hstack([x, np.ones((len(x), 1)) * z[k]]) for k, x in enumerate(contexts)]
        apart = block_diag(*[(x / own) @ x.T for x in contexts if len(x)])
        scale = np.eye(sum(counts)) + apart + (np.vstack(e) / shared) @ np.vstack(e).T
        law = multivariate_t(np.vstack(e) @ b0, 0.4**2 * scale, df=nu)
        theirs.append(law.logpdf(np.concatenate(outcomes)))
    assert np.ptp(theirs) > 1.0
    assert np.diff(ours) == pytest.approx(np.diff(theirs), abs=1e-9)


def strong(seed, count, effect):
    """Four arms, of which each does well on requests of its own."""
    rng = np.random.default_rng(seed)
    contexts = [np.hstack([rng.normal(size=(count, 8)), np.ones((count, 1))]) for _ in range(4)]
    weights = np.random.default_rng(0).normal(size=(4, 9)) * effect / math.sqrt(8.0)
    return contexts, [0.5 + x @ w + 0.2 * rng.normal(size=count) for x, w in zip(contexts, weights, strict=True)]


def test_precision_and_error_fall_where_arms_differ_by_context():
    contexts, outcomes = strong(1, 60, 0.5)
    tested, truth = strong(2, 200, 0.5)
    usual = Hybrid(feature_precision=64.0 * 8)
    errors, weights = [], []
    for spec in (usual, Hybrid()):
        blobs = folded(spec, contexts, outcomes)
        belief = spec.start(arms=list(blobs), dimension=9, priors=QUALITY, statistics=blobs)
        left = [
            y - [belief.predict(row).means[0, k] for row in x]
            for k, (x, y) in enumerate(zip(tested, truth, strict=True))
        ]
        errors.append(float(np.square(left).mean()))
        weights.append(float(belief.information()[0]))
    assert errors[1] < 0.5 * errors[0]  # of which 0.04 is the noise
    assert weights[1] > 2.0 * weights[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_block_that_does_not_matter_is_shrunk_and_never_freed(seed):
    contexts, outcomes = strong(seed, 60, 0.0)
    belief = start_from(Hybrid(), folded(Hybrid(), contexts, outcomes))
    found = belief.relevance["quality"]
    assert -0.5 < found.own[0] < 4.0
    assert found.explored_share([FeatureBlock(8)]) < 0.05


def start_from(spec, blobs, **settings):
    return spec.start(arms=list(blobs), dimension=9, priors=QUALITY, statistics=blobs, **settings)


def test_the_choice_depends_on_no_order():
    contexts, outcomes = strong(1, 60, 0.5)
    events = [(k, x, y) for k in range(4) for x, y in zip(contexts[k], outcomes[k], strict=True)][:200]
    beliefs = []
    for order in (events, events[::-1]):
        belief = Hybrid().start(arms=[f"arm {k}" for k in range(4)], dimension=9, priors=QUALITY)
        for k, x, y in order:
            belief.update(f"arm {k}", x, {"quality": y})
        beliefs.append(belief)
    one, other = (belief.relevance["quality"] for belief in beliefs)
    assert one.own[0] < -1.0  # of the usual precision, less than a quarter is left
    assert one.own == pytest.approx(other.own, abs=1e-6)
    assert one.shared == pytest.approx(other.shared, abs=1e-6)


def test_a_restart_goes_on_with_the_recorded_choice():
    contexts, outcomes = strong(1, 60, 0.5)
    blobs = folded(Hybrid(), contexts, outcomes)
    chosen = start_from(Hybrid(), blobs)
    assert chosen.choices is not None
    more = folded(Hybrid(), *strong(3, 70, 0.5))  # enough to choose otherwise, too few for the next choice
    again = start_from(Hybrid(), more, choices=chosen.choices)
    assert again.choices == chosen.choices
    assert start_from(Hybrid(), more).choices != chosen.choices


def test_the_belief_chooses_again_when_the_next_choice_is_due():
    contexts, outcomes = strong(1, 113, 0.5)
    belief = Hybrid().start(arms=[f"arm {k}" for k in range(4)], dimension=9, priors=QUALITY)
    chosen = []
    for i in range(113):
        for k in range(4):
            belief.update(f"arm {k}", contexts[k][i], {"quality": outcomes[k][i]})
            chosen.append(belief.choices)
    changes = [i + 1 for i in range(1, len(chosen)) if chosen[i] != chosen[i - 1]]
    assert changes[:3] == [200, 300, 450]


def test_choices_for_other_blocks_are_not_used():
    contexts, outcomes = strong(1, 60, 0.5)
    blobs = folded(Hybrid(), contexts, outcomes)
    one = start_from(Hybrid(), blobs)
    two = start_from(Hybrid(), blobs, choices=one.choices, blocks=[FeatureBlock(3), FeatureBlock(5)])
    assert len(two.relevance["quality"].own) == 2


def test_damaged_choices_are_refused():
    with pytest.raises(IncompatibleStoreError, match="choices of a belief are damaged"):
        Hybrid().start(arms=["a"], dimension=9, priors=QUALITY, choices=b"{}")


def test_only_the_block_that_matters_is_freed():
    rng = np.random.default_rng(5)
    belief = Hybrid().start(arms=list("abcd"), dimension=13, priors=QUALITY, blocks=[FeatureBlock(8), FeatureBlock(4)])
    for i in range(450):
        kind, arm = rng.integers(4), i % 4
        x = np.concatenate([rng.normal(size=8), 2.0 * np.eye(4)[kind], [1.0]])
        belief.update("abcd"[arm], x, {"quality": float(rng.random() < (0.9 if arm == kind else 0.3))})
    noise, kinds = belief.relevance["quality"].own
    assert kinds < -1.5
    assert noise > -0.5


def test_specialists_are_explored_in_every_context_and_generalists_are_not():
    usual, specialists = Relevance((0.0,), (0.0,)), Relevance((-3.0,), (0.0,))
    assert usual.explored_share([FeatureBlock(8)]) == 0.0
    assert specialists.explored_share([FeatureBlock(8)]) == 1.0


def test_predictions_in_between_do_not_change_later_ones():
    rng = np.random.default_rng(3)
    settings = {"arms": ["a", "b", "c"], "dimension": 4, "priors": {"quality": Prior(mean=0.5, noise=0.4)}}
    asked, unasked = Hybrid().start(**settings), Hybrid().start(**settings)
    for _ in range(300):
        arm, x, quality = str(rng.choice(settings["arms"])), np.append(rng.normal(size=3), 1.0), float(rng.random())
        for belief in (asked, unasked):
            belief.update(arm, x, {"quality": quality})
        asked.predict(x)
    for one, other in zip(asked.predict(x), unasked.predict(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def factored(**levels):
    return [Arm(model=model, effort=effort) for model in levels["models"] for effort in levels["efforts"]]


def test_a_factored_arm_matches_the_joint_posterior_of_its_parts():
    arms = [*factored(models="ab", efforts=["low", "high"]), Arm(name="alone")]
    counts, d = [5, 2, 0, 3, 4], 3
    contexts, outcomes = drawn(4, counts, d)
    spec = Hybrid(feature_precision=8.0, shared_precision=0.5, noise={"quality": 0.7})
    belief = spec.start(arms=arms, dimension=d, priors=QUALITY)
    for arm, xs, ys in zip(arms, contexts, outcomes, strict=True):
        for x, y in zip(xs, ys, strict=True):
            belief.update(arm.name, x, {"quality": y})
    z, columns = descriptors(arms, ["quality"])
    own = np.array([8.0] * (d - 1) + [PRECISION_OF_INTERACTION])
    shared = np.array([0.5] * (d - 1) + [0.25] + [4.0] * len(columns))
    b0 = np.array([0.0] * (d - 1) + [0.5] + [0.0] * len(columns))
    mean, covariance = joint(arms, contexts, outcomes, own=own, shared=shared, z=z, columns=columns, b0=b0)
    p = d + z.shape[1]
    x = np.array([0.3, -0.8, 1.0])
    means, stds, averages = belief.predict(x)
    for k in range(len(arms)):
        at = slice(p + k * d, p + (k + 1) * d)
        assert means[0, k] == pytest.approx(mean[at] @ x, abs=1e-9)
        inverse = np.linalg.inv(np.diag(own) + contexts[k].T @ contexts[k])
        reach = (PRECISION_OF_INTERACTION * inverse[-1, -1]) ** 2
        both = np.concatenate([[1.0], z[k]])
        of_parts = z[k] @ covariance[d:p, d:p] @ z[k]
        width = x @ inverse @ x + reach * (both @ covariance[d - 1 : p, d - 1 : p] @ both)
        assert stds[0, k] == pytest.approx(0.7 * math.sqrt(width), rel=1e-9)
        average = 1.0 / (counts[k] + PRECISION_OF_INTERACTION) + reach * of_parts
        assert averages[0, k] == pytest.approx(0.7 * math.sqrt(average))


def test_an_arm_never_tried_is_expected_to_be_the_sum_of_its_model_and_its_effort():
    belief = Hybrid().start(arms=factored(models="ab", efforts=["low", "high"]), dimension=1, priors=QUALITY)
    for _ in range(200):
        for name, quality in (("a:low", 0.3), ("a:high", 0.5), ("b:low", 0.6)):
            belief.update(name, np.ones(1), {"quality": quality})
    assert belief.predict(np.ones(1)).means[0, 3] > 0.7  # the average of the others is below .5


def test_an_arm_by_itself_beside_factored_arms_is_as_free_as_a_model():
    arms = [*factored(models="ab", efforts=["low", "high"]), Arm(name="alone")]
    belief = Hybrid().start(arms=arms, dimension=1, priors=QUALITY)
    for _ in range(30):
        belief.update("alone", np.ones(1), {"quality": 0.9})
    assert belief.predict(np.ones(1)).means[0, 4] == pytest.approx(0.9, abs=0.03)
