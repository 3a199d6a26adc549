"""The router and its engine: a request becomes a decision, and outcomes become better models."""

from banditroute.beliefs.pool import PoolStatus
from banditroute.router.lease import Lease
from banditroute.router.requests import RouteOptions
from banditroute.router.router import Router
from banditroute.router.status import ArmStatus, Status

__all__ = ["ArmStatus", "Lease", "PoolStatus", "RouteOptions", "Router", "Status"]
