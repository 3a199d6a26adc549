"""The stage of a decision that prices a turn by the prompt caches, and rules out switches that cost too much."""

from __future__ import annotations

from collections.abc import Mapping

from banditroute.core.arrays import Vector
from banditroute.core.turn import NO_SESSION, NOTHING_VETOED, TurnCosts
from banditroute.router.candidates import Candidates
from banditroute.router.requests import Ask
from banditroute.sessions.book import SessionBook, Turn
from banditroute.sessions.memory import Probabilities

_TOOL_RESULT = "sessions: the result of a tool goes to the arm that called it"


class PricedTurn:
    """A turn that is being decided, with what the stages of the decision find out about it.

    Attributes
    ----------
    turn
        The turn.
    cost_usd : (K,)
        Its expected cost at every arm; None where no cost is known.
    vetoed
        Arm that the switch budget rules out -> the utility that it would have had.
    policy
        The arms that may be chosen, and the policy's probabilities for them.
    """

    __slots__ = ("cost_usd", "policy", "turn", "vetoed")

    def __init__(self, turn: Turn, cost_usd: Vector | None) -> None:
        self.turn: Turn = turn
        self.cost_usd: Vector | None = cost_usd
        self.vetoed: Mapping[str, float] = NOTHING_VETOED
        self.policy: Probabilities | None = None


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
        if not candidates.tokens or "cost_usd" not in candidates.objectives:
            return candidates._replace(turn=PricedTurn(turn, None))
        cost_usd: Vector = candidates.means[candidates.objectives.index("cost_usd")]
        cost_usd += turn.extra_usd[0]
        priced = PricedTurn(turn, cost_usd)
        weight = ask.preference.get("cost_usd", 0.0)
        if not weight:
            return candidates._replace(turn=priced)
        now, later = weight * turn.extra_usd
        utilities = candidates.utilities - now
        utilities -= later
        return candidates._replace(utilities=utilities, penalties=later, turn=priced)  # no stage before has penalties

    def narrow(self, candidates: Candidates, priced: PricedTurn) -> Candidates:
        """Leave the arm that called a tool, or rule out the switches that are too expensive."""
        turn, cost_usd = priced.turn, priced.cost_usd
        if turn.keep is not None and turn.keep in candidates.positions:
            candidates = candidates._replace(overruled=candidates.overruled or _TOOL_RESULT)
            return candidates.restricted([turn.keep], "sessions: another arm called the tool")
        if cost_usd is None or not self._book.bounds_switches:
            return candidates
        over = self._book.vetoed(turn, cost_usd, candidates.positions)
        if not over:
            return candidates
        priced.vetoed = {candidates.arms[k]: float(candidates.utilities[k]) for k in over}
        left = [k for k in candidates.positions if k not in over]
        return candidates.restricted(left, "sessions: max_switch_spend rules the switch out")

    def redraw(self, candidates: Candidates, probabilities: Vector) -> Vector:
        """Return the probabilities ``(K,)`` with which the session goes on; see ``SessionBook.redrawn``."""
        if candidates.turn is None:
            return probabilities
        candidates.turn.policy = policy = Probabilities(candidates.arms, probabilities)
        return self._book.redrawn(candidates.turn.turn, policy)

    def note(self, candidates: Candidates, ask: Ask, decision_id: str, arm: str) -> TurnCosts:
        """Remember who serves the turn; return what ``explain()`` shows of it."""
        priced = candidates.turn
        if priced is None:
            return NO_SESSION
        return self._book.note(
            priced.turn, decision_id, arm, priced.cost_usd, priced.vetoed, policy=priced.policy, again=ask.request.again
        )
