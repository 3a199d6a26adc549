"""The energy of a call in joules, measured or estimated."""

from banditroute.energy.counters import EnergyCounter, find_counters
from banditroute.energy.meter import EnergyMeter
from banditroute.energy.nvml import NVML
from banditroute.energy.rapl import RAPL
from banditroute.energy.reading import EnergyReading

__all__ = ["NVML", "RAPL", "EnergyCounter", "EnergyMeter", "EnergyReading", "find_counters"]
