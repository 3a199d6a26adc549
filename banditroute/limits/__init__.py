"""Limits: what may be chosen, and at what shadow price."""

from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.budget import Budget, Spend
from banditroute.limits.constraints import Limits
from banditroute.limits.guard import Guard, Rollout
from banditroute.limits.traffic import Share

__all__ = ["Budget", "CircuitBreaker", "Guard", "Limits", "Rollout", "Share", "Spend"]
