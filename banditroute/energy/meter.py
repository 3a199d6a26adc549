"""The meter: it measures the joules of a block of code."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Self
from weakref import WeakSet

from banditroute.core.forking import hold_while_forking
from banditroute.energy.counters import EnergyCounter
from banditroute.energy.reading import EnergyReading
from banditroute.errors import EnergyCounterError, InvalidConfigurationError, InvalidInputError

_lock = threading.RLock()
_running: WeakSet[EnergyMeter] = WeakSet()
hold_while_forking(sys.modules[__name__], "_lock")


def begin_in_child() -> None:
    """Count no meter of the parent's threads as running in a forked child."""
    _running.clear()


class EnergyMeter:
    """Measures one block of code: ``with EnergyMeter(counters=counters) as meter: ...``, then ``meter.reading``.

    Meters of one process that run at once on one device mark each other as shared, in any thread. Work of other
    processes on the device is counted, but not noticed.

    A counter that fails does not disturb the block: ``reading`` raises the error.

    Parameters
    ----------
    counters
        The counters to read, as :func:`find_counters` returns them; opened once and used by all meters.
    joules_per_token
        For an estimate where there is no counter, from the ``tokens`` that the block sets; above 0.

    Attributes
    ----------
    tokens
        Set it in the block if the reading may be an estimate.

    Raises
    ------
    InvalidConfigurationError
        If neither counters nor joules per token are given, or two counters count one device.
    InvalidInputError
        If joules per token are not a number above 0, or a meter is used again.

    Examples
    --------
    >>> with EnergyMeter(counters=[], joules_per_token=0.5) as meter:
    ...     meter.tokens = 120  # from response.usage
    >>> meter.reading.joules, meter.reading.source
    (60.0, 'estimate')
    """

    def __init__(self, *, counters: Sequence[EnergyCounter], joules_per_token: float | None = None) -> None:
        if not counters and joules_per_token is None:
            raise InvalidConfigurationError(
                "there is no counter and no joules_per_token; give one of them. NVML() and RAPL() say why a counter is "
                "missing"
            )
        devices = [device for counter in counters for device in counter.devices]
        if len(set(devices)) < len(devices):
            raise InvalidConfigurationError(f"the counters count {devices}; give one counter for each device")
        if joules_per_token is not None:  # one that cannot be used is refused here, not after the work
            EnergyReading.estimate(tokens=0, joules_per_token=joules_per_token, seconds=0.0)
        self.tokens: float | None = None
        self._counters = tuple(counters)
        self._devices = set(devices)
        self._joules_per_token = joules_per_token
        self._began: float | None = None
        self._before: list[Sequence[int]] = []
        self._seconds: float | None = None
        self._joules = 0.0
        self._shared = False
        self._trouble: EnergyCounterError | None = None

    def __enter__(self) -> Self:
        with _lock:
            if self._began is not None:
                raise InvalidInputError("a meter measures one block; make one for each")
            for other in _running:
                if self._devices & other._devices:
                    self._shared = other._shared = True
            _running.add(self)
            self._began = time.perf_counter()
        try:
            self._before = [counter.read() for counter in self._counters]
        except EnergyCounterError as error:
            self._trouble = error
        return self

    def __exit__(self, *_: object) -> None:
        assert self._began is not None
        self._seconds = time.perf_counter() - self._began
        try:
            if self._trouble is None:
                after = [counter.read() for counter in self._counters]
                self._joules = sum(
                    counter.joules(begin, end, self._seconds)
                    for counter, begin, end in zip(self._counters, self._before, after, strict=True)
                )
        except EnergyCounterError as error:
            self._trouble = error
        finally:
            with _lock:
                _running.discard(self)

    @property
    def reading(self) -> EnergyReading:
        """The energy of the block.

        Raises
        ------
        EnergyCounterError
            If a counter could not be read.
        InvalidInputError
            If the block has not ended, or an estimate has no ``tokens``.
        """
        if self._seconds is None:
            raise InvalidInputError("the block has not ended; read the meter after it")
        if self._trouble is not None:
            raise self._trouble
        if self._counters:
            source = "+".join(counter.source for counter in self._counters)
            return EnergyReading(joules=self._joules, seconds=self._seconds, source=source, shared=self._shared)
        if self.tokens is None:
            raise InvalidInputError("an estimate needs the tokens of the call; set meter.tokens in the block")
        assert self._joules_per_token is not None
        return EnergyReading.estimate(
            tokens=self.tokens, joules_per_token=self._joules_per_token, seconds=self._seconds
        )
