"""Classify the task of a prompt: calibrated probabilities of task types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from os import PathLike
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import label as check_label
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._softmax import fit_softmax, softmax
from banditroute.features._text import excerpt, stack
from banditroute.features.categories import root_shares
from banditroute.features.complexity import Complexity
from banditroute.features.compose import Compose
from banditroute.features.static_embedding import MAXIMUM, StaticEmbedding

Classify: TypeAlias = Callable[[str], ArrayLike]
"""A function from a text to one probability per type ``(C,)``."""

_PRIOR_PRECISIONS = (3.0, 10.0, 30.0, 100.0, 300.0)  # of the slopes; cross-validation chooses one
_FOLDS = 5


class TaskType:
    """The probability of each task type, by a small classifier: the shipped one, your own, or one fitted to examples.

    The shipped classifier is ``p = softmax(z W + b)``. The inputs ``z`` are the 64 directions of
    :class:`StaticEmbedding` and the 21 numbers of :class:`Complexity`. ``W`` is a multinomial logistic regression on
    the prompts of openly licensed routing data. Its temperature was fitted on held-out data sets [1]_. :attr:`types`
    lists its types. The training data had no translation, summary, extraction, chat, code reading or free writing;
    prompts of these kinds get the probabilities of the types they resemble most. The files in ``data/task_type`` say
    how it was made, how accurate it is on unseen data sets, and which licences apply.

    :meth:`fit` learns your own types from a few prompts of each. ``classifier`` replaces the whole classifier.

    Parameters
    ----------
    classifier
        Your own function from a text to the probabilities of ``types``, in their order.
    types
        Names of the classifier's types, at least two. Give them only with ``classifier``.
    label
        Name of the classifier in ``version``; change it when the classifier changes. Give it only with ``classifier``.

    Raises
    ------
    InvalidConfigurationError
        If a classifier comes without types or label, or these without a classifier. On use, if the classifier does not
        return one probability per type.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", ICML.

    Examples
    --------
    >>> task = TaskType()
    >>> p = task.transform_one(Request(text="Write a function that reverses the words of a string."))
    >>> task.types[p.argmax()]
    'code_writing'
    >>> mine = TaskType.fit({"greeting": ["Hi there", "Good morning"], "sum": ["What is 2 + 2?", "Add 17 and 4"]})
    >>> mine.names
    ('task.greeting', 'task.sum')
    """

    def __init__(
        self,
        *,
        classifier: Classify | None = None,
        types: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        if (classifier is None) != (types is None) or (classifier is None) != (label is None):
            raise InvalidConfigurationError(
                "a classifier of your own needs types=[...] and label='...', and these need a classifier; "
                "TaskType.fit(examples) makes one from prompts"
            )
        if classifier is not None and not callable(classifier):
            raise InvalidConfigurationError(f"classifier is {classifier!r}; give a function of a text")
        self._classifier = classifier
        self._label = None if label is None else check_label(label, name="label", error=InvalidConfigurationError)
        self._types = None if types is None else _check_types(types)
        self._weights: Vector | None = None

    @classmethod
    def fit(cls, examples: Mapping[str, Sequence[str]]) -> TaskType:
        """Fit a classifier of your own types to a few prompts of each.

        The classifier is a multinomial logistic regression with equal weight for every type. Cross-validation over five
        folds chooses the precision of its Gaussian prior by log loss. Few examples give cautious probabilities.

        Parameters
        ----------
        examples
            Type -> prompts of that type; at least two types with two prompts each. About ten of each are enough.

        Raises
        ------
        InvalidConfigurationError
            If there are fewer types or prompts, or a prompt is not a string.
        """
        if not isinstance(examples, Mapping):
            raise InvalidConfigurationError(f"examples is {type(examples).__name__}; give a mapping: type -> prompts")
        types = _check_types(list(examples))
        for name, prompts in examples.items():
            if isinstance(prompts, str) or not isinstance(prompts, Sequence) or len(prompts) < 2:
                raise InvalidConfigurationError(f"type {name!r} has the examples {prompts!r}; give at least 2 prompts")
            if not all(isinstance(prompt, str) for prompt in prompts):
                raise InvalidConfigurationError(f"type {name!r} has examples that are not strings; give prompts")
        x = _inputs().transform([Request(text=prompt) for prompts in examples.values() for prompt in prompts])
        counts = [len(prompts) for prompts in examples.values()]
        y = np.repeat(np.arange(len(types)), counts)
        folds = np.concatenate([np.arange(count) % _FOLDS for count in counts])
        weights = len(y) / len(types) / np.array(counts, dtype=np.float64)[y]
        return cls.of(types, _cross_validated(x, np.eye(len(types))[y], weights, folds))

    @classmethod
    def of(cls, types: Sequence[str], weights: Vector) -> TaskType:
        """Return the classifier with these weights: slopes and, as the last row, intercepts ``(86, C)``."""
        made = cls()
        checked = _check_types(types)
        if weights.shape != (_inputs().dimension + 1, len(checked)) or not np.isfinite(weights).all():
            raise InvalidConfigurationError(f"weights have the shape {weights.shape} or are not finite; fit them again")
        made._types, made._weights = checked, weights.astype(np.float64)
        return made

    def save(self, path: str | PathLike[str]) -> None:
        """Write types and weights as a file of plain arrays.

        Raises
        ------
        InvalidConfigurationError
            If the classifier is a function of your own.
        OSError
            If the file cannot be written; an older file stays complete.
        """
        if self._classifier is not None:
            raise InvalidConfigurationError("a classifier function cannot be saved; give it again when you restart")
        types, weights = self._model()
        _state.save(path, owner=_owner(), arrays={"types": np.array(types), "weights": weights})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TaskType:
        """Read a classifier that :meth:`save` wrote; its version is the saved one.

        Raises
        ------
        InvalidConfigurationError
            If the file is not a classifier, or was fitted on another version of the shipped features.
        OSError
            If the file cannot be read.
        """
        arrays = _state.load(path, owner=_owner(), names=("types", "weights"))
        return cls.of(arrays["types"].tolist(), arrays["weights"].astype(np.float64))

    @property
    def types(self) -> tuple[str, ...]:
        """The task types, in the order of the vector."""
        return self._types if self._types is not None else self._model()[0]

    @property
    def dimension(self) -> int:
        """Length of the vector: the number of types."""
        return len(self.types)

    @property
    def version(self) -> str:
        """An identifier of the fitted weights, or of your classifier's label."""
        if self._classifier is not None:
            return f"task-2:{self._label}:{_state.digest(np.array(self.types))}"
        types, weights = self._model()
        return f"task-2:{_state.digest(np.array(types), weights)}({_inputs().version})"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per type."""
        return tuple(f"task.{name}" for name in self.types)

    def transform_one(self, request: Request) -> Vector:
        """Return ``sqrt(C p)`` for the probability of each type ``(C,)``: squares sum to C, so the mean square is 1.

        Raises
        ------
        InvalidRequestError
            If the request has no text.
        """
        if self._classifier is not None:
            return root_shares(_probabilities(self._classifier(excerpt(request)), len(self.types)))
        _, weights = self._model()
        return root_shares(softmax(_inputs().transform_one(request) @ weights[:-1] + weights[-1]))

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, C)``."""
        return stack(self, requests)

    def _model(self) -> tuple[tuple[str, ...], Vector]:
        """Return the fitted types and weights, or the shipped ones, which are read at the first use."""
        if self._types is None or self._weights is None:
            with as_file(files("banditroute.features") / "data" / "task_type" / "weights.npz") as path:
                shipped = TaskType.load(path)
            self._weights, self._types = shipped._weights, shipped._types
        assert self._types is not None
        assert self._weights is not None
        return self._types, self._weights


