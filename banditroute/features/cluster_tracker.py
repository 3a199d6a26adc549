"""Clusters that follow the traffic: a new topic takes over the cluster of a topic that no longer comes."""

from __future__ import annotations

import dataclasses
from os import PathLike
from threading import Lock, RLock

import numpy as np
from numpy.typing import NDArray

from banditroute.core.forking import hold_while_forking
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._kmeans import follow, in_old_rows, squared_distances
from banditroute.features.cluster import SOFTNESS, Codebook, cluster_space

WINDOW = 4096
"""Number of remembered prompts. Their clustering features in single precision take 1.4 MB."""

STAYING = 20.0
"""Number of prompts that a cluster's old centre counts as."""

MARGIN = 2.0
"""A split must save this many times the cost of the merger that makes room for it."""


class ClusterTracker:
    """A tracker that observes prompts, and on request fits the clusters of :class:`SemanticCluster` to them.

    If the codebook moved with every prompt, the same text would give another vector next week, and what a router has
    learned from the vectors would become wrong. So the clusters move only in :meth:`refit`, which returns a new
    codebook. A :class:`SemanticCluster` of the new codebook has another version. A router opened with it starts another
    epoch. The user decides when.

    ``refit`` keeps the number of clusters and fits them to the latest 4,096 prompts since the last refit. Every old
    centre counts as 20 prompts. Centres move to the mean of the points nearest to them. One cluster is split and two
    others are merged if that saves more than twice its cost, in the sum of squared distances to the nearest centre. So
    two clusters of the same prompts, or one of a topic that no longer comes, make room for a new or growing topic. A
    cluster that contains old centres keeps the id of the nearest one; another cluster gets an id that was never used.
    The temperature follows the distances.

    The tracker remembers the 85 numbers of a prompt that it is clustered by, not its text. It is safe to use from many
    threads.

    Parameters
    ----------
    codebook
        The clusters at the start. Default: the shipped ones.

    Raises
    ------
    InvalidConfigurationError
        If ``codebook`` is not a Codebook.

    Examples
    --------
    >>> tracker = ClusterTracker()
    >>> for row in range(200):
    ...     tracker.observe(f"Set cell B{row} of the worksheet to the average of column {row % 9}.")
    >>> before, after = Codebook.shipped(), tracker.refit()
    >>> len(after.centres) == len(before.centres), len(set(after.ids) - set(before.ids)) > 0
    (True, True)
    """

    def __init__(self, *, codebook: Codebook | None = None) -> None:
        if codebook is not None and not isinstance(codebook, Codebook):
            raise InvalidConfigurationError(f"codebook is {codebook!r}; give a Codebook, such as Codebook.load(path)")
        self._codebook = codebook or Codebook.shipped()
        self._next_id = int(self._codebook.ids.max()) + 1
        self._space = cluster_space()
        self._window = np.empty((WINDOW, self._space.dimension), dtype=np.float32)
        self._seen = 0
        self._lock = RLock()
        self._refitting = Lock()  # a second lock: a refit takes up to a second, and observe() must not wait for it
        hold_while_forking(self, "_refitting", "_lock")

    @property
    def codebook(self) -> Codebook:
        """The codebook of the last :meth:`refit`, or the first one."""
        return self._codebook

    def observe(self, text: str) -> None:
        """Remember the clustering features of a prompt.

        Raises
        ------
        InvalidRequestError
            If ``text`` is not a string.
        """
        s = self._space.transform_one(Request(text=text))
        with self._lock:
            self._window[self._seen % WINDOW] = (s - self._codebook.centre) / self._codebook.scale
            self._seen += 1

    def refit(self) -> Codebook:
        """Fit the clusters to the prompts since the last call, and return the new codebook.

        A running router keeps its old codebook. Give the new one to the features of the next router.
        """
        with self._refitting:
            with self._lock:
                old, k = self._codebook, len(self._codebook.centres)
                points = np.vstack([old.centres, self._remembered()])
                self._seen = 0
            if len(points) == k:
                return old
            weights = np.repeat([STAYING, 1.0], [k, len(points) - k])
            centres, new = in_old_rows(follow(points, weights, old.centres, margin=MARGIN), old.centres)
            ids = old.ids.copy()
            ids[new] = self._next_id + np.arange(new.sum())
            inertia = SOFTNESS * squared_distances(points[k:], centres).min(axis=1).sum()
            temperature = float((STAYING * k * old.temperature + inertia) / weights.sum())
            fitted = dataclasses.replace(old, centres=centres, ids=ids, temperature=temperature)
            with self._lock:
                self._codebook, self._next_id = fitted, self._next_id + int(new.sum())
            return fitted

    def save(self, path: str | PathLike[str]) -> None:
        """Write the codebook and the features of the prompts since the last refit, as a file of plain arrays.

        Raises
        ------
        OSError
            If the file cannot be written; an older file stays complete.
        """
        with self._refitting, self._lock:
            own = {"next_id": np.array(self._next_id), "seen": np.array(self._seen), "window": self._remembered()}
            arrays = {**self._codebook.arrays(), **own}
        _state.save(path, owner=_owner(), arrays=arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ClusterTracker:
        """Read a tracker that :meth:`save` wrote; it continues as if there had been no restart.

        Raises
        ------
        OSError
            If the file cannot be read.
        InvalidConfigurationError
            If the file is not a tracker, or was saved with another version of the features.
        """
        names = [field.name for field in dataclasses.fields(Codebook)]
        arrays = _state.load(path, owner=_owner(), names=[*names, "next_id", "seen", "window"])
        made = cls(codebook=Codebook.of(arrays))
        made._next_id, made._seen = int(arrays["next_id"]), int(arrays["seen"])
        made._window[: len(arrays["window"])] = arrays["window"]
        return made

    def _remembered(self) -> NDArray[np.float32]:
        """Return a copy of the rows of the window that hold a prompt."""
        return self._window[: self._seen].copy()


def _owner() -> str:
    return f"ClusterTracker over {cluster_space().version}"
