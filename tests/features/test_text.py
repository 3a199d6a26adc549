"""The default features."""

import numpy as np

from banditroute.core.request import Request
from banditroute.features import Complexity, StaticEmbedding, TextFeatures


def test_default_is_complexity_and_sixteen_directions():
    features = TextFeatures()
    request = Request(text="Explain why the sky is blue to a child.")
    assert features.names == Complexity().names + StaticEmbedding(dimension=16).names
    assert features.dimension == 37
    assert np.array_equal(
        features.transform_one(request),
        np.concatenate([Complexity().transform_one(request), StaticEmbedding(dimension=16).transform_one(request)]),
    )


def test_meaning_is_pinned_to_the_version():
    # Fails when the shipped table or a formula changes: then the version must change with it.
    features = TextFeatures()
    assert features.version == "complexity-3+static-minilm-1:16"
    x = features.transform_one(Request(text="Write a Python function that returns the 10 largest primes below n."))
    complexity = [-1.25496, -1.15265, -0.01852, 0.03697, -0.14042, 1.80734, -0.36364, 0.99075]
    complexity += [-1.42857, -1.71429, 0.0, 1.4, -1.14286, 0.0, 0.0, 2.66667, 0.0, 0.0, 0.0, 0.0, 0.0]
    static = [-0.41357, 0.18898, -0.21195, -0.78872, -0.04619, -2.11036, 1.00613, 1.28807]
    static += [-0.16425, 1.38063, 0.3032, -1.28586, -1.57101, 0.4868, -1.3302, 1.00975]
    assert np.allclose(x, complexity + static, rtol=0.0, atol=1e-5)
