"""Limits: what may be chosen, and at what shadow price."""

from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.budget import Budget, Spend
from banditroute.limits.constraints import Limits

__all__ = ["Budget", "CircuitBreaker", "Limits", "Spend"]
