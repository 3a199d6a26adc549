"""Draw several arms for one request, one after the other, each from the arms that are left."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from banditroute.core.decision_set import DecisionSet
from banditroute.core.request import Request
from banditroute.core.validation import listed, whole
from banditroute.errors import InvalidRequestError
from banditroute.router.fallback import FallbackRouting
from banditroute.router.requests import Terms, obey_rules


def draw_set(routing: FallbackRouting, request: Request, terms: Terms, k: int, arms: Sequence[str]) -> DecisionSet:
    """Return ``k`` recorded decisions for a checked request; see ``Router.route_set``.

    Parameters
    ----------
    arms
        Names of all arms.
    """
    left = list(arms if terms.eligible is None else terms.eligible)
    if terms.limits is not None and terms.limits.rules:
        left = list(obey_rules(request, terms, arms)[0] or arms)
    if whole(k, name="k", error=InvalidRequestError) > len(left):
        raise InvalidRequestError(f"k is {k}, and {len(left)} arms may be chosen: {listed(left)}; give a smaller k")
    if request.session is None:
        request = replace(request, session=f"set {secrets.token_hex(12)}")
    members, features = [], None
    for _ in range(k):
        member = routing.decide(request, terms._replace(eligible=left), features)
        features = None if request.features is not None or member.x is None else member.x[:-1]
        left = [arm for arm in left if arm != member.arm]
        members.append(member)
    assert request.session is not None
    return DecisionSet(members=tuple(members), session=request.session)
