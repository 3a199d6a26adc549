"""A request: text or ready features, and the application's labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to route: text or ready features, and the application's labels.

    Parameters
    ----------
    text
        The prompt, or None where ready features are given.
    features
        Ready features ``(d - 1,)``, without the bias entry; None where a featurizer computes them from the text.
    session, tags
        Labels that the application gives; stored with the decision.
    input_tokens
        Tokens of the prompt, at least 0; None if not counted.
    max_output_tokens
        The most tokens that the answer may have, at least 1; None if not limited.
    template
        A name for the place in the application that made the prompt, for the featurizer ``Template``; None if unknown.
    metadata
        Name -> number or string, for the featurizer ``Metadata``.
    messages
        Role and text of each message of a conversation, of which ``text`` is the part that featurizers read.
    continues
        Whether the last message brings the result of a tool, which the arm that called the tool expects.
    again
        Whether this is a further call for a request that was decided before; budgets grant nothing more for it.

    Raises
    ------
    InvalidRequestError
        If both text and features are given, or neither.

    Examples
    --------
    >>> Request(text="Why is the sky blue?", tags=("physics",)).tags
    ('physics',)
    """

    text: str | None = None
    features: Vector | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    input_tokens: int | None = None
    max_output_tokens: int | None = None
    template: str | None = None
    metadata: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    messages: tuple[tuple[str, str], ...] = ()
    continues: bool = False
    again: bool = False

    def __post_init__(self) -> None:
        if (self.text is None) == (self.features is None):
            raise InvalidRequestError("a request has either text or ready features; give exactly one of them")
