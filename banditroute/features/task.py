"""What kind of task a prompt sets: calibrated probabilities over task types."""

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
"""Text -> one probability per type ``(C,)``."""

_PRECISIONS = (3.0, 10.0, 30.0, 100.0, 300.0)
_FOLDS = 5


class TaskType:
    """The probability that a prompt is of each task type, by a small classifier: shipped, yours, or fitted to examples.

    ``p = softmax(z W + b)`` over ``z``, the 64 directions of :class:`StaticEmbedding` and the 21 numbers of
    :class:`Complexity`. ``TaskType()`` takes the shipped ``W``: a multinomial logistic regression on the prompts of
    openly licensed routing data, whose temperature was fitted on data sets that were left out [1]_. Its types are those
    for which there was training data: see :attr:`types`. There was none for translation, summary, extraction, chat,
    code reading and free writing, and prompts of these kinds get the probabilities of whatever they look like. How it
    was made, what it reaches on data sets that it has not seen, and the licences lie beside it in ``data/task_type``.

    :meth:`fit` replaces types and weights by your own, from a few prompts of each; ``classifier`` replaces all.

    Parameters
    ----------
    classifier
        Your own: a function of a text that returns the probability of each of ``types``, in their order.
    types
        With ``classifier``: the names of its types, at least two.
    label
        With ``classifier``: names it in ``version``; change it when it changes.

    Raises
    ------
    InvalidConfigurationError
        For a classifier without types or label, or these without a classifier; on use, where the classifier returns
        anything but as many probabilities.

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
        """A classifier of your own types, from a few prompts of each.

        A multinomial logistic regression in which every type weighs the same, with a Gaussian prior whose precision has
        the least log loss in cross-validation over five folds. A few examples give cautious probabilities.

        Parameters
        ----------
        examples
            Type -> prompts of that type; at least two types, and two prompts of each. Some ten of each do well.

        Raises
        ------
        InvalidConfigurationError
            For fewer, and for anything but strings.
        """
        if not isinstance(examples, Mapping):
            raise InvalidConfigurationError(f"examples is {type(examples).__name__}; give a mapping: type -> prompts")
        types = _check_types(list(examples))
        for name, prompts in examples.items():
            if isinstance(prompts, str) or not isinstance(prompts, Sequence) or len(prompts) < 2:
                raise InvalidConfigurationError(f"type {name!r} has the examples {prompts!r}; give at least 2 prompts")
            if not all(isinstance(prompt, str) for prompt in prompts):
                raise InvalidConfigurationError(f"type {name!r} has examples that are no strings; give prompts")
        x = _inputs().transform([Request(text=prompt) for prompts in examples.values() for prompt in prompts])
        counts = [len(prompts) for prompts in examples.values()]
        y = np.repeat(np.arange(len(types)), counts)
        folds = np.concatenate([np.arange(count) % _FOLDS for count in counts])
        weights = len(y) / len(types) / np.array(counts, dtype=np.float64)[y]
        return cls.of(types, _cross_validated(x, np.eye(len(types))[y], weights, folds))

    @classmethod
    def of(cls, types: Sequence[str], weights: Vector) -> TaskType:
        """The classifier with these weights: slopes and, as the last row, intercepts ``(86, C)``."""
        made = cls()
        checked = _check_types(types)
        if weights.shape != (_inputs().dimension + 1, len(checked)) or not np.isfinite(weights).all():
            raise InvalidConfigurationError(f"weights have the shape {weights.shape} or are not finite; fit them anew")
        made._types, made._weights = checked, weights.astype(np.float64)
        return made

    def save(self, path: str | PathLike[str]) -> None:
        """Write types and weights, as a file of plain arrays.

        Raises
        ------
        InvalidConfigurationError
            For a classifier of your own, which only you can save.
        OSError
            If the file cannot be written; an older one is then still whole.
        """
        if self._classifier is not None:
            raise InvalidConfigurationError("a classifier function cannot be saved; give it again when you restart")
        types, weights = self._model()
        _state.save(path, owner=_owner(), arrays={"types": np.array(types), "weights": weights})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TaskType:
        """What :meth:`save` wrote, with the version that it had.

        Raises
        ------
        InvalidConfigurationError
            For any other file, and for one whose inputs were another version of the shipped features.
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
        """Length of the vector: how many types there are."""
        return len(self.types)

    @property
    def version(self) -> str:
        """Names the classifier by what was fitted, or by its label."""
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
        """Types and weights; the shipped ones, read at the first use, unless others were fitted."""
        if self._types is None or self._weights is None:
            with as_file(files("banditroute.features") / "data" / "task_type" / "weights.npz") as path:
                shipped = TaskType.load(path)
            self._weights, self._types = shipped._weights, shipped._types
        assert self._types is not None
        assert self._weights is not None
        return self._types, self._weights


_INPUTS: Compose | None = None


def _inputs() -> Compose:
    """What every classifier of this file reads."""
    global _INPUTS
    if _INPUTS is None:
        _INPUTS = Compose(blocks=[StaticEmbedding(dimension=MAXIMUM), Complexity()])
    return _INPUTS


def _owner() -> str:
    return f"TaskType over {_inputs().version}"


def _cross_validated(x: Vector, classes: Vector, weights: Vector, folds: NDArray[np.integer]) -> Vector:
    """The fit with the precision of the least log loss on held-out folds."""
    losses = []
    for precision in _PRECISIONS:
        loss = 0.0
        for fold in np.unique(folds):
            held = folds == fold
            found = fit_softmax(x[~held], classes[~held], weights[~held], precision=precision)
            likelihoods = (softmax(x[held] @ found[:-1] + found[-1]) * classes[held]).sum(axis=1)
            loss -= float(weights[held] @ np.log(np.maximum(likelihoods, 1e-300)))
        losses.append(loss)
    return fit_softmax(x, classes, weights, precision=_PRECISIONS[int(np.argmin(losses))])


def _check_types(types: Sequence[str]) -> tuple[str, ...]:
    """Names of types: at least two, each once."""
    if isinstance(types, str) or not isinstance(types, Sequence):
        raise InvalidConfigurationError(f"types is {types!r}; give a list of names")
    checked = tuple(check_label(name, name="a task type", error=InvalidConfigurationError) for name in types)
    if len(set(checked)) != len(checked) or len(checked) < 2:
        raise InvalidConfigurationError(f"the task types are {list(checked)}; give at least two, each once")
    return checked


def _probabilities(given: ArrayLike, count: int) -> Vector:
    """What a user's classifier returned, if it is ``count`` probabilities."""
    try:
        found = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidConfigurationError("the task classifier returned no array of numbers") from error
    if found.shape != (count,) or not (found >= 0.0).all() or not abs(found.sum() - 1.0) <= 1e-3:
        raise InvalidConfigurationError(
            f"the task classifier returned {found!r}; it must return {count} probabilities that sum to 1"
        )
    result: Vector = found / found.sum()
    return result
