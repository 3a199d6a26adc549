"""A guarantee for cascades: what is delivered is not worse than a named arm's answers, shown by audits."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from banditroute.core.validation import label, number, open_unit, plain_numbers
from banditroute.errors import InvalidConfigurationError

_STAKES = (1.0, 0.5, 0.3, 0.2, 0.12, 0.07)  # wealth that a bet stakes on one unit of loss, by stage
_ALARM = 3.0  # wealth of the bet that the latest audits lose more than is allowed, from which every stop is audited
_ALARM_STAKE = 0.6
_SHARES = tuple(1.0 - math.exp(-3.0 * stake) for stake in _STAKES)  # of the stopped requests that a stage audits


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """A bound on the quality that cascades may lose against one arm.

    Over all requests that were decided by ``next_step()``, the mean quality of the delivered answers is not below that
    of ``best`` by more than ``max_loss``, with probability ``confidence``, at every moment at once. A random part of
    the requests that would stop is audited: ``best`` is asked as well, its answer is delivered, and both are graded.
    At first every stop is audited. The part falls only as far as the audits have shown that it may.

    Parameters
    ----------
    max_loss
        Quality per request, in (0, 1).
    confidence
        Probability, in (0, 1), that the loss stays below it.
    best
        The arm that answers are compared with. Default: the router's fallback arm, which must be named.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.

    Examples
    --------
    >>> Guarantee(max_loss=0.02, confidence=0.95, best="large")
    Guarantee(max_loss=0.02, confidence=0.95, best='large')
    """

    max_loss: float = 0.02
    confidence: float = 0.95
    best: str | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        open_unit(self.max_loss, name="max_loss", error=InvalidConfigurationError)
        open_unit(self.confidence, name="confidence", error=InvalidConfigurationError)
        if self.best is not None:
            label(self.best, name="best", error=InvalidConfigurationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assurance:
    """Evidence for a guarantee so far.

    Attributes
    ----------
    requests
        Requests whose answers were delivered.
    audits
        Audits with both grades.
    pending_audits
        Audits whose grades have not come; each counts as a loss of 1.
    audit_share
        Probability in (0, 1] that the next stop is audited; 1: no answer is delivered without an audit.
    loss_bound
        Upper bound of the mean loss per delivered answer.
    audits_needed
        Audits without a loss after which ``audit_share`` falls; 0 at the last stage.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1, guarantee=Guarantee(best="large"))
    >>> assurance = router.status().assurance
    >>> assurance.audit_share, assurance.loss_bound  # nothing is known yet
    (1.0, 1.0)
    """

    requests: int
    audits: int
    pending_audits: int
    audit_share: float
    loss_bound: float
    audits_needed: int


class LossAccount:
    """Bounds the quality lost by unaudited stops, from the audited ones. Not thread-safe.

    Let ``d_i`` in [-1, 1] be what the best arm's answer is better than the one that would be delivered, and let a stop
    be audited with probability ``p_i``. An audited request loses nothing. For a stake ``s`` with
    ``(1 - p) e^s < 1``, wealth is multiplied by ``e^(s d_i)`` if the stop is not audited, and by
    ``h(d_i) = (1 - (1 - p_i) e^(s d_i)) / p_i`` if it is: on average by 1, whatever ``d_i`` is. So with probability
    ``1 - alpha`` wealth never reaches ``1 / alpha``, which means at all times

    ``lost <= (log(1 / alpha) - sum over audits of log h(d_i)) / s``.

    Only the draws of the audits are random here. Nothing is assumed about the requests or the signals, which may
    change at any time.
    Each stake has an equal part of alpha, and the least bound counts.

    A second bet, on the latest audits alone, finds a change early: while it wins, every stop is audited.

    Source: the argument of Ville's inequality as in Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
    variables by betting"; the bets on unseen differences were derived for this class.

    Examples
    --------
    >>> account = LossAccount(max_loss=0.02, confidence=0.95)
    >>> account.audit_share
    1.0
    >>> for _ in range(1000):
    ...     share = account.audit_share
    ...     account.deliver()  # by the best arm, or audited
    ...     account.settle(0.0, share)
    >>> account.audit_share < 0.8
    True
    """

    def __init__(self, *, max_loss: float, confidence: float) -> None:
        self._max_loss = max_loss
        self._log_odds = math.log(len(_STAKES) / (1.0 - confidence))
        self.requests: int = 0
        self.audits: int = 0
        self.spent: list[float] = [0.0] * len(_STAKES)  # for each stake, minus the logarithms of h
        self._alarm = 1.0
        self._pending: dict[str, float] = {}  # audit -> the share at which it was drawn
        self._saved: list[float] = self._sums

    @property
    def bounds(self) -> list[float]:
        """Upper bound of the sum of all losses, for each stake."""
        return [(self._log_odds + spent) / stake for stake, spent in zip(_STAKES, self.spent, strict=True)]

    @property
    def audit_share(self) -> float:
        """The probability with which the next stop must be audited."""
        allowed = self._max_loss * (self.requests + 1)
        share = 1.0
        if self._alarm >= _ALARM:
            return share
        for bound, each in zip(self.bounds, _SHARES, strict=True):
            if bound + 1.0 <= allowed:
                share = each
        return share

    def deliver(self) -> None:
        """Count a request whose answer is delivered: the best arm's, an audited one, or one that was not audited."""
        self.requests += 1

    def uncover(self) -> None:
        """Count a request that had to be delivered without a possible audit, as a loss of 1."""
        self.spent = [spent + stake for stake, spent in zip(_STAKES, self.spent, strict=True)]

    def stop(self, share: float) -> None:
        """Count an unaudited stop that was drawn with this share of audits; stakes too large for it take the worst."""
        for k, stake in enumerate(_STAKES):
            if (1.0 - share) * math.exp(stake) >= 1.0:
                self.spent[k] += stake

    def open(self, audit: str, share: float) -> None:
        """Begin an audit; until its grades come, it counts as a loss of 1."""
        self._pending[audit] = share
        self._add(1.0, share, 1.0)

    def close(self, audit: str, difference: float) -> None:
        """Settle an audit by what the best arm's answer was better, in [-1, 1]."""
        share = self._pending.pop(audit)
        self._add(1.0, share, -1.0)
        self.settle(difference, share)

    def settle(self, difference: float, share: float) -> None:
        """Count an audit that was drawn with this share, and its difference in [-1, 1]."""
        number(difference, name="difference", low=-1.0, high=1.0)
        self.audits += 1
        self._alarm = max(self._alarm, 1.0) * (1.0 + _ALARM_STAKE * (difference - self._max_loss))
        self._add(difference, share, 1.0)

    def _add(self, difference: float, share: float, sign: float) -> None:
        for k, stake in enumerate(_STAKES):
            if (1.0 - share) * math.exp(stake) < 1.0:
                held = (1.0 - (1.0 - share) * math.exp(stake * difference)) / share
                self.spent[k] -= sign * math.log(held)

    def assurance(self) -> Assurance:
        """Return what was shown so far."""
        share, bounds = self.audit_share, self.bounds
        later = [k for k, each in enumerate(_SHARES) if each < share]
        missing = (bounds[later[0]] + 1.0) / self._max_loss - 1.0 - self.requests if later else 0.0
        return Assurance(
            requests=self.requests,
            audits=self.audits,
            pending_audits=len(self._pending),
            audit_share=share,
            loss_bound=min(1.0, max(min(bounds), 0.0) / max(self.requests, 1)),
            audits_needed=max(math.ceil(missing * share), 0),
        )

    @property
    def _sums(self) -> list[float]:
        return [float(self.requests), float(self.audits), *self.spent]

    def news(self) -> bytes:
        """Return what was added since the last call, to be stored by :func:`add_accounts`."""
        before, self._saved = self._saved, self._sums
        return json.dumps([now - then for now, then in zip(self._saved, before, strict=True)]).encode()

    def restore(self, blob: bytes | None) -> None:
        """Continue from stored sums. An audit whose grades never came stays a loss of 1."""
        if blob is None:
            return
        requests, audits, *spent = (float(each) for each in json.loads(blob))
        if len(spent) != len(_STAKES):
            raise ValueError(f"{len(spent)} stakes are stored, {len(_STAKES)} are known")
        self.requests, self.audits, self.spent = int(requests), int(audits), spent
        self._saved = self._sums


def add_accounts(one: bytes, other: bytes) -> bytes:
    """Return the sums of two accounts, as :meth:`LossAccount.news` gives them.

    Examples
    --------
    >>> add_accounts(b"[1.0, 2.0]", b"[3.0, 4.0]")
    b'[4.0, 6.0]'
    """
    return json.dumps([a + b for a, b in zip(json.loads(one), json.loads(other), strict=True)]).encode()
