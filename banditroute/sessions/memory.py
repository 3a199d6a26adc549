"""Values that are remembered of a session: its arms, their latest calls, and what it has spent."""

from __future__ import annotations

from typing import NamedTuple

from banditroute.core.arrays import Vector

_MAX_ARMS_PER_SESSION = 8  # whose caches are remembered, the latest
_UNCOUNTED_SHARE = 0.9  # of a prompt is taken for the prefix where the tokens of the previous one are not known


class Call(NamedTuple):
    """The latest call of one arm in a session.

    Attributes
    ----------
    prefix_tokens
        Tokens of its prompt, which the provider's cache held afterwards; NaN where they were not counted.
    at
        Unix time in seconds.
    """

    prefix_tokens: float
    at: float

    def held(self, tokens: float) -> float:
        """Return how many tokens of a prompt with ``tokens`` the cache holds: not more, and the usual share if NaN."""
        prefix = self.prefix_tokens
        if prefix <= tokens:
            return prefix
        return tokens if prefix > tokens else _UNCOUNTED_SHARE * tokens


class Probabilities(NamedTuple):
    """The probabilities ``(K,)`` of K arms."""

    arms: tuple[str, ...]
    values: Vector


class Session:
    """One session: its turns, its arms and their latest calls, and what it has spent."""

    __slots__ = ("calls", "first_arm", "last_arm", "policy", "spent_usd", "stayed_usd", "turn")

    def __init__(self) -> None:
        self.turn: int = 0
        self.first_arm: str = ""
        self.last_arm: str = ""
        self.calls: dict[str, Call] = {}
        self.policy: Probabilities | None = None  # at the latest turn
        self.spent_usd: float = 0.0  # expected of the arms that served
        self.stayed_usd: float = 0.0  # expected, if the first arm had served every turn

    def called(self, arm: str, call: Call) -> None:
        """Remember the latest call of an arm, and forget the arm that was called the longest ago if there are many."""
        self.calls.pop(arm, None)
        self.calls[arm] = call
        if len(self.calls) > _MAX_ARMS_PER_SESSION:
            del self.calls[next(iter(self.calls))]


class OpenCall(NamedTuple):
    """A call that should find a prefix in its cache."""

    provider: str
    idle_seconds: float
    live_seconds: float
    prefix_tokens: float
