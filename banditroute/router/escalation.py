"""Cascades: whether a first answer may stand, by what it showed and by what became of answers that showed as much."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from banditroute.beliefs import Linear
from banditroute.beliefs.base import Prior
from banditroute.core.arrays import Vector
from banditroute.core.state import StateSlot

_ANSWER = "answer"  # one belief for the answers of all arms: a signal is read the same way whoever gave the answer
_SURPRISE = "surprise"
_BELIEF = Linear(feature_precision=1.0)
_WAITING = 10_000  # answers whose quality may still be reported


class Cascade:
    """What the signal of an answer says of its quality. Safe to use from many threads.

    The quality of an answer beyond what was believed of its arm is a linear function of the signal and of what was
    believed, learned by Bayesian ridge regression from the answers whose quality is reported.

    Parameters
    ----------
    slot
        Where what is learned of signals is kept.
    rng
        Draws from what is believed, so that answers with a bad signal are kept now and then, and judged.

    Examples
    --------
    >>> cascade = Cascade(slot=StateSlot(name="cascade"), rng=np.random.default_rng(0))
    >>> for i in range(400):
    ...     _ = cascade.show(str(i), believed=0.7, signal=float(i % 2))
    ...     cascade.learn(str(i), quality=0.9 if i % 2 else 0.2)
    >>> [round(cascade.show("next", believed=0.7, signal=signal)[0], 1) for signal in (0.0, 1.0)]
    [0.2, 0.9]
    """

    def __init__(
        self,
        *,
        slot: StateSlot,
        rng: np.random.Generator,
    ) -> None:
        self._slot = slot
        self._rng = rng
        self._lock = threading.Lock()
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

    def show(self, decision_id: str, *, believed: float, signal: float) -> tuple[float, float]:
        """The quality expected of an answer by its signal, and a draw from that belief.

        Parameters
        ----------
        decision_id
            Under which its quality may be reported to :meth:`learn`.
        believed
            The quality that was expected of its arm for that request.
        signal
            How good it looks, in [0, 1].
        """
        x = np.array([signal, believed, 1.0])
        with self._lock:
            self._waiting[decision_id] = x, believed
            if len(self._waiting) > _WAITING:
                self._waiting.popitem(last=False)
            prediction = self._belief.predict(x)
            mean = believed + float(prediction.means[0, 0])
            return mean, mean + float(prediction.stds[0, 0]) * self._rng.standard_normal()

    def learn(self, decision_id: str, quality: float) -> None:
        """Learn the quality of an answer, if its signal is known here."""
        if not self._waiting:
            return
        with self._lock:
            x, believed = self._waiting.pop(decision_id, (None, 0.0))
            if x is not None:
                self._belief.update(_ANSWER, x, {_SURPRISE: quality - believed})
                self._slot.save(self._belief.statistics()[_ANSWER])
