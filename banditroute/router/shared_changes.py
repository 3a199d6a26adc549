"""Changes of a deployment that all its routers follow: made once in the database, heard by every process."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from banditroute.core.arm import Arm
from banditroute.core.forking import hold_while_forking
from banditroute.errors import BanditRouteError
from banditroute.limits.traffic import Share
from banditroute.router.arms import ArmRegistry
from banditroute.router.learner_roles import LearnerRoles

CHANGES = "changes"
"""The name of the state that holds the changes of a router."""

_log = logging.getLogger("banditroute")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedChange:
    """One change that every router of a name follows.

    Parameters
    ----------
    number
        Its place in the order of changes, from 1.
    at
        When it was made, in Unix seconds.
    who
        Who made it.
    kind
        What is changed: a share of the traffic, the guard's mode, the arms, the learner that serves, a budget or
        an arm's prices.
    subject
        The arm, the guard's mode, the promoted learner, or the budget's name.
    values
        Of ``traffic``, ``at_least`` and ``at_most`` or one of them; of ``add_arm`` and ``prices``, the arm's
        parameters; of ``promote``, the learner that it takes the place of; of ``budget``, the ``amount``.
    """

    number: int
    at: float
    who: str
    kind: Literal["traffic", "guard", "add_arm", "remove_arm", "promote", "budget", "prices"]
    subject: str
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.values.items() if name != "name")
        return f"{self.kind} {self.subject} {values}".rstrip()


def changes_of(blob: bytes | None) -> list[SharedChange]:
    """Return the changes that a piece of state holds, oldest first."""
    return [SharedChange(**each) for each in json.loads(blob or b"[]")]


def as_blob(changes: Sequence[SharedChange]) -> bytes:
    """Return changes as a piece of state."""
    return json.dumps([asdict(change) for change in changes]).encode()


class FollowedChanges:
    """Applies the shared changes to one router, each once and in their order.

    A change that this router cannot follow is logged and passed over, such as the share of an arm that it lacks.

    Parameters
    ----------
    registry, roles
        What is changed: arms, shares and guard; and the learner that serves.
    """

    def __init__(self, *, registry: ArmRegistry, roles: LearnerRoles) -> None:
        self._registry = registry
        self._roles = roles
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")
        self._heard: bytes | None = None
        self._last = 0

    def hear(self, states: Mapping[str, bytes]) -> None:
        """Apply new changes in a thread of their own: the store's thread must not wait for a change of the arms."""
        if states.get(CHANGES) != self._heard:
            threading.Thread(target=self.follow, args=(states,), name="banditroute-changes", daemon=True).start()

    def follow(self, states: Mapping[str, bytes]) -> None:
        """Apply the changes in a router's stored state that are new."""
        blob = states.get(CHANGES)
        if blob is not None:
            with self._lock:
                self._heard = blob
                self._follow(blob)

    def _follow(self, blob: bytes) -> None:
        try:
            news = [change for change in changes_of(blob) if change.number > self._last]
        except (ValueError, TypeError) as error:
            _log.error("the shared changes are damaged and not followed: %s", error)
            return
        promoted = max((change.number for change in news if change.kind == "promote"), default=0)
        for change in news:
            self._last = change.number
            if change.kind == "promote" and change.number < promoted:  # a later one says who serves
                continue
            try:
                self._apply(change)
            except (BanditRouteError, TypeError, ValueError) as error:
                _log.warning("the shared change %d (%.80s) is not followed: %s", change.number, change, error)

    def _apply(self, change: SharedChange) -> None:
        registry = self._registry
        known = [arm.name for arm in registry.arms]
        if change.kind == "traffic":
            share = replace(registry.traffic.get(change.subject, Share()), **change.values)
            registry.set_traffic({**registry.traffic, change.subject: share})
        elif change.kind == "add_arm" and change.subject not in known:
            registry.add(Arm(**change.values), None)
        elif change.kind == "remove_arm" and change.subject in known:
            registry.remove(change.subject)
        elif change.kind == "guard":
            registry.set_guard_mode(change.subject, at=change.at)  # type: ignore[arg-type]
        elif change.kind == "budget":
            registry.set_budget(change.subject, **change.values)
        elif change.kind == "prices":
            registry.set_prices(change.subject, change.values)
        elif change.kind == "promote":
            self._roles.promote(change.subject, **change.values)
