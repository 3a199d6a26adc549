"""Several decisions for one request: the arms to use together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from banditroute.core.decision import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSet:
    """Several arms for one request; returned by ``route_set()``.

    Attributes
    ----------
    members
        A decision for each arm, in the order in which they were drawn. Report what each took with its own id.
    session
        The session of the members. Report what they achieved together with ``session_feedback(session, ...)``.

    Examples
    --------
    >>> from banditroute import Router
    >>> chosen = Router(arms=["a", "b", "c"], features=1, seed=0).route_set([0.5], 2)
    >>> len(chosen.arms), round(chosen.propensity, 3)  # a third, then a half
    (2, 0.167)
    """

    members: tuple[Decision, ...]
    session: str

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms to use, in the order in which they were drawn."""
        return tuple(member.arm for member in self.members)

    @property
    def propensity(self) -> float:
        """The probability with which these arms were drawn in this order, in (0, 1]; exact.

        ``p(first) p(second | first) ...``: a member's propensity is that among the arms that were left.
        """
        return math.prod(member.propensity for member in self.members)
