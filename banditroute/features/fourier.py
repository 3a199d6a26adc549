"""Random Fourier features: let a linear belief learn smooth non-linear functions of another featurizer's numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import number, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features._block import BlockFeaturizer
from banditroute.features.base import Featurizer

_MOST_PROMPTS_TO_FIT = 1000  # they give half a million distances


class FourierFeatures(BlockFeaturizer):
    """Random Fourier features: a linear function of them can be any smooth function of the block's numbers.

    The features are ``z_i = sqrt(2) cos(w_i'e / bandwidth + b_i)`` over the block's ``e (d,)``. The directions
    ``w_i ~ N(0, I)`` and the phases ``b_i``, uniform on a circle, are drawn once with ``seed``. The average of
    ``z(e)'z(f) / dimension`` over draws is the Gaussian kernel ``exp(-|e - f|^2 / (2 bandwidth^2))``. Its standard
    deviation is at most ``sqrt(1.5 / dimension)``. So ridge regression on ``z`` approximates kernel ridge regression
    (Rahimi and Recht 2007, "Random features for large-scale kernel machines"). Entries have the mean square 1, over
    draws of ``b_i``.

    Parameters
    ----------
    block
        The featurizer to transform; its numbers should have about the same size (see :class:`Standardize`).
    dimension
        Number of waves, at least 1.
    bandwidth
        Distance, in the block's numbers, beyond which two prompts hardly inform each other; above 0. None: set by
        :meth:`fit`.
    seed
        Seed of the waves, a whole number from 0 to 2^32 - 1.

    Raises
    ------
    InvalidConfigurationError
        If the block is not a featurizer or a number is out of range; on use, if there is no bandwidth.

    Examples
    --------
    >>> from banditroute.features import Complexity
    >>> waves = FourierFeatures(block=Complexity(), dimension=500).fit(["Hi.", "What is 2 + 2?", "def f(x): return x"])
    >>> waves.version
    'fourier:500:6.581:0(complexity-3)'
    >>> x = waves.transform([Request(text="Hi."), Request(text="What is 3 + 3?")])
    >>> e = Complexity().transform([Request(text="Hi."), Request(text="What is 3 + 3?")])
    >>> kernel = np.exp(-np.sum((e[0] - e[1]) ** 2) / (2.0 * waves.bandwidth**2))
    >>> bool(abs(x[0] @ x[1] / 500 - kernel) < 0.1)
    True
    """

    def __init__(
        self, *, block: Featurizer, dimension: int = 64, bandwidth: float | None = None, seed: int = 0
    ) -> None:
        super().__init__(block)
        whole(dimension, name="dimension", high=1_000_000, error=InvalidConfigurationError)
        whole(seed, name="seed", low=0, high=2**32 - 1, error=InvalidConfigurationError)
        if bandwidth is not None:
            number(bandwidth, name="bandwidth", low=1e-6, high=1e6, error=InvalidConfigurationError)
        self._bandwidth = bandwidth
        self._seed = seed
        draw = np.random.RandomState(seed)  # numpy guarantees the same numbers in all later versions
        self._directions = draw.normal(size=(block.dimension, dimension))
        self._phases = draw.uniform(0.0, 2.0 * np.pi, size=dimension)

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return len(self._phases)

    @property
    def bandwidth(self) -> float:
        """The bandwidth, as given or found by :meth:`fit`; pass it to the constructor to get the same features."""
        if self._bandwidth is None:
            raise InvalidConfigurationError(
                "FourierFeatures has no bandwidth; give one, or call fit(prompts) with a few hundred typical prompts"
            )
        return self._bandwidth

    @property
    def version(self) -> str:
        """An identifier of the settings, the bandwidth and the block."""
        return f"fourier:{self.dimension}:{self.bandwidth}:{self._seed}({self._block.version})"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per wave."""
        return self._numbered_names("fourier")

    def fit(self, prompts: Sequence[str]) -> FourierFeatures:
        """Set the bandwidth to the median distance of two prompts, to four digits, and return self.

        Parameters
        ----------
        prompts
            At least 2 prompts like those of the future traffic; the first 1,000 are used.

        Raises
        ------
        InvalidConfigurationError
            If there are too few prompts, or more than half of the pairs are equal; nothing is changed.
        """
        e = self._block.transform([Request(text=prompt) for prompt in prompts[:_MOST_PROMPTS_TO_FIT]])
        squares = np.square(e).sum(axis=1)
        apart = (squares[:, None] + squares - 2.0 * e @ e.T)[np.triu_indices(len(e), 1)]
        median = float(np.median(np.sqrt(np.maximum(apart, 0.0)))) if len(apart) else 0.0
        if median < 1e-6:
            raise InvalidConfigurationError(
                f"{len(e)} prompts have the median distance {median:g}; give at least 2 that differ, better hundreds"
            )
        self._bandwidth = float(f"{median:.4g}")
        return self

    def _map(self, row: Vector) -> Vector:
        waves: Vector = np.sqrt(2.0) * np.cos(row @ self._directions / self.bandwidth + self._phases)
        return waves
