"""Predict the quality of an answer from how good it looks, for escalation."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from banditroute.beliefs import Linear
from banditroute.beliefs.base import Prior
from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.state import StateSlot
from banditroute.router.sampling import RandomStream

_ANSWER = "answer"  # one belief for the answers of all arms: a signal means the same whichever arm answered
_SURPRISE = "surprise"
_BELIEF = Linear(feature_precision=1.0)
_WAITING_ANSWERS = 10_000  # answers whose quality may still be reported


class SignalModel:
    """Predicts the quality of an answer from its signal. Safe to use from many threads.

    The quality of an answer beyond the quality expected of its arm is a linear function of the signal and of that
    expectation, learned by Bayesian ridge regression from the answers whose quality is reported.

    Parameters
    ----------
    slot
        Where the learned relation is stored.
    stream
        Draws from the posterior, so that now and then an answer with a bad signal is kept, and judged.

    Examples
    --------
    >>> model = SignalModel(slot=StateSlot(name="cascade"), stream=RandomStream(0))
    >>> for i in range(400):
    ...     _ = model.predict(str(i), expected=0.7, signal=float(i % 2))
    ...     model.learn(str(i), quality=0.9 if i % 2 else 0.2)
    >>> [round(model.predict("next", expected=0.7, signal=signal)[0], 1) for signal in (0.0, 1.0)]
    [0.2, 0.9]
    """

    def __init__(
        self,
        *,
        slot: StateSlot,
        stream: RandomStream,
    ) -> None:
        self._slot = slot
        self._stream = stream
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")
        self._waiting: OrderedDict[str, tuple[Vector, float]] = OrderedDict()
        self._belief = slot.load(
            lambda stored: _BELIEF.start(
                arms=[_ANSWER],
                dimension=3,
                priors={_SURPRISE: Prior(mean=0.0, noise=0.4)},
                statistics={} if stored is None else {_ANSWER: stored},
            )
        )
        self._belief.watch([_SURPRISE])

    def predict(self, decision_id: str, *, expected: float, signal: float) -> tuple[float, float]:
        """Return the expected quality of an answer given its signal, and a draw from that posterior.

        Parameters
        ----------
        decision_id
            The decision under which its quality may be reported to :meth:`learn`.
        expected
            The quality that was expected of its arm for that request.
        signal
            How good it looks, in [0, 1].
        """
        x = np.array([signal, expected, 1.0])
        with self._lock:
            self._waiting[decision_id] = x, expected
            if len(self._waiting) > _WAITING_ANSWERS:
                self._waiting.popitem(last=False)
            prediction = self._belief.predict(x)
            mean = expected + float(prediction.means[0, 0])
            return mean, mean + float(prediction.stds[0, 0]) * self._stream.generator.standard_normal()

    def learn(self, decision_id: str, quality: float) -> None:
        """Learn the quality of an answer, if its signal is known here."""
        if not self._waiting:
            return
        with self._lock:
            x, expected = self._waiting.pop(decision_id, (None, 0.0))
            if x is not None:
                self._belief.update(_ANSWER, x, {_SURPRISE: quality - expected})
                self._slot.save(self._belief.statistics()[_ANSWER])
