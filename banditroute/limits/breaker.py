"""Circuit breaker: an arm that keeps failing is left alone, and then tried by one request at a time."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.failure import Failure
from banditroute.core.validation import number, plain_numbers, whole
from banditroute.errors import InvalidConfigurationError

_PRIOR_ANSWERS = 5.0  # that a new arm is taken to have given: its first failure is no verdict
_LATENCIES_KEPT = 100  # of each arm, for its usual time
_MIN_LATENCIES = 20
_USUAL_SECONDS = 5.0  # of an arm with fewer latencies than that
_MAX_REST_SECONDS = 86_400.0  # a Retry-After beyond a day is taken for a mistake
_MEMORY = 500.0  # outcomes of an arm over which its availability is counted: providers recover


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """When an arm that fails is left alone, and for how long.

    After ``failures`` failures in a row the arm's circuit is *open*: it is not chosen for ``reset_seconds``. Then it is
    *half-open*: one request may choose it, and its outcome decides. A failure opens the circuit again; an answer,
    or no news for ``reset_seconds``, closes it.

    Parameters
    ----------
    failures
        Failures in a row that open the circuit, at least 1. Any other outcome between them says that the call was
        answered.
    reset_seconds
        How long an open circuit stays open, above 0.

    Raises
    ------
    InvalidConfigurationError
        For another number.

    Examples
    --------
    >>> CircuitBreaker(failures=3)
    CircuitBreaker(failures=3, reset_seconds=30.0)
    """

    failures: int = 5
    reset_seconds: float = 30.0

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole(self.failures, name="failures", error=InvalidConfigurationError)
        if number(self.reset_seconds, name="reset_seconds", error=InvalidConfigurationError) <= 0.0:
            raise InvalidConfigurationError(f"reset_seconds is {self.reset_seconds!r}; give a number above 0")


@dataclass(slots=True)
class _Circuit:
    """The circuit of one arm; times are Unix times in seconds."""

    answered: float = 0.0
    failed: float = 0.0
    in_a_row: int = 0
    last_failed: float = 0.0  # when the latest failing request was decided
    opened: float | None = None
    probed: float | None = None
    rests_until: float = 0.0  # as the arm asked for

    def set_back_to(self, now: float) -> None:
        """Move what lies in the future to ``now``: the clock was set back, or was wrong, and would hold it open."""
        if self.opened is not None and self.opened > now:
            self.opened = now
        if self.probed is not None and self.probed > now:
            self.probed = now
        self.last_failed = min(self.last_failed, now)
        self.rests_until = min(self.rests_until, now + _MAX_REST_SECONDS)


class Circuits:
    """The circuits of a router's arms, and how available each arm is.

    Parameters
    ----------
    breaker
        When circuits open; None: never.
    blob
        What ``to_bytes`` returned before.
    """

    def __init__(self, *, breaker: CircuitBreaker | None, blob: bytes | None = None) -> None:
        self._breaker = breaker
        self._circuits = {arm: _Circuit(**saved) for arm, saved in json.loads(blob or b"{}").items()}
        self._latencies: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_LATENCIES_KEPT))
        self._open = {arm for arm, each in self._circuits.items() if each.opened is not None or each.rests_until}

    @property
    def tripped(self) -> bool:
        """True if any circuit is not closed."""
        return bool(self._open)

    @property
    def open_arms(self) -> tuple[str, ...]:
        """Names of the arms whose circuit is not closed, sorted."""
        return tuple(sorted(self._open))

    def closed(self, arms: Sequence[str], now: float) -> list[str]:
        """Return those of ``arms`` that may be chosen; empty if all circuits are open."""
        return [arm for arm in arms if not self._bars(arm, now)]

    def opened_first(self, arms: Sequence[str]) -> str:
        """Return the arm whose circuit was opened first, or that rests the shortest, of ``arms`` with open circuits."""
        return min(arms, key=lambda arm: max(self._circuits[arm].opened or 0.0, self._circuits[arm].rests_until))

    def choose(self, arm: str, now: float) -> None:
        """Note that ``arm`` was chosen: a half-open circuit lets no other request through until it is reported."""
        if arm in self._open:
            self._circuits[arm].probed = now

    def report(self, arm: str, *, failed: bool, decided_at: float, now: float) -> None:
        """Count, ``now``, whether a call of ``arm`` that was decided at ``decided_at`` failed."""
        circuit = self._circuits.get(arm)
        if circuit is None:
            circuit = self._circuits[arm] = _Circuit()
        troubled = failed or circuit.failed > 0.0 or arm in self._open  # now or before
        if troubled:
            circuit.set_back_to(now)
        keep = 1.0 - 1.0 / _MEMORY
        circuit.answered = circuit.answered * keep + (not failed)
        circuit.failed = circuit.failed * keep + failed
        if failed:
            circuit.in_a_row += 1
            circuit.last_failed = max(circuit.last_failed, min(decided_at, now))
            probe = circuit.opened is not None and decided_at > circuit.opened
            if self._breaker is not None and (probe or circuit.in_a_row == self._breaker.failures):
                circuit.opened, circuit.probed = now, None
                self._open.add(arm)
        elif troubled and decided_at >= circuit.last_failed:  # an older answer says nothing of the trouble
            self._close(arm, now)

    def report_failure(
        self, arm: str, failure: Failure, *, retry_after_seconds: float, decided_at: float, now: float
    ) -> None:
        """Count a ``failure`` of a call; :class:`~banditroute.core.Failure` says what each kind does.

        Examples
        --------
        >>> circuits = Circuits(breaker=CircuitBreaker())
        >>> circuits.report_failure("a", Failure.RATE_LIMIT, retry_after_seconds=60.0, decided_at=0.0, now=1.0)
        >>> circuits.closed(["a", "b"], now=60.0), circuits.closed(["a", "b"], now=61.0)
        (['b'], ['a', 'b'])
        """
        if failure is Failure.CANCELLED:
            if now - decided_at >= self._usual_seconds(arm):
                self.report(arm, failed=True, decided_at=decided_at, now=now)
        elif failure is Failure.RATE_LIMIT and retry_after_seconds > 0.0 and self._breaker is not None:
            circuit = self._circuits.setdefault(arm, _Circuit())
            until = now + min(retry_after_seconds, _MAX_REST_SECONDS)
            circuit.rests_until = max(circuit.rests_until, until)
            circuit.failed += 1.0
            self._open.add(arm)
        elif failure.blames_arm:
            self.report(arm, failed=True, decided_at=decided_at, now=now)

    def note_latency(self, arm: str, latency_seconds: float | None) -> None:
        """Count the latency of an answer towards the arm's usual time."""
        if latency_seconds is not None:
            self._latencies[arm].append(latency_seconds)

    def _usual_seconds(self, arm: str) -> float:
        """Return the 95th percentile of the arm's latest latencies; 5 seconds while there are too few."""
        latencies = self._latencies[arm]
        return _USUAL_SECONDS if len(latencies) < _MIN_LATENCIES else float(np.quantile(latencies, 0.95))

    def availability(self, arms: Sequence[str]) -> tuple[Vector, Vector]:
        """Return the expected share of answered calls of each arm, and its standard deviation, each ``(K,)``.

        Both are those of a Beta distribution: 5 answers before the first call, and each outcome weighs ``1 - 1/500`` of
        the next one.

        Examples
        --------
        >>> circuits = Circuits(breaker=None)
        >>> circuits.report("a", failed=True, decided_at=0.0, now=1.0)
        >>> circuits.availability(["a", "b"])[0].round(3)  # 5 / 6
        array([0.833, 1.   ])
        """
        pairs = [(c.answered, c.failed) for c in (self._circuits.get(arm, _UNSEEN) for arm in arms)]
        answered, failed = np.array(pairs).T
        total = answered + failed + _PRIOR_ANSWERS
        mean = 1.0 - failed / total
        return mean, np.sqrt(mean * (1.0 - mean) / (total + 1.0))

    def to_bytes(self) -> bytes:
        """Return all that is counted, as JSON."""
        return json.dumps({arm: asdict(circuit) for arm, circuit in self._circuits.items()}).encode()

    def _bars(self, arm: str, now: float) -> bool:
        """Return whether the circuit of ``arm`` is open; close it if its probe was not reported to have failed."""
        circuit = self._circuits.get(arm)
        if self._breaker is None or circuit is None:
            return False
        circuit.set_back_to(now)
        if now < circuit.rests_until:
            return True
        if circuit.opened is None:
            if circuit.rests_until:  # it has rested
                self._close(arm, now)
            return False
        wait = self._breaker.reset_seconds
        if circuit.probed is None:
            return now < circuit.opened + wait
        if now < circuit.probed + wait:
            return True
        self._close(arm, now)
        return False

    def _close(self, arm: str, now: float) -> None:
        circuit = self._circuits[arm]
        circuit.in_a_row, circuit.opened, circuit.probed = 0, None, None
        if now >= circuit.rests_until:
            circuit.rests_until = 0.0
            self._open.discard(arm)


_UNSEEN = _Circuit()
