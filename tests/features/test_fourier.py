"""FourierFeatures: the Gaussian kernel, fixed by the settings."""

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Complexity, Compose, FourierFeatures, SentenceEmbedding, StaticEmbedding
from banditroute.testing import check_featurizer


def block(label="counts"):
    return SentenceEmbedding(model=lambda texts: [[len(text) / 4.0, text.count("a")] for text in texts], label=label)


PROMPTS = ["aaaa", "b" * 12, "c" * 28]  # (1, 4), (3, 0), (7, 0): distances sqrt(20), 4 and sqrt(52)


def test_the_bandwidth_is_the_median_distance_to_four_digits():
    waves = FourierFeatures(block=block()).fit(PROMPTS)
    assert waves.bandwidth == 4.472
    again = FourierFeatures(block=block(), bandwidth=4.472)
    assert again.version == waves.version
    request = Request(text="banana")
    assert np.array_equal(again.transform_one(request), waves.transform_one(request))
    check_featurizer(waves)


def test_products_are_the_gaussian_kernel():
    count = 20_000
    z = FourierFeatures(block=block(), dimension=count, bandwidth=3.0).transform([Request(text=p) for p in PROMPTS])
    kernel = np.exp(-np.array([[0, 20, 52], [20, 0, 16], [52, 16, 0]]) / 18.0)
    assert z @ z.T / count == pytest.approx(kernel, abs=4.0 * np.sqrt(1.5 / count))


def test_a_linear_fit_finds_a_function_that_is_not_linear():
    texts = ["x" * n for n in range(1, 40)]
    y = np.sin(np.arange(1, 40) / 4.0)
    z = FourierFeatures(block=block(), dimension=64, bandwidth=1.0).transform([Request(text=text) for text in texts])
    fitted = z @ np.linalg.solve(z.T @ z + 0.01 * np.eye(64), z.T @ y)
    assert np.abs(fitted - y).max() < 0.05


def test_the_version_names_the_settings_and_the_block():
    settings = [{}, {"dimension": 8}, {"bandwidth": 2.5}, {"seed": 1}, {"block": block("other")}]
    made = [FourierFeatures(**({"block": block(), "bandwidth": 2.0} | each)) for each in settings]
    assert len({each.version for each in made}) == 5
    assert FourierFeatures(block=block(), bandwidth=2.0).version == made[0].version


def test_the_draw_is_the_same_in_every_version_of_numpy():
    waves = FourierFeatures(block=block(), dimension=2, bandwidth=1.0)
    directions, phases = np.array([[1.764052, 0.400157], [0.978738, 2.240893]]), np.array([2.661901, 4.058272])
    assert waves.transform_one(Request(text="aaaa")) == pytest.approx(
        np.sqrt(2.0) * np.cos(np.array([1.0, 4.0]) @ directions + phases), abs=1e-4
    )


def test_fourier_features_compose_with_others():
    both = Compose(
        blocks=[FourierFeatures(block=Complexity(), dimension=3, bandwidth=4.0), StaticEmbedding(dimension=2)]
    )
    assert both.dimension == 5
    check_featurizer(both)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"block": Complexity}, "is not a featurizer"),
        ({"dimension": 0}, "dimension is 0"),
        ({"dimension": True}, "dimension is True"),
        ({"dimension": 2.0}, r"dimension is 2\.0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"bandwidth": float("nan")}, "bandwidth"),
    ],
)
def test_unusable_parameters_are_refused(parameters, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        FourierFeatures(**({"block": Complexity()} | parameters))


@pytest.mark.parametrize("use", [lambda f: f.version, lambda f: f.transform_one(Request(text="a"))])
def test_use_without_a_bandwidth_says_so(use):
    with pytest.raises(InvalidConfigurationError, match=r"call fit\(prompts\)"):
        use(FourierFeatures(block=Complexity()))


@pytest.mark.parametrize("prompts", [[], ["one"], ["same", "same", "same"]])
def test_prompts_without_a_distance_are_refused_and_change_nothing(prompts):
    waves = FourierFeatures(block=block(), bandwidth=3.0)
    with pytest.raises(InvalidConfigurationError, match="prompts"):
        waves.fit(prompts)
    assert waves.bandwidth == 3.0


def test_request_that_the_block_cannot_read_is_refused():
    with pytest.raises(InvalidRequestError):
        FourierFeatures(block=Complexity(), bandwidth=1.0).transform_one(Request(features=np.ones(21)))
