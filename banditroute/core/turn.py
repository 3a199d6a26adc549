"""One turn of a session: what it costs with the prompt caches as they are, and what is known of it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from banditroute.core.arrays import Vector

NOTHING_VETOED: Mapping[str, float] = {}


class SessionTurn(NamedTuple):
    """A decision of a session as other processes see it.

    Attributes
    ----------
    decision_id, session, arm
        The decision, its session, and the arm that served it.
    input_tokens
        Tokens of its prompt; None if not counted.
    decided_at
        Unix time in seconds.
    """

    decision_id: str
    session: str
    arm: str
    input_tokens: int | None
    decided_at: float


class TurnCosts(NamedTuple):
    """The state of a session's prompt caches at one turn, as the decision took it.

    Attributes
    ----------
    number
        The number of this turn, from 1, as far as this process knows; 0 for a request without a session.
    known
        Whether this process knows an earlier turn of the session. If not, all caches count as cold.
    tokens
        Tokens of this prompt; 0 if they are not known.
    prefix_tokens
        Tokens of the previous prompt, which a warm cache holds.
    turns_to_come
        Expected number of turns after this one.
    arms
        Names of all K arms of the router.
    cost_usd : (K,)
        Expected cost of this turn in dollars, with each arm's cache as it is; None where no cost is known.
    warm
        Arm -> probability that its cache still holds the prefix. Arms that are left out are cold.
    vetoed
        Arm that ``max_switch_spend`` rules out -> the utility that it would have had.
    """

    number: int
    known: bool
    tokens: float
    prefix_tokens: float
    turns_to_come: float
    arms: tuple[str, ...]
    cost_usd: Vector | None
    warm: Mapping[str, float]
    vetoed: Mapping[str, float] = NOTHING_VETOED

    def __str__(self) -> str:
        if self.number == 0:
            return "session: none, so prompt caches do not count; give session=, or the messages of the conversation"
        if self.tokens == 0.0:
            return "session: no tokens are counted, so prompt caches do not count; give input_tokens="
        if self.known:
            head = f"session: turn {self.number}, {self.prefix_tokens:,.0f} tokens may be cached"
        else:
            head = "session: this process knows no earlier turn, so every prompt cache counts as cold"
        lines = [f"{head}; {self.turns_to_come:.1f} more turns are expected"]
        for k, arm in enumerate(self.arms):
            held = f"warm with probability {self.warm[arm]:.2f}" if arm in self.warm else "cold"
            cost = "" if self.cost_usd is None else f", this turn costs ${self.cost_usd[k]:.4g}"
            lines.append(f"  {arm}: {held}{cost}")
        lines += [
            f"  {arm}: ruled out by max_switch_spend, its utility is {utility:.4g}"
            for arm, utility in self.vetoed.items()
        ]
        return "\n".join(lines)


NO_SESSION = TurnCosts(0, False, 0.0, 0.0, 0.0, (), None, {})
"""The turn of a request without a session."""
