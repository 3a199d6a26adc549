"""The stage of a decision that prices a turn by the prompt caches, and rules out switches that cost too much."""

from __future__ import annotations

from typing import NamedTuple

from banditroute.core.arrays import Vector
from banditroute.core.turn import NO_SESSION, TurnCosts
from banditroute.router.candidates import Candidates
from banditroute.router.requests import Ask
from banditroute.sessions.book import SessionBook, Turn

_TOOL_RESULT = "sessions: the result of a tool goes to the arm that called it"


class PricedTurn(NamedTuple):
    """A turn with the expected cost of every arm ``(K,)`` and the arms that the switch budget rules out."""

    turn: Turn
    cost_usd: Vector | None
    vetoed: dict[str, float]


class SessionStage:
    """Prices turns for the engine, which holds its lock for every call.

    Parameters
    ----------
    book
        The sessions.
    """

    def __init__(self, book: SessionBook) -> None:
        self._book = book

    def price(self, candidates: Candidates, ask: Ask) -> Candidates:
        """Let each arm's expected cost follow its prompt cache.

        What a switch costs once is divided among the turns for which it is expected to last: that part is a penalty,
        while the predicted cost is that of this turn.
        """
        request = ask.request
        if request.session is None:
            return candidates
        turn = self._book.begin(request.session, candidates.tokens or 0.0, ask.now, continues=request.continues)
        cost_usd = None
        if candidates.tokens and "cost_usd" in candidates.objectives:
            cost_usd = candidates.means[candidates.objectives.index("cost_usd")]
            cost_usd += turn.input_usd
            if weight := ask.preference.get("cost_usd", 0.0):
                later = weight * turn.later_usd
                return candidates._replace(
                    utilities=candidates.utilities - weight * turn.input_usd - later,
                    penalties=candidates.penalties + later,
                    turn=PricedTurn(turn, cost_usd, {}),
                )
        return candidates._replace(turn=PricedTurn(turn, cost_usd, {}))

    def narrow(self, candidates: Candidates, priced: PricedTurn) -> Candidates:
        """Leave the arm that called a tool, or rule out the switches that are too expensive."""
        turn, cost_usd, vetoed = priced
        if turn.keep is not None and turn.keep in candidates.positions:
            candidates = candidates._replace(overruled=candidates.overruled or _TOOL_RESULT)
            return candidates.restricted([turn.keep], "sessions: another arm called the tool")
        if cost_usd is None:
            return candidates
        for k in self._book.vetoed(turn, cost_usd, candidates.positions):
            vetoed[candidates.arms[k]] = float(candidates.utilities[k])
        if not vetoed:
            return candidates
        left = [k for k in candidates.positions if candidates.arms[k] not in vetoed]
        return candidates.restricted(left, "sessions: max_switch_spend rules the switch out")

    def redraw(self, candidates: Candidates, probabilities: Vector) -> Vector:
        """Return the probabilities ``(K,)`` with which the session goes on; see ``SessionBook.redrawn``."""
        if candidates.turn is None:
            return probabilities
        return self._book.redrawn(candidates.turn.turn, candidates.arms, probabilities)

    def note(self, candidates: Candidates, ask: Ask, decision_id: str, arm: str) -> TurnCosts:
        """Remember who serves the turn; return what ``explain()`` shows of it."""
        priced = candidates.turn
        if priced is None:
            return NO_SESSION
        return self._book.note(priced.turn, decision_id, arm, priced.cost_usd, priced.vetoed, again=ask.request.again)
