"""Preferences under the names by which they are known."""

from __future__ import annotations

from banditroute.core.preference import Preference
from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError
from banditroute.objectives.objective import Objective
from banditroute.objectives.scaling import Scaled

JOULES_PER_TOKEN = Objective(name="joules_per_token", higher_is_better=False, low=0.0)
"""Energy over input and output tokens: what GreenServ weighs. ``Router(objectives=[JOULES_PER_TOKEN])`` takes it."""

CHEAPEST = Preference(cost_usd=1.0)
"""The least cost, whatever the quality: with ``Limits(min_quality=...)``, the cheapest arm above that quality."""


def equal_worth(**amounts: float) -> Preference:
    """Return the preference to which these amounts are worth the same, each in its objective's own unit.

    Parameters
    ----------
    amounts
        Objective name = amount, above 0; utility is in units of the first.

    Raises
    ------
    InvalidConfigurationError
        If an amount is not a number above 0, or no amount is given.

    Examples
    --------
    A point of quality, .01, is worth $0.002 and 5 J:

    >>> equal_worth(quality=0.01, cost_usd=0.002, energy_joules=5.0)
    Preference(quality=1, cost_usd=5, energy_joules=0.002)
    """
    for name, amount in amounts.items():
        if number(amount, name=f"amount of {name}", low=0.0, error=InvalidConfigurationError) == 0.0:
            raise InvalidConfigurationError(f"amount of {name} is 0, which is worth nothing; give a number above 0")
    return Preference(**{name: next(iter(amounts.values())) / amount for name, amount in amounts.items()})


def willingness_to_pay(usd: float) -> Preference:
    """Return RouterBench's preference ``usd x quality - cost``: a right answer is worth ``usd`` dollars.

    Source: Hu et al. 2024, "RouterBench: a benchmark for multi-LLM routing system", section 3 (their lambda).

    Examples
    --------
    >>> willingness_to_pay(0.02)
    Preference(quality=0.02, cost_usd=1)
    """
    return Preference(quality=usd, cost_usd=1.0)


def greenserv(energy_weight: float = 0.5, *, joules_per_token: float | None = None) -> Scaled:
    """Return GreenServ's preference ``(1 - w) accuracy - w joules per token``, the latter in units of its range.

    Their range is that of the whole data set, known beforehand; given here as ``joules_per_token``, or left out, it is
    the interquartile range of what is reported, see :class:`banditroute.objectives.Scaled`. Needs the objective
    ``JOULES_PER_TOKEN``. Energy per token flatters long answers: ``energy_joules``, per request, does not.

    Parameters
    ----------
    energy_weight
        w, in [0, 1].
    joules_per_token
        The range, above 0 in J per token.

    Raises
    ------
    InvalidConfigurationError
        If the weight or the range is out of bounds.

    Examples
    --------
    >>> greenserv(0.25, joules_per_token=2.0).weights
    Preference(quality=0.75, joules_per_token=0.25)
    """
    weight = number(energy_weight, name="energy_weight", low=0.0, high=1.0, error=InvalidConfigurationError)
    reference = {} if joules_per_token is None else {"joules_per_token": joules_per_token}
    return Scaled(weights={"quality": 1.0 - weight, "joules_per_token": weight}, reference=reference)
