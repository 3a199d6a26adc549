"""Audits of cascades: which stops are compared with the best arm, and what came of it."""

from __future__ import annotations

import threading

from banditroute.core.forking import hold_while_forking
from banditroute.core.state import StateSlot
from banditroute.core.validation import shown
from banditroute.errors import InvalidFeedbackError
from banditroute.guard.guarantee import Assurance, Guarantee, LossAccount, add_accounts

_SAVED_EVERY = 20  # delivered answers that did not change the loss


class Audits:
    """Keeps the guarantee of one router: draws audits, and settles them by the qualities that are reported.

    Safe to use from many threads.

    Parameters
    ----------
    guarantee
        What may be lost, and how surely.
    best
        The arm that answers are compared with.
    slot
        Where the account is stored; processes add to it.

    Attributes
    ----------
    best
        The arm that answers are compared with.
    max_loss
        Quality per request that may be lost.
    """

    def __init__(self, *, guarantee: Guarantee, best: str, slot: StateSlot) -> None:
        self.best: str = best
        self.max_loss: float = guarantee.max_loss
        self._slot = slot
        self._account = LossAccount(max_loss=guarantee.max_loss, confidence=guarantee.confidence)
        slot.load(self._account.restore)
        self._pairs: dict[str, tuple[str, str]] = {}  # decision -> the audit and the decision it is compared with
        self._qualities: dict[str, float] = {}  # of decisions in pairs
        self._unsaved = 0
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")

    @property
    def share(self) -> float:
        """The probability with which the next stop must be audited."""
        with self._lock:
            return self._account.audit_share

    def deliver(self) -> None:
        """Count a request whose answer is the best arm's."""
        with self._lock:
            self._account.deliver()
            self._unsaved += 1
            blob = self._news() if self._unsaved >= _SAVED_EVERY else None
        self._save(blob)

    def stop(self, share: float) -> None:
        """Count a stop that was not audited, drawn with this share of audits; 1 if it could not be audited."""
        with self._lock:
            self._account.deliver()
            if share < 1.0:
                self._account.stop(share)
            else:
                self._account.uncover()
            blob = self._news()
        self._save(blob)

    def open(self, audit: str, stopped: str, share: float) -> None:
        """Begin the audit of a stopped decision, drawn with this share."""
        with self._lock:
            self._account.deliver()
            self._account.open(audit, share)
            self._pairs[audit] = self._pairs[stopped] = audit, stopped
            blob = self._news()
        self._save(blob)

    def learn(self, decision_id: str, quality: float) -> None:
        """Learn the quality of an answer; settle its audit once both qualities are known."""
        if decision_id not in self._pairs:
            return
        with self._lock:
            pair = self._pairs.get(decision_id)
            if pair is None:
                return
            self._qualities[decision_id] = quality
            if not all(each in self._qualities for each in pair):
                return
            best, delivered = (self._qualities.pop(each) for each in pair)
            for each in pair:
                del self._pairs[each]
            self._account.close(pair[0], best - delivered)
            blob = self._news()
        self._save(blob)

    def check(self, decision_id: str, audit_of: object) -> None:
        """Raise InvalidFeedbackError if a decision is not the open audit of ``audit_of``."""
        with self._lock:
            pair = self._pairs.get(decision_id)
        if pair is not None and pair != (decision_id, audit_of):
            raise InvalidFeedbackError(
                f"decision {shown(decision_id)} is not the audit of {shown(audit_of)}; give step.audit_of of its step"
            )

    def assurance(self) -> Assurance:
        """Return what was shown so far."""
        with self._lock:
            return self._account.assurance()

    def _news(self) -> bytes:
        self._unsaved = 0
        return self._account.news()

    def _save(self, blob: bytes | None) -> None:
        """Record what was added; not under the lock, as the store learns under one of its own."""
        if blob is not None:
            self._slot.save(blob, add_accounts)
