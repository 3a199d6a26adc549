"""Simulation: replay a router over tables with known outcomes, and measure utility and regret."""

from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Absence, Channel, Conditions, Outage, Popularity, Price
from banditroute.simulate.environments import ENVIRONMENTS, Environment, adversarial, drifting, hybrid, linear
from banditroute.simulate.expected_costs import expected_costs
from banditroute.simulate.experiment import Experiment, read_settings, run
from banditroute.simulate.frontier import Frontier, frontier
from banditroute.simulate.metrics import Estimate, Row, estimate, references, static_mixture, summarize, utilities
from banditroute.simulate.replay import Trace, replay
from banditroute.simulate.simulation import Simulation, simulate
from banditroute.simulate.sweep import sweep

__all__ = [
    "ENVIRONMENTS",
    "Absence",
    "AdapterSlots",
    "Channel",
    "Conditions",
    "Environment",
    "Estimate",
    "Experiment",
    "Frontier",
    "Outage",
    "Popularity",
    "Price",
    "Row",
    "Simulation",
    "Trace",
    "adversarial",
    "drifting",
    "estimate",
    "expected_costs",
    "frontier",
    "hybrid",
    "linear",
    "read_settings",
    "references",
    "replay",
    "run",
    "simulate",
    "static_mixture",
    "summarize",
    "sweep",
    "utilities",
]
