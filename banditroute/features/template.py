"""The call site of a prompt in the application: its name, or the constant words at the ends of the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.request import Request
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import excerpt, stack
from banditroute.features.categories import HASHED_STRENGTH, root_shares

_HEAD_CHARACTERS = 200
"""Number of characters at each end of a text that are searched for the head and the tail."""

_HEAD_WORDS = 4
"""Number of words of a head or a tail; four words are enough to distinguish templates."""

_WORD = re.compile(r"\d+|[^\W\d]+|[^\w\s]")
_LABEL = re.compile(r"^[ \t]{0,8}([^\W\d]{1,24}(?: [^\W\d]{1,24}){0,2}):|^(#{1,6} |```|<\w{1,24}>)", re.MULTILINE)
_MOST_LABELS = 32  # in a structure


def signature(request: Request) -> tuple[str, str, str]:
    """Return head, tail and structure of a request's text, as :class:`Template` defines them; "" for a missing part.

    Raises
    ------
    InvalidRequestError
        If the request has no text.

    Examples
    --------
    >>> signature(Request(text="Rate 1 to 5.\\nReview: It broke.\\nAnswer with one word, please."))
    ('rate 0 to 0', 'word , please .', 'review')
    """
    text = excerpt(request).strip().lower()
    head = _WORD.findall(text[:_HEAD_CHARACTERS].split("\n", 1)[0])[:_HEAD_WORDS]
    if ":" in head:
        del head[head.index(":") :]
    tail = _WORD.findall(text[-_HEAD_CHARACTERS:].rsplit("\n", 1)[-1])[-_HEAD_WORDS:]
    labels = [first or second for first, second in _LABEL.findall(text)]
    structure = list(dict.fromkeys(labels))[:_MOST_LABELS]
    head, tail, structure = (["0" if word.isdigit() else word for word in part] for part in (head, tail, structure))
    return " ".join(head), " ".join(tail), " ".join(structure)


class Template:
    """The call site of templated prompts, as a soft one-hot vector over a fixed number of slots.

    Most production prompts are a constant frame around a variable part. Three parts of the frame each give a third of
    the vote to one slot:

    - the *head*: the first four words of the first line, up to a colon;
    - the *tail*: the last four words of the last line;
    - the *structure*: the labels that begin lines, such as ``Question:``, ``## `` or a code fence, each once and in
      order. All texts without labels share one structure.

    Case, white space and digits do not matter. So all prompts of one call site put the votes of their constant parts on
    the same slots. A request with ``template="..."`` names its call site and gives the whole vote to the slot of that
    name.

    The slot of a part is a BLAKE2b hash of it. It does not depend on earlier traffic, the process or the order of
    requests. Counting frequent signatures online would save slots. But a text would then have one vector before its
    template is known and another one after, so the belief would have learned from numbers with an old meaning. Hashing
    needs no memory and no warm-up. Its price: two call sites may share a slot, and without templates the votes of heads
    and tails are noise.

    Parameters
    ----------
    slots
        Length of the vector, 2 to 1,024. With twice as many slots as call sites, most sites have a slot of their own.

    Raises
    ------
    InvalidConfigurationError
        If the number of slots is out of range.

    Examples
    --------
    >>> template = Template(slots=16)
    >>> frame = "Classify the sentiment of this review.\\nReview: {}\\nAnswer with one word, please."
    >>> one, other = (template.transform_one(Request(text=frame.format(text))) for text in ("Great!", "It broke."))
    >>> bool((one == other).all())
    True
    >>> template.transform_one(Request(text="Hello", template="greeting")).max()
    np.float64(4.0)
    """

    __slots__ = ("_slots",)

    def __init__(self, *, slots: int = 16) -> None:
        self._slots = whole(slots, name="slots", low=2, high=1024, error=InvalidConfigurationError)

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return self._slots

    @property
    def blocks(self) -> tuple[FeatureBlock, ...]:
        """One block of hashed slots."""
        return (FeatureBlock(self._slots, HASHED_STRENGTH),)

    @property
    def version(self) -> str:
        """An identifier of the signature's definition and the number of slots."""
        return f"template-2:{self._slots}"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per slot."""
        return tuple(f"template.{index:02d}" for index in range(self._slots))

    def transform_one(self, request: Request) -> Vector:
        """Return ``sqrt(slots x vote)`` of every slot ``(slots,)``: squares sum to ``slots``, so the mean square is 1.

        Raises
        ------
        InvalidRequestError
            If the request has no text.
        """
        parts = signature(request)
        votes = np.zeros(self._slots)
        if request.template is not None:
            votes[self._slot("name", request.template)] = 1.0
            return root_shares(votes)
        for part, words in zip(("head", "tail", "structure"), parts, strict=True):
            votes[self._slot(part, words)] += 1.0 / 3.0
        return root_shares(votes)

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, slots)``."""
        return stack(self, requests)

    def _slot(self, part: str, signature: str) -> int:
        """Return the slot that a part of a signature votes for."""
        code = blake2b(f"{part}:{signature}".encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(code, "little") % self._slots
