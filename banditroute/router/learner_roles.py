"""The learner that serves, and the challenger that may take its place without a cold start.

Beliefs with the same half-lives and the same drift test rest on the same statistics. So a challenger has learned all
that the serving learner has learned, at no cost, and a promotion only builds its belief from these statistics.
"""

from __future__ import annotations

import json
import re

from banditroute.beliefs.settings import BeliefSettings
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import Learner
from banditroute.policies.base import LearningPolicy
from banditroute.router.engine import Engine
from banditroute.router.sources import fold_settings
from banditroute.store.state_slot import StateSlots

ROLES = "learners"
"""The name of the state that holds which learner serves, and which is its challenger."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def check_challenger(challenger: Learner, learner: Learner) -> None:
    """Raise InvalidConfigurationError unless a challenger rests on the same statistics as the learner."""
    for policy in (challenger.policy, learner.policy):
        if isinstance(policy, LearningPolicy):
            raise InvalidConfigurationError(
                f"the policy {type(policy).__name__} learns by its own choices, and a challenger makes none; give "
                "learner and challenger policies that do not learn by themselves"
            )
    beliefs = challenger.belief, learner.belief
    if not all(isinstance(belief, BeliefSettings) for belief in beliefs) and type(beliefs[0]) is not type(beliefs[1]):
        raise InvalidConfigurationError(
            f"the challenger's belief {type(beliefs[0]).__name__} has statistics of its own; give one of the type "
            f"{type(beliefs[1]).__name__}"
        )
    if fold_settings(challenger.belief) != fold_settings(learner.belief) or challenger.drift != learner.drift:
        raise InvalidConfigurationError(
            "the challenger forgets otherwise than the learner, so it needs statistics of its own; give both the same "
            "half-lives and the same drift test"
        )
    if name_of(challenger) == name_of(learner):
        raise InvalidConfigurationError("the challenger has the same settings as the learner; change one of them")


def name_of(learner: Learner) -> str:
    """Return a text that tells a learner from all others, and is the same in every process."""
    settings = f"belief={learner.belief!r}, context_exploration={learner.context_exploration!r}"
    return _ADDRESS.sub("", f"{type(learner).__name__}(policy={learner.policy!r}, {settings})")


def roles_of(blob: bytes | None) -> tuple[str, str] | None:
    """Return the names of the serving learner and of its challenger in a piece of state; None without a challenger."""
    roles = json.loads(blob or b"null")
    return None if roles is None else (str(roles["serving"]), str(roles["challenger"]))


def roles_blob(serving: str, challenger: str) -> bytes:
    """Return the names of the serving learner and of its challenger as a piece of state."""
    return json.dumps({"serving": serving, "challenger": challenger}).encode()


class LearnerRoles:
    """Which of two learners serves, and which is the challenger.

    Parameters
    ----------
    serving, challenger
        What the router begins with; without a challenger, nothing can be promoted.
    engine
        Takes the learner that is promoted.
    """

    def __init__(self, *, serving: Learner, challenger: Learner | None, engine: Engine) -> None:
        self._serving = serving
        self._challenger = challenger
        self._engine = engine

    def promote(self, name: str, *, over: str) -> None:
        """Let the challenger of that name serve in place of the learner ``over``, which becomes the challenger.

        Raises
        ------
        InvalidConfigurationError
            If this router has other learners.
        """
        serving = name_of(self._serving)
        if serving == name:
            return
        if self._challenger is None or (serving, name_of(self._challenger)) != (over, name):
            raise InvalidConfigurationError("this router has other learners; give it this one as learner or challenger")
        self._engine.follow_learner(self._challenger)
        self._serving, self._challenger = self._challenger, self._serving

    def record(self, slots: StateSlots) -> None:
        """Record the roles, so that an administrator can promote the challenger."""
        slot = slots[ROLES]
        if self._challenger is not None:
            slot.save(roles_blob(name_of(self._serving), name_of(self._challenger)))
        elif slot.stored is not None:
            slot.save(b"null")
