"""Watch the residuals of predictions with a drift detector of the library river, and report; nothing is reset."""

from __future__ import annotations

import copy
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from banditroute.core.decision import Decision
from banditroute.core.events import DriftSuspected, Event, FeedbackRecorded, Observer
from banditroute.core.optional_imports import optional
from banditroute.core.validation import shown
from banditroute.errors import InvalidConfigurationError

_MIN_RESIDUALS = 30  # that tell the noise, before a detector sees any
_MAX_NOISES = 4.0  # that one outcome counts for
_DECISIONS_KEPT = 10_000  # feedback that comes after so many further decisions is not watched

_log = logging.getLogger("banditroute")


class RiverDriftMonitor:
    """Reports when the outcomes of an arm leave their predictions. Needs the extra ``river``.

    Each objective of each arm has a detector of its own. It sees the residual of every outcome against the prediction
    of its decision, in units of the root mean square ``s`` of the residuals:

        z = max(-4, min(4, (outcome - prediction) / s))

    So one detector fits dollars as well as seconds. The first 30 residuals only tell ``s``. An alarm is logged and
    given to ``observers`` as :class:`~banditroute.core.events.DriftSuspected`; then the detector begins again. Beliefs
    stay as they are: ``Learner(drift=PageHinkley())`` resets them. Feedback for a decision of another process is not
    watched. Give each router a monitor of its own.

    Parameters
    ----------
    detector
        A detector of ``river.drift`` for numbers, such as ``ADWIN()``; each arm and objective gets a copy.
    observers
        They see the alarms.

    Raises
    ------
    InvalidConfigurationError
        If ``detector`` is not such a detector, or an observer lacks ``on_event``.
    MissingDependencyError
        If river is not installed.

    Examples
    --------
    >>> from river.drift import ADWIN
    >>> from banditroute import Router
    >>> monitor = RiverDriftMonitor(detector=ADWIN(delta=0.002))
    >>> router = Router(arms=["small"], features=1, observers=[monitor])
    >>> _ = router.feedback(router.route([0.5]).id, quality=1.0)
    >>> router.close()
    """

    def __init__(self, *, detector: Any, observers: Sequence[Observer] = ()) -> None:
        base = optional("river.base", extra="river")
        if not isinstance(detector, base.DriftDetector):
            raise InvalidConfigurationError(
                f"detector is {shown(detector)}; give a detector of river.drift for numbers, such as ADWIN()"
            )
        for observer in observers:
            if not hasattr(observer, "on_event"):
                raise InvalidConfigurationError(f"observer {shown(observer)} has no on_event; give an Observer")
        self._detector = detector
        self._observers = tuple(observers)
        self._predicted: OrderedDict[str, dict[str, float]] = (
            OrderedDict()
        )  # id of a decision -> its chosen arm's means
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._times: dict[tuple[str, str], int] = {}

    def on_decision(self, decision: Decision) -> None:
        """Keep the predictions for the chosen arm until its outcomes come."""
        if decision.arm not in decision.arms:
            return
        k = decision.arms.index(decision.arm)
        means = dict(zip(decision.objectives, decision.means[:, k].tolist(), strict=True))
        self._predicted[decision.id] = means
        if len(self._predicted) > _DECISIONS_KEPT:
            self._predicted.popitem(last=False)

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Compare outcomes with their predictions; report an objective that left them."""
        means = self._predicted.get(feedback.decision_id, {})
        for objective, value in feedback.values.items():
            mean = means.get(objective, math.nan)
            if math.isnan(mean):
                continue
            key = feedback.arm, objective
            watched = self._watched.setdefault(key, _Watched(copy.deepcopy(self._detector)))
            if watched.add(value - mean):
                del self._watched[key]
                self._times[key] = self._times.get(key, 0) + 1
                self._report(*key, feedback.received_at)

    def on_event(self, event: Event) -> None:
        """Pass over what else happens."""

    def _report(self, arm: str, objective: str, at: float) -> None:
        detector, times = type(self._detector).__name__, self._times[arm, objective]
        _log.warning("%s suspects that %s of arm %r has changed, alarm %d of it", detector, objective, arm, times)
        event = DriftSuspected(at=at, arm=arm, objective=objective, times=times, detector=detector)
        for observer in self._observers:
            observer.on_event(event)


class _Watched:
    """The residuals of one objective of one arm since its last alarm."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._n, self._squares = 0, 0.0

    def add(self, residual: float) -> bool:
        """Take one residual; return whether the detector gives alarm."""
        alarm = False
        noise = math.sqrt(self._squares / self._n) if self._n >= _MIN_RESIDUALS else 0.0
        if noise > 0.0:
            self._detector.update(max(-_MAX_NOISES, min(_MAX_NOISES, residual / noise)))
            alarm = bool(self._detector.drift_detected)
        self._n += 1
        self._squares += residual * residual
        return alarm
