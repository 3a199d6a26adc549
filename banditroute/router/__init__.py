"""The router: from a request to a decision, from feedback to better models."""

from banditroute.router.lease import Lease
from banditroute.router.router import Router

__all__ = ["Lease", "Router"]
