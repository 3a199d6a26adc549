"""Limits: which arms may be chosen, their quotas and load, and their shares of the traffic."""

from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.constraints import Limits
from banditroute.limits.quotas import Quota
from banditroute.limits.rules import Rule
from banditroute.limits.traffic import Share

__all__ = ["CircuitBreaker", "Limits", "Quota", "Rule", "Share"]
