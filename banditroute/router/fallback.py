"""From a request to a recorded decision, whatever was learned or stored: only a caller's mistake raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import BanditRouteError, InvalidRequestError
from banditroute.features.base import Featurizer
from banditroute.limits.constraints import Limits
from banditroute.objectives.scaling import Scaled
from banditroute.router.checks import bounded
from banditroute.router.engine import Engine
from banditroute.router.sampling import CannotChooseError
from banditroute.store.base import Store

_log = logging.getLogger("banditroute")


class FallbackRouting:
    """Makes decisions and has them recorded; names the fallback arm where the policy cannot choose.

    Parameters
    ----------
    chooser
        Chooses, or falls back.
    features
        Turns texts into vectors.
    store
        Takes the decisions.
    fallback
        The arm to use when the policy cannot choose.
    store_prompts
        Whether prompts are recorded with the decisions.
    clock
        Gives Unix time in seconds.

    Attributes
    ----------
    fallbacks
        How many decisions fell back.
    """

    def __init__(
        self,
        *,
        chooser: Engine,
        features: Featurizer,
        store: Store,
        fallback: str,
        store_prompts: bool,
        clock: Callable[[], float],
    ) -> None:
        self.fallbacks = 0
        self._chooser = chooser
        self._features = features
        self._dimension = features.dimension + 1
        self._store = store
        self._fallback = fallback
        self._store_prompts = store_prompts
        self._clock = clock
        self._last_trouble: str | None = None

    def decide(
        self,
        request: Request,
        preference: Preference | Scaled,
        among: list[str] | None,
        features: Vector | None,
        limits: Limits | None,
    ) -> Decision:
        """Decide a checked request; ``features`` are those of its text where they are computed already."""
        now = self._clock()
        preference = self._chooser.rates(preference)
        prompt = request.text if self._store_prompts else None
        x: Vector | None = None
        try:
            x = self._context(request, features)
            if self._store.trouble is not None:
                raise CannotChooseError(self._store.trouble)
            decision = self._chooser.choose(request, preference, among, x, now, limits)
            self._store.add_decision(decision, prompt)
            self._last_trouble = None
            return decision
        except InvalidRequestError:  # a caller's mistake that only the featurizer can see
            raise
        except Exception as error:  # whatever was learned or stored must not stop the traffic
            trouble = str(error) if isinstance(error, BanditRouteError) else f"{type(error).__name__}: {error}"
            self._note(trouble, error)
            decision = self._chooser.fall_back(request, preference, among, x, now, arm=self._fallback, trouble=trouble)
        with suppress(Exception):  # a store that breaks its word has given the trouble, or will with the next request
            self._store.add_decision(decision, prompt)
        return decision

    def decide_instead(self, decision: Decision, error: Exception) -> Decision:
        """Decide for the next best arm that is ready, since the adapter of ``decision`` cannot be loaded.

        Raises
        ------
        Exception
            ``error``, if no other arm is ready.
        """
        arm = next((arm for arm in decision.ranking[1:] if self._chooser.pager.ready(arm)), None)
        if arm is None:
            raise error
        trouble = f"adapters: {decision.arm!r} cannot be loaded ({error})"
        self._note(trouble, error)
        request = Request(
            features=np.zeros(0), session=decision.session, tags=decision.tags, input_tokens=decision.input_tokens
        )
        instead = self._chooser.fall_back(
            request, decision.preference, decision.arms, decision.x, self._clock(), arm=arm, trouble=trouble
        )
        with suppress(Exception):
            self._store.add_decision(instead)
        return instead

    def _context(self, request: Request, features: Vector | None) -> Vector:
        x = np.empty(self._dimension)
        x[:-1] = self._features.transform_one(request) if features is None else features
        x[-1] = 1.0
        if not bounded(x):
            raise CannotChooseError(f"{type(self._features).__name__} gave features that are not finite")
        return x

    def _note(self, trouble: str, error: Exception) -> None:
        """Count a fallback; one line in the log per trouble, not per request."""
        self.fallbacks += 1
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            surprise = None if isinstance(error, BanditRouteError) else error
            _log.warning("routing falls back to arm %r: %s", self._fallback, trouble, exc_info=surprise)
