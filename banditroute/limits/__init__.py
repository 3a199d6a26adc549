"""Limits: which arms may be chosen, and their shares of the traffic."""

from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.constraints import Limits
from banditroute.limits.traffic import Share

__all__ = ["CircuitBreaker", "Limits", "Share"]
