"""Profiles of arms: what to expect of an arm in every task and cluster, from prompts on which it was evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import number, shown
from banditroute.errors import InvalidFeedbackError, InvalidRequestError
from banditroute.features.base import Featurizer, feature_blocks, vocabularies

_PRIOR_RESULTS = 4.0  # that say an entry is like the average
_FEWEST_RESULTS = 3.0  # of an entry, or the profile does not mention it


def profile(
    arm: Arm | str, results: Iterable[tuple[str | Request, Mapping[str, float]]], *, features: Featurizer
) -> Arm:
    """Return an arm with a profile: what to expect of it at each entry of its features, from evaluated prompts.

    The profile holds the entries of blocks whose entries are shares of a request, such as declared categories,
    :class:`~banditroute.features.TaskType` and :class:`~banditroute.features.SemanticCluster`. One ridge regression on
    all of them draws an entry with few results to the average. The average of all results becomes ``expected``.

    Parameters
    ----------
    arm
        The arm, or its name.
    results
        Pairs of a prompt or request and its outcomes, such as ``("What is 2 + 2?", {"quality": 1.0})``. Some 100 to 400
        are enough: a profile counts as 16 outcomes of each entry, however many results it is made from.
    features
        The features of the router that the arm is for; ``router.features`` if they hold a vocabulary.

    Raises
    ------
    InvalidFeedbackError
        If there is no result, or an outcome is not a finite number.
    InvalidRequestError
        If a result is not such a pair, the features refuse its request, or they hold a vocabulary of no router.

    Examples
    --------
    >>> from banditroute.features import Metadata
    >>> task = Metadata(categorical={"task": ["math", "code"]})
    >>> results = [
    ...     (Request(text="a prompt", metadata={"task": name}), {"quality": quality})
    ...     for name, quality in (("math", 1.0), ("code", 0.0))
    ...     for _ in range(100)
    ... ]
    >>> made = profile("new", results, features=task)
    >>> {name: round(value, 2) for name, value in made.profile["quality"].items()}
    {'metadata.task.math': 0.98, 'metadata.task.code': 0.02}
    >>> made.expected
    {'quality': 0.5}
    """
    if not all(known.shared for known in vocabularies(features)):
        raise InvalidRequestError("the columns of a Vocabulary belong to a router; give features=router.features")
    requests, outcomes = _checked(results)
    x = features.transform(requests)
    start = 0
    shares: list[Vector] = []
    names: list[str] = []
    for block in feature_blocks(features):
        entries = x[:, start : start + block.columns]
        start += block.columns
        if (entries >= 0.0).all() and np.allclose(np.square(entries).sum(axis=1), block.columns):
            shares.append(entries / np.sqrt(block.columns))
            names += block.names
    entries = np.hstack(shares) if shares else np.zeros((len(x), 0))
    profiles, averages = {}, {}
    for objective in sorted({name for each in outcomes for name in each}):
        rows = [i for i, each in enumerate(outcomes) if objective in each]
        y = np.array([outcomes[i][objective] for i in rows])
        averages[objective] = float(y.mean())
        found = _expected(entries[rows], y)
        if len(found):
            profiles[objective] = {names[column]: value for column, value in found.items()}
    arm = arm if isinstance(arm, Arm) else Arm(name=arm)
    return replace(arm, expected={**arm.expected, **averages}, profile={**arm.profile, **profiles})


def _expected(entries: Vector, y: Vector) -> dict[int, float]:
    """Return what to expect at each column of ``entries (n, q)`` that differs and has results, from ``y (n,)``."""
    average = float(y.mean())
    of_prior = _PRIOR_RESULTS * np.eye(entries.shape[1])
    effects = np.linalg.solve(entries.T @ entries + of_prior, entries.T @ (y - average))
    distinct = (np.square(entries).sum(axis=0) >= _FEWEST_RESULTS) & (np.ptp(entries, axis=0) > 0.0)
    return {int(column): average + float(effects[column]) for column in np.flatnonzero(distinct)}


def _checked(results: object) -> tuple[list[Request], list[dict[str, float]]]:
    """Return the requests and the outcomes of results, or raise."""
    if isinstance(results, str | Mapping) or not isinstance(results, Iterable):
        raise InvalidRequestError(
            f"results is {shown(results)}; give pairs such as ('What is 2 + 2?', {{'quality': 1.0}})"
        )
    requests, outcomes = [], []
    for i, row in enumerate(results):
        if not isinstance(row, tuple | list) or len(row) != 2 or not isinstance(row[1], Mapping):
            raise InvalidRequestError(
                f"result {i} is {shown(row)}; give a pair of a prompt or Request, and its outcomes"
            )
        request, values = row
        if not isinstance(request, str | Request):
            raise InvalidRequestError(f"result {i} has the request {shown(request)}; give a text or a Request")
        requests.append(Request(text=request) if isinstance(request, str) else request)
        outcomes.append(
            {
                name: number(value, name=f"{name} of result {i}", error=InvalidFeedbackError)
                for name, value in values.items()
            }
        )
    if not any(outcomes):
        raise InvalidFeedbackError("the results have no outcome; give at least one, such as {'quality': 1.0}")
    return requests, outcomes
