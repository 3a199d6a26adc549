"""From a checked request to a recorded decision; learned or stored trouble gives the fallback arm and never raises."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.events import FellBack
from banditroute.core.request import Request
from banditroute.core.validation import bounded
from banditroute.errors import BanditRouteError, InvalidRequestError
from banditroute.features.base import Featurizer
from banditroute.router.clock import CheckedClock
from banditroute.router.engine import Engine
from banditroute.router.observation import Observation
from banditroute.router.requests import Ask, NothingToAskError, Terms, obey_rules
from banditroute.router.sampling import CannotChooseError
from banditroute.store.base import Store

_log = logging.getLogger("banditroute")

_LONGEST_TROUBLE = 500  # characters of a reason


class FallbackRouting:
    """Decides requests and has the decisions recorded; chooses the fallback arm where the policy cannot choose.

    Parameters
    ----------
    engine
        Makes the decisions.
    features
        Turns texts into vectors.
    store
        Records the decisions.
    fallback
        Name of the arm to use when the policy cannot choose.
    store_prompts
        Whether prompts are recorded with the decisions.
    observation
        Takes every decision and fallback.
    clock
        Gives Unix time in seconds.

    Attributes
    ----------
    fallback_count
        Number of decisions that fell back.
    trouble
        Why the latest decision fell back; None if it did not.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        features: Featurizer,
        store: Store,
        fallback: str,
        store_prompts: bool,
        observation: Observation,
        clock: CheckedClock,
    ) -> None:
        self.fallback_count: int = 0
        self._engine = engine
        self._features = features
        self._dimension = features.dimension + 1
        self._store = store
        self._fallback = fallback
        self._store_prompts = store_prompts
        self._observation = observation
        self._clock = clock
        self.trouble: str | None = None

    def decide(
        self,
        request: Request,
        terms: Terms,
        features: Vector | None = None,
    ) -> Decision:
        """Return the recorded decision for a checked request.

        Parameters
        ----------
        features
            The features of the request where they are computed already; None: they are computed here.

        Raises
        ------
        InvalidRequestError
            If the featurizer finds a mistake of the caller.
        NothingToAskError
            If a further call would break a limit or a budget.
        """
        now, trouble_of_clock = self._clock.read()
        x: Vector | None = None
        preference = self._engine.rates(terms.preference)
        prompt = request.text if self._store_prompts else None
        eligible, rules = terms.eligible, None
        if terms.limits is not None and terms.limits.rules:
            eligible, rules = obey_rules(request, terms, self._engine.models.names)
        try:
            x = self._context(request, features)
            if trouble_of_clock is not None:
                raise CannotChooseError(trouble_of_clock)
            if self._store.trouble is not None:
                raise CannotChooseError(self._store.trouble)
            self._engine.await_first_slices(request, now)
            decision = self._engine.decide(Ask(request, x, preference, eligible, terms.limits, now, rules))
            self._store.add_decision(decision, prompt)
            self.trouble = None
            if self._observation.active:
                self._observation.emit(decision)
            if decision.fell_back:  # neither budgets nor quotas cover it
                self._note_fallback(decision, decision.reason.removeprefix("fallback: "))
            return decision
        except (InvalidRequestError, NothingToAskError):  # a caller's mistake that only the featurizer can see
            raise
        except Exception as error:  # learned or stored trouble must not stop the traffic
            failure = error
            trouble = str(error) if isinstance(error, BanditRouteError) else f"{type(error).__name__}: {error}"
            trouble = trouble[:_LONGEST_TROUBLE]
        ask = Ask(request, x, preference, eligible, terms.limits, now, rules=rules)
        return self._fall_back(ask, self._fallback, trouble, failure, prompt)

    def preview(self, request: Request, terms: Terms) -> Decision:
        """Return the decision that ``decide`` would make now, unrecorded, with the likeliest arm and an empty id.

        Raises
        ------
        InvalidRequestError
            As ``decide``.
        """
        eligible, rules = terms.eligible, None
        if terms.limits is not None and terms.limits.rules:
            eligible, rules = obey_rules(request, terms, self._engine.models.names)
        preference = self._engine.rates(terms.preference)
        ask = Ask(request, None, preference, eligible, terms.limits, self._clock.read()[0], rules=rules)
        try:
            return self._engine.preview(ask._replace(x=self._context(request, None)))
        except InvalidRequestError:
            raise
        except Exception as error:
            arms = self._engine.models.names if eligible is None else eligible
            arm = self._fallback if self._fallback in arms else arms[0]
            return self._engine.preview_fallback(ask, arm=arm, trouble=str(error)[:_LONGEST_TROUBLE])

    def decide_many(self, requests: Sequence[Request], terms: Terms) -> list[Decision]:
        """Return the recorded decisions for many checked requests, whose texts are featurized in one batch."""
        if terms.limits is not None and terms.limits.rules:
            for request in requests:  # a caller's mistake: nothing is decided
                obey_rules(request, terms, self._engine.models.names)
        texts = [request for request in requests if request.text is not None]
        try:
            rows: Sequence[Vector | None] = list(self._features.transform(texts)) if texts else []
        except InvalidRequestError:  # a caller's mistake, as in a single request: nothing is decided
            raise
        except Exception as error:  # one bad text must not spoil the others: each goes alone
            _log.warning("featurizing %d texts in one batch failed, now one at a time: %s", len(texts), _kind(error))
            rows = [None] * len(texts)
        row = iter(rows)
        return [self.decide(request, terms, next(row) if request.features is None else None) for request in requests]

    def decide_instead(self, decision: Decision, error: Exception) -> Decision:
        """Return a recorded decision for the next best arm that is ready, as the adapter of ``decision`` cannot load.

        Raises
        ------
        Exception
            ``error``, if no other arm is ready.
        """
        arm = next((arm for arm in decision.ranking[1:] if self._engine.adapters.ready(arm)), None)
        if arm is None:
            raise error
        trouble = f"adapters: {decision.arm!r} cannot be loaded ({error})"
        request = Request(
            features=np.zeros(0), session=decision.session, tags=decision.tags, input_tokens=decision.input_tokens
        )
        ask = Ask(request, decision.x, decision.preference, decision.arms, None, self._clock())
        return self._fall_back(ask, arm, trouble, error, None)

    def _context(self, request: Request, features: Vector | None) -> Vector:
        """Return the context ``(d,)`` of a request."""
        x = np.empty(self._dimension)
        x[-1] = 1.0
        if request.features is not None:  # checked with the request
            x[:-1] = request.features
            return x
        x[:-1] = self._featurized(request) if features is None else features
        if not bounded(x):
            raise CannotChooseError(f"{type(self._features).__name__} gave features that are not finite")
        return x

    def _featurized(self, request: Request) -> Vector:
        """Return the features of a text. An error's own message is left out, since it may quote the text."""
        try:
            return self._features.transform_one(request)
        except BanditRouteError:
            raise
        except Exception as error:
            raise CannotChooseError(f"{_kind(error)}, while {type(self._features).__name__} read the text") from None

    def _fall_back(self, ask: Ask, arm: str, trouble: str, error: Exception, prompt: str | None) -> Decision:
        """Return a recorded decision for ``arm``; count it, and write one line to the log per trouble."""
        if trouble != self.trouble:
            self.trouble = trouble
            surprise = None if isinstance(error, BanditRouteError) else error
            _log.warning("routing falls back to arm %r: %s", arm, trouble, exc_info=surprise)
        decision = self._engine.fall_back(ask, arm=arm, trouble=trouble)
        with suppress(Exception):  # a store that breaks its word has given the trouble, or will with the next request
            self._store.add_decision(decision, prompt)
        self._observation.emit(decision)
        self._note_fallback(decision, trouble)
        return decision

    def _note_fallback(self, decision: Decision, trouble: str) -> None:
        self.fallback_count += 1
        event = FellBack(at=decision.decided_at, decision_id=decision.id, arm=decision.arm, trouble=trouble)
        self._observation.emit(event)


def _kind(error: Exception) -> str:
    """Return the type of an error and the line that raised it, without its words."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name}(), line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
