"""A reading: joules with their source."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from banditroute.core.validation import flag, label, number, plain_numbers
from banditroute.errors import InvalidInputError

_JOULES_PER_KWH = 3.6e6

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReading:
    """The energy of a piece of work, and its source.

    Parameters
    ----------
    joules, seconds
        Energy and duration, at least 0.
    source
        The source of the joules. ``"nvml"``, ``"rapl"``, ``"nvml+rapl"`` and ``"zeus"`` are counters of the hardware.
        ``"estimate"`` is tokens times a constant, and ``"codecarbon"`` may hold modelled parts: neither is a
        measurement. ``"... by tokens"`` is a share of such a reading.
    shared
        Whether other work used a device meanwhile, so that its joules are included.

    Raises
    ------
    InvalidInputError
        If joules or seconds are below 0 or not finite, or ``source`` or ``shared`` has another type.

    Examples
    --------
    >>> reading = EnergyReading(joules=72.0, seconds=0.5, source="nvml", shared=False)
    >>> reading.carbon_grams(grams_per_kwh=400.0)  # 72 J are 0.00002 kWh
    0.008
    """

    joules: float
    seconds: float
    source: str
    shared: bool

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in ("joules", "seconds"):
            object.__setattr__(self, name, number(getattr(self, name), name=name, low=0.0))
        label(self.source, name="source")
        flag(self.shared, name="shared")

    @classmethod
    def estimate(cls, *, tokens: float, joules_per_token: float, seconds: float) -> EnergyReading:
        """Return ``tokens x joules_per_token``, marked as an estimate.

        Raises
        ------
        InvalidInputError
            If a number is below 0 or not finite, or joules per token are 0.

        Examples
        --------
        >>> EnergyReading.estimate(tokens=200, joules_per_token=0.5, seconds=2.0)
        EnergyReading(joules=100.0, seconds=2.0, source='estimate', shared=False)
        """
        if number(joules_per_token, name="joules_per_token", low=0.0) == 0.0:
            raise InvalidInputError(
                "joules_per_token is 0; nothing that computes takes no energy: give a number above 0"
            )
        joules = number(tokens, name="tokens", low=0.0) * joules_per_token
        return cls(joules=joules, seconds=seconds, source="estimate", shared=False)

    @classmethod
    def from_zeus(cls, measurement: Any, *, shared: bool) -> EnergyReading:
        """Return the reading of ``ZeusMonitor.end_window()``: its GPUs, CPUs and memory together.

        Parameters
        ----------
        measurement
            Anything with ``time`` and ``gpu_energy``, ``cpu_energy``, ``dram_energy``: index -> joules, or None.
        shared
            Whether other work used the devices meanwhile: Zeus does not know.

        Raises
        ------
        InvalidInputError
            If the object is of another kind, or has no joules at all.
        """
        parts = [getattr(measurement, f"{part}_energy", None) or {} for part in ("gpu", "cpu", "dram")]
        if not hasattr(measurement, "time") or not any(parts) or not all(isinstance(part, Mapping) for part in parts):
            raise InvalidInputError(
                f"{measurement!r} has no time, or no joules of a GPU or CPU; give the result of "
                "ZeusMonitor.end_window(), with a device that Zeus can measure"
            )
        joules = sum(number(each, name="joules", low=0.0) for part in parts for each in part.values())
        return cls(joules=joules, seconds=measurement.time, source="zeus", shared=shared)

    @classmethod
    def from_codecarbon(cls, emissions: Any, *, shared: bool) -> EnergyReading:
        """Return the reading of CodeCarbon's ``tracker.stop_task()``, or of its ``tracker.final_emissions_data``.

        Parameters
        ----------
        emissions
            Anything with ``energy_consumed`` in kWh and ``duration`` in seconds.
        shared
            Whether other work used the machine meanwhile.

        Raises
        ------
        InvalidInputError
            If the object is of another kind, such as the kilograms that ``tracker.stop()`` returns.
        """
        if not (hasattr(emissions, "energy_consumed") and hasattr(emissions, "duration")):
            raise InvalidInputError(
                f"{emissions!r} has no energy_consumed or no duration; give "
                "tracker.final_emissions_data, or the result of stop_task()"
            )
        joules = number(emissions.energy_consumed, name="energy_consumed", low=0.0) * _JOULES_PER_KWH
        return cls(joules=joules, seconds=emissions.duration, source="codecarbon", shared=shared)

    def split(self, tokens: Mapping[_Key, float]) -> dict[_Key, EnergyReading]:
        """Return the reading of each request of a batch, by tokens: ``joules x its tokens / all tokens``.

        This is a rule, not a measurement: the device does not know which request its joules were for. Each request has
        the duration of the batch.

        Parameters
        ----------
        tokens
            Request -> its tokens, at least 0 and not all 0.

        Raises
        ------
        InvalidInputError
            If a count is out of range.

        Examples
        --------
        >>> batch = EnergyReading(joules=90.0, seconds=1.5, source="nvml", shared=False)
        >>> batch.split({"a": 100, "b": 200})["b"]
        EnergyReading(joules=60.0, seconds=1.5, source='nvml by tokens', shared=True)
        """
        total = sum(number(count, name=f"tokens of {key!r}", low=0.0) for key, count in tokens.items())
        if total == 0.0:
            raise InvalidInputError(f"tokens are {dict(tokens)}; give at least one request with tokens")
        source = f"{self.source.removesuffix(' by tokens')} by tokens"
        return {
            key: replace(self, joules=self.joules * (count / total), source=source, shared=True)
            for key, count in tokens.items()
        }

    def carbon_grams(self, *, grams_per_kwh: float) -> float:
        """Return the grams of CO2 equivalent, by the carbon intensity of the grid that fed the device.

        Parameters
        ----------
        grams_per_kwh
            Carbon intensity of the grid, at least 0, as its operator states it for the place and the time.

        Raises
        ------
        InvalidInputError
            If the number is below 0 or not finite.
        """
        return self.joules / _JOULES_PER_KWH * number(grams_per_kwh, name="grams_per_kwh", low=0.0)