_INPUTS: Compose | None = None


def _inputs() -> Compose:
    """Return the features that every fitted classifier reads."""
    global _INPUTS
    if _INPUTS is None:
        _INPUTS = Compose(blocks=[StaticEmbedding(dimension=MAXIMUM), Complexity()])
    return _INPUTS


def _owner() -> str:
    return f"TaskType over {_inputs().version}"


def _cross_validated(x: Vector, classes: Vector, weights: Vector, folds: NDArray[np.integer]) -> Vector:
    """Fit with the precision that has the least log loss on held-out folds."""
    losses = []
    for precision in _PRIOR_PRECISIONS:
        loss = 0.0
        for fold in np.unique(folds):
            held = folds == fold
            found = fit_softmax(x[~held], classes[~held], weights[~held], precision=precision)
            likelihoods = (softmax(x[held] @ found[:-1] + found[-1]) * classes[held]).sum(axis=1)
            loss -= float(weights[held] @ np.log(np.maximum(likelihoods, 1e-300)))
        losses.append(loss)
    return fit_softmax(x, classes, weights, precision=_PRIOR_PRECISIONS[int(np.argmin(losses))])


def _check_types(types: Sequence[str]) -> tuple[str, ...]:
    """Return the names of types; raise unless there are at least two distinct ones."""
    if isinstance(types, str) or not isinstance(types, Sequence):
        raise InvalidConfigurationError(f"types is {types!r}; give a list of names")
    checked = tuple(check_label(name, name="a task type", error=InvalidConfigurationError) for name in types)
    if len(set(checked)) != len(checked) or len(checked) < 2:
        raise InvalidConfigurationError(f"the task types are {list(checked)}; give at least two, each once")
    return checked


def _probabilities(given: ArrayLike, count: int) -> Vector:
    """Return a classifier's answer as an array; raise if it is not ``count`` probabilities."""
    try:
        found = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidConfigurationError("the task classifier did not return an array of numbers") from error
    if found.shape != (count,) or not (found >= 0.0).all() or not abs(found.sum() - 1.0) <= 1e-3:
        raise InvalidConfigurationError(
            f"the task classifier returned {found!r}; it must return {count} probabilities that sum to 1"
        )
    result: Vector = found / found.sum()
    return result
