"""Clusters that follow the traffic: new topics get one, topics that have gone give theirs up."""

from __future__ import annotations

import dataclasses
from os import PathLike
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._kmeans import follow, in_old_rows, squared_distances
from banditroute.features.cluster import SOFTNESS, Codebook, cluster_space

WINDOW = 4096
"""How many prompts are remembered, each as the numbers that it is clustered by in single precision: 1.4 MB in all."""

STAYING = 20.0
"""How many prompts a cluster's old centre counts as."""

MARGIN = 2.0
"""How many times as much a split must save as the merger costs that makes room for it."""


class ClusterTracker:
    """Watches prompts go by, and fits the clusters of :class:`SemanticCluster` to them when it is asked to.

    A codebook that moved with every prompt would change what a router's features mean under what it has learned from
    them: the same text would give another vector next week. So the clusters move only in :meth:`refit`, which gives a
    new codebook. A :class:`SemanticCluster` made with it has another version, a router opened with that begins
    another epoch, and both are the user's choice.

    ``refit`` makes a number of clusters that never changes fit the latest 4,096 prompts since the last one, in which
    every old centre counts as 20 prompts at its place. Centres move to the mean of what is nearest to them. Where to
    split one cluster and merge two others saves more than twice what it costs, in the sum of squared distances to the
    nearest centre, that is done: so two clusters of the same prompts, or one of a topic that no longer comes, make room
    for a topic that has appeared or grown. A cluster in which old centres lie goes on under the id of the nearest of
    them; one in which none lies gets an id never used before. The temperature follows the distances likewise.

    What is remembered of a prompt are the 85 numbers that it is clustered by, not its text. Safe to use from many
    threads.

    Parameters
    ----------
    codebook
        Where the clusters are at first. Default: the shipped ones.

    Raises
    ------
    InvalidConfigurationError
        For what is no codebook.

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
        self._lock = Lock()
        self._refitting = Lock()  # apart, as a refit takes a good part of a second and observe() must not wait for it

    @property
    def codebook(self) -> Codebook:
        """Where the clusters were after the last :meth:`refit`."""
        return self._codebook

    def observe(self, text: str) -> None:
        """Take note of a prompt.

        Raises
        ------
        InvalidRequestError
            For anything but a string.
        """
        s = self._space.transform_one(Request(text=text))
        with self._lock:
            self._window[self._seen % WINDOW] = (s - self._codebook.centre) / self._codebook.scale
            self._seen += 1

    def refit(self) -> Codebook:
        """Move the clusters to the prompts since the last call, and return where they are now.

        A router that is running does not notice: give the codebook to the features of the next one.
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
        """Write the codebook and what is remembered of the prompts since, as a file of plain arrays.

        Raises
        ------
        OSError
            If the file cannot be written; an older one is then still whole.
        """
        with self._refitting, self._lock:
            own = {"next_id": np.array(self._next_id), "seen": np.array(self._seen), "window": self._remembered()}
            arrays = {**self._codebook.arrays(), **own}
        _state.save(path, owner=_owner(), arrays=arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ClusterTracker:
        """Read what :meth:`save` wrote: a tracker that goes on as if there had been no restart.

        Raises
        ------
        OSError
            If the file cannot be read.
        InvalidConfigurationError
            For any other file, and for one that was saved under another version of the features.
        """
        names = [field.name for field in dataclasses.fields(Codebook)]
        arrays = _state.load(path, owner=_owner(), names=[*names, "next_id", "seen", "window"])
        made = cls(codebook=Codebook.of(arrays))
        made._next_id, made._seen = int(arrays["next_id"]), int(arrays["seen"])
        made._window[: len(arrays["window"])] = arrays["window"]
        return made

    def _remembered(self) -> NDArray[np.float32]:
        """The rows of the window that hold a prompt, as a copy."""
        return self._window[: self._seen].copy()


def _owner() -> str:
    return f"ClusterTracker over {cluster_space().version}"
