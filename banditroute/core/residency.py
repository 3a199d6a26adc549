"""The state of an arm's adapter at the time of a decision."""

from __future__ import annotations

from dataclasses import dataclass

from banditroute.core.adapter import AdapterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """The state of an arm's adapter when a decision was made.

    Attributes
    ----------
    adapter
        The adapter of the arm.
    resident
        Whether it was resident. If not, it is loaded when the decision is leased.
    expected_seconds
        Expected time to load it; 0 where it was resident.
    server
        Name of the server that is to serve it, where a fleet holds the adapters; otherwise None.

    Examples
    --------
    >>> law = AdapterSpec(name="law", path="adapters/law")
    >>> Residency(adapter=law, resident=False, expected_seconds=0.25).expected_seconds
    0.25
    """

    adapter: AdapterSpec
    resident: bool
    expected_seconds: float
    server: str | None = None
