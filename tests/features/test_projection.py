"""A projection keeps what can be learned, and tells nothing of its secret."""

import numpy as np
import pytest

from banditroute import Router
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import Complexity, RandomProjection, TextFeatures

SECRET = "correct horse battery staple"


def made(secret=SECRET, dimension=8, block=None):
    return RandomProjection(block=block or Complexity(), dimension=dimension, secret=secret)


def test_axes_are_orthonormal_and_the_secret_s():
    axes = made().axes
    assert axes.T @ axes == pytest.approx(np.eye(8), abs=1e-12)
    assert made().axes.tolist() == axes.tolist()
    other = made("correct horse battery stapler").axes
    assert np.abs(axes.T @ other).max() < 0.99


def test_the_numbers_are_the_block_s_on_these_axes():
    request = Request(text="Prove that 2 + 2 = 4.")
    assert made().transform_one(request) == pytest.approx(Complexity().transform_one(request) @ made().axes)


def test_distances_shrink_alike():
    block = TextFeatures()
    prompts = [
        Request(text=f"{verb} {thing}?") for verb in ("Sort", "Sum", "Why") for thing in ("these", "a list", "x")
    ]
    pairs = np.triu_indices(len(prompts), 1)

    def distances(features):
        x = features.transform(prompts)
        return np.linalg.norm(x[:, None] - x, axis=2)[pairs]

    ratios = np.array(
        [
            distances(made(f"a secret of number {seed:05d}", block.dimension // 2, block)) / distances(block)
            for seed in range(50)
        ]
    )
    assert np.sqrt(np.square(ratios).mean()) == pytest.approx(np.sqrt(0.5), rel=0.1)


def test_the_version_changes_with_all_but_tells_no_secret():
    versions = {
        features.version
        for features in (made(), made(SECRET + "!"), made(dimension=7), made(block=TextFeatures(), dimension=8))
    }
    assert len(versions) == 4
    assert not any(SECRET[:4] in version for version in versions)
    assert SECRET not in repr(made())


def test_a_router_learns_through_it():
    router = Router(arms=["small", "large"], features=made(block=TextFeatures(), dimension=12), seed=0)
    for _ in range(100):
        for text, good in (("Hi there", "small"), ("Prove that there are infinitely many primes.", "large")):
            decision = router.route(text)
            router.feedback(decision.id, quality=float(decision.arm == good))
    assert router.route("Hi there").arm == "small"
    assert router.route("Prove that there are infinitely many primes.").arm == "large"


@pytest.mark.parametrize("dimension", [0, 21, -1, True, 2.0, "8"])
def test_no_fewer_axes_are_refused(dimension):
    with pytest.raises(InvalidConfigurationError, match=r"dimension is .*from 1 to 20"):
        made(dimension=dimension)


@pytest.mark.parametrize("secret", ["short", "", None, 12345678901234567890, b"correct horse battery staple"])
def test_a_weak_secret_is_refused_and_not_repeated(secret):
    with pytest.raises(InvalidConfigurationError, match="at least 16 characters") as caught:
        made(secret)
    assert secret in (None, "") or str(secret) not in str(caught.value)


def test_a_block_that_is_none_is_refused():
    with pytest.raises(InvalidConfigurationError):
        made(block="complexity")
