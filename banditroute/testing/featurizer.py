"""The contract suite that every featurizer must pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.errors import InvalidRequestError
from banditroute.features.base import Featurizer, feature_blocks
from banditroute.features.generic import generic_prompts

_TEXTS = (
    "What is the capital of France?",
    "def f(x):\n    return {'a': x[0]}\n",
    "Which of these is a mammal?\nA. trout\nB. whale\nC. wasp\nAnswer:",
    "Solve 3x + 4 = 19 for x, then compute \\frac{x}{2}.",
)

_HOSTILE = {
    "empty": "",
    "white space": " \t\r\n\u2028\u3000",
    "one character": "a",
    "one megabyte": "lorem ipsum " * 87_382,
    "one word of one megabyte": "a" * 1_048_576,
    "lone surrogates": "\ud83d and \ude00 and \udfff",
    "surrogates in the wrong order": "\ude00\ud83d",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "zero bytes": "\x00" * 1000,
    "right to left": "\u202eמה בירת צרפת؟ ما هي عاصمة فرنسا؟",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🫠" * 50,
    "no spaces between words": "法国的首都是哪里？日本の首都はどこですか。",
    "stacked accents": "e" + "\u0301" * 500,
    "private and unassigned": "\ue000\U0010ffff\ufffe\ufeff",
    "binary as text": bytes(range(256)).decode("latin-1") * 20,
    "markup": "[CLS] [SEP] [UNK] [PAD] [MASK] </s> <|endoftext|> {{ }} %s %n",
}


_TYPICAL_PROMPTS = 64
_MEAN_SQUARE_RANGE = (0.3, 3.0)  # of a block over typical requests; priors expect about 1


def check_featurizer(featurizer: Featurizer, *, typical: Sequence[Request] | None = None) -> None:
    """Check that a featurizer keeps the contract of :class:`banditroute.features.Featurizer`.

    The suite checks these promises:

    - The dimension equals the number of names and the length of every vector.
    - Every entry is finite, also for hostile texts: empty, one megabyte long, with lone surrogates or control
      characters, right to left, emoji, binary data.
    - A batch equals its single calls to 1e-12, and repeated calls are equal to the bit.
    - Requests are not changed, and the caller may change each vector.
    - A request without text raises ``InvalidRequestError``.
    - The blocks cover all entries. The mean square of each block over typical requests is about 1 (0.3 to 3), as the
      priors of beliefs expect.

    Parameters
    ----------
    featurizer
        The featurizer, ready for use: fitted if necessary.
    typical
        Typical requests with the metadata that the featurizer reads. Default: 64 of the prompts of
        :func:`banditroute.features.generic_prompts`. An empty list skips the check of mean squares: use it for raw
        vectors that another block scales, such as those of :class:`banditroute.features.SentenceEmbedding`.

    Raises
    ------
    AssertionError
        If a promise is broken; the message names the first one, and the text that breaks it.

    Examples
    --------
    >>> from banditroute.features import Complexity
    >>> check_featurizer(Complexity())
    """
    _check_description(featurizer)
    texts = {**{text: text for text in _TEXTS}, **_HOSTILE}
    requests = [Request(text=text) for text in texts.values()]
    singles = []
    for name, request in zip(texts, requests, strict=True):
        try:
            single = featurizer.transform_one(request)
        except Exception as error:
            raise AssertionError(f"transform_one raised {error!r} for the text {name!r}") from error
        _check_vector(single, (featurizer.dimension,), f"transform_one of the text {name!r}")
        single = single.copy()
        again = featurizer.transform_one(request)
        assert np.array_equal(single, again), f"a second call gives another vector for the text {name!r}"
        again += 1.0
        assert np.array_equal(single, featurizer.transform_one(request)), (
            f"changing a returned vector changes what the next call returns for the text {name!r}; return a copy"
        )
        singles.append(single)
    _check_batch(featurizer, requests, singles)
    assert [request.text for request in requests] == list(texts.values()), "transform changed its requests"
    _check_refusal(featurizer)
    _check_blocks(featurizer, typical)


def _check_blocks(featurizer: Featurizer, typical: Sequence[Request] | None) -> None:
    """Check that the blocks cover all entries, and that each has a mean square of about 1."""
    blocks = feature_blocks(featurizer)
    columns = [block.columns for block in blocks]
    assert sum(columns) == featurizer.dimension, (
        f"the blocks have {columns} columns, which do not add up to the dimension {featurizer.dimension}"
    )
    if typical is None:
        prompts = generic_prompts()
        typical = [Request(text=text) for text in prompts[:: len(prompts) // _TYPICAL_PROMPTS]]
    if not typical:
        return
    ends = np.cumsum(columns)
    squares = np.square(featurizer.transform(typical)).mean(axis=0)
    for block, part in enumerate(np.split(squares, ends[:-1])):
        mean = float(part.mean())
        assert _MEAN_SQUARE_RANGE[0] <= mean <= _MEAN_SQUARE_RANGE[1], (
            f"block {block} ({featurizer.names[ends[block] - columns[block]]} ...) has the mean square {mean:.3g} over "
            f"typical requests, not about 1; scale its entries by {1.0 / np.sqrt(max(mean, 1e-300)):.3g}"
        )


def _check_description(featurizer: Featurizer) -> None:
    """Check that dimension, names and version are consistent."""
    assert isinstance(featurizer, Featurizer), f"{featurizer!r} lacks a member of the Featurizer protocol"
    dimension, names, version = featurizer.dimension, featurizer.names, featurizer.version
    assert isinstance(dimension, int), f"dimension is {dimension!r}, not a whole number"
    assert dimension > 0, f"dimension is {dimension}, not above 0"
    assert isinstance(names, tuple), f"names are a {type(names).__name__}, not a tuple"
    assert all(isinstance(name, str) and name for name in names), f"names are not all non-empty strings: {names}"
    assert len(names) == dimension, f"{len(names)} names for {dimension} entries"
    assert len(set(names)) == dimension, f"names are not unique: {names}"
    assert isinstance(version, str), f"version is {version!r}, not a string"
    assert version, "version is an empty string; give an identifier of the numbers' meaning"
    assert version == featurizer.version, "version changes between two reads"


def _check_vector(vector: Vector, shape: tuple[int, ...], what: str) -> None:
    assert isinstance(vector, np.ndarray), f"{what} is a {type(vector).__name__}, not an array"
    assert vector.dtype == np.float64, f"{what} is of {vector.dtype}, not float64"
    assert vector.shape == shape, f"{what} has the shape {vector.shape}, not {shape}"
    assert np.isfinite(vector).all(), f"{what} is not finite"


def _check_batch(featurizer: Featurizer, requests: Sequence[Request], singles: Sequence[Vector]) -> None:
    """Check that a batch equals its single calls, in any order and of any size."""
    dimension = featurizer.dimension
    for order in (slice(None), slice(None, None, -1), slice(1, 2), slice(0, 0)):
        part = list(requests[order])
        batch = featurizer.transform(part)
        _check_vector(batch, (len(part), dimension), f"transform of {len(part)} requests")
        for row, single, request in zip(batch, singles[order], part, strict=True):
            assert np.allclose(row, single, rtol=0.0, atol=1e-12), (
                f"batch and single call differ by {np.abs(row - single).max():g} for {(request.text or '')[:40]!r}"
            )


def _check_refusal(featurizer: Featurizer) -> None:
    """Check that a request without text is refused, alone and within a batch."""
    ready = Request(features=np.zeros(3))
    calls: dict[str, Callable[[], Vector]] = {
        "transform_one": lambda: featurizer.transform_one(ready),
        "transform": lambda: featurizer.transform([Request(text="text"), ready]),
    }
    for what, call in calls.items():
        try:
            call()
        except InvalidRequestError:
            continue
        except Exception as error:
            raise AssertionError(
                f"{what} raised {error!r} for a request without text; raise InvalidRequestError"
            ) from error
        raise AssertionError(f"{what} took a request without text; raise InvalidRequestError")
