"""Centre and scale another featurizer's numbers, with constants fitted once on typical prompts."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._block import BlockFeaturizer
from banditroute.features._whitening import whitening
from banditroute.features.base import Featurizer

_LARGEST_ENTRY = 4.0  # in standard deviations


class Standardize(BlockFeaturizer):
    """A block's numbers at mean 0 and variance 1, or their projection on fewer such directions.

    The features are ``x = clip((e - mean) P, -4, 4)`` over the block's ``e (d,)``. Without ``dimension``, ``P`` is
    diagonal and divides every entry by its standard deviation; an entry that was equal in all prompts is only centred.
    With ``dimension``, ``P`` projects on that many principal directions, each scaled to unit variance. Priors of
    beliefs assume numbers of about unit variance.

    Call :meth:`fit` once, before the first request. The result does not change with the traffic: another scale would
    change the meaning of every number that a belief has learned from. A new fit has a new version.

    Parameters
    ----------
    block
        The featurizer to standardise, ready for use.
    dimension
        Number of principal directions, at least 1; None keeps every entry of the block.

    Raises
    ------
    InvalidConfigurationError
        If the block is not a featurizer or the dimension is unusable; on use, if :meth:`fit` was not called.

    Examples
    --------
    >>> from banditroute.features import Complexity
    >>> prompts = ["Hi.", "What is 2 + 2?", "def f(x): return x", "Write a long poem about an autumn in Rome."]
    >>> standard = Standardize(block=Complexity()).fit(prompts)
    >>> x = standard.transform([Request(text=prompt) for prompt in prompts])
    >>> bool(np.allclose(x.mean(axis=0), 0.0)), bool(np.allclose(x[:, 0].std(), 1.0))
    (True, True)
    """

    def __init__(self, *, block: Featurizer, dimension: int | None = None) -> None:
        super().__init__(block)
        if dimension is not None:
            whole(dimension, name="dimension", high=block.dimension, error=InvalidConfigurationError)
        self._dimension = dimension
        self._state: tuple[Vector, Vector] | None = None

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return self._dimension or self._block.dimension

    @property
    def version(self) -> str:
        """An identifier of the block and of the fitted numbers."""
        size = "" if self._dimension is None else f":{self._dimension}"
        return f"standardize{size}:{_state.digest(*self._fitted())}({self._block.version})"

    @property
    def names(self) -> tuple[str, ...]:
        """The block's names, or one name per principal direction."""
        return self._block.names if self._dimension is None else self._numbered_names("principal")

    def fit(self, prompts: Sequence[str]) -> Standardize:
        """Fit mean and scale, and return self.

        Parameters
        ----------
        prompts
            Prompts like those of the future traffic: at least 2 and more than ``dimension``; a few hundred suffice.

        Raises
        ------
        InvalidConfigurationError
            If there are too few prompts, or they vary in fewer than ``dimension`` directions; nothing is changed.
        """
        return self.fit_rows(self._block.transform([Request(text=prompt) for prompt in prompts]))

    def fit_rows(self, rows: Vector) -> Standardize:
        """Fit mean and scale on the block's numbers for the prompts ``(n, d)``, and return self."""
        if len(rows) < 2:
            raise InvalidConfigurationError(f"got {len(rows)} prompts; give at least 2, better a few hundred")
        if self._dimension is None:
            std = rows.std(axis=0)
            varies = std > 1e-9 * (1.0 + np.abs(rows).max(axis=0))
            self._state = (rows.mean(axis=0), 1.0 / np.where(varies, std, 1.0))
        else:
            self._state = whitening(rows, self._dimension)
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted numbers as a file of plain arrays; the file does not hold the block itself.

        Raises
        ------
        InvalidConfigurationError
            If nothing was fitted.
        OSError
            If the file cannot be written; an older file stays complete.
        """
        mean, projection = self._fitted()
        _state.save(path, owner=self._owner, arrays={"mean": mean, "projection": projection})

    def load(self, path: str | PathLike[str]) -> Standardize:
        """Read what :meth:`save` wrote instead of fitting, and return self; the version is the saved one.

        Raises
        ------
        InvalidConfigurationError
            If the file was not saved by Standardize with this block and dimension; nothing is changed.
        OSError
            If the file cannot be read.
        """
        arrays = _state.load(path, owner=self._owner, names=("mean", "projection"))
        self._state = (arrays["mean"], arrays["projection"])
        return self

    def _map(self, row: Vector) -> Vector:
        mean, projection = self._fitted()
        centred = row - mean
        scaled = centred * projection if self._dimension is None else centred @ projection
        result: Vector = np.clip(scaled, -_LARGEST_ENTRY, _LARGEST_ENTRY)
        return result

    @property
    def _owner(self) -> str:
        """A description of the object that a saved fit belongs to."""
        return f"Standardize(block={self._block.version!r}, dimension={self._dimension})"

    def _fitted(self) -> tuple[Vector, Vector]:
        """Return the mean ``(d,)`` and scales ``(d,)`` or projection ``(d, dimension)``; raise without a fit."""
        if self._state is None:
            raise InvalidConfigurationError(
                "Standardize is not fitted; call fit(prompts) with a few hundred typical prompts, or load(path) with a "
                "saved fit"
            )
        return self._state
