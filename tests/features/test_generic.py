"""The prompts that are shipped: enough, and different enough, to fit a projection to."""

import numpy as np

from banditroute.core.request import Request
from banditroute.features import Standardize, StaticEmbedding, generic_prompts


def test_prompts_are_texts_and_each_comes_once():
    prompts = generic_prompts()
    assert len(prompts) == len(set(prompts)) == 1766
    assert all(isinstance(prompt, str) and prompt.strip() for prompt in prompts)


def test_a_projection_fitted_to_them_whitens_them():
    prompts = generic_prompts()
    block = Standardize(block=StaticEmbedding(dimension=64), dimension=25).fit(prompts)
    x = block.transform([Request(text=prompt) for prompt in prompts])
    assert np.abs(x.mean(axis=0)).max() < 0.05  # what is far out is clipped
    assert np.abs(np.cov(x.T) - np.eye(25)).max() < 0.25
