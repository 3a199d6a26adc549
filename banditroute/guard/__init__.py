"""Guard: a baseline that serves until there is evidence of gain, and a bound on what cascades may lose."""

from banditroute.guard.guarantee import Assurance, Guarantee
from banditroute.guard.guard import Guard, Rollout

__all__ = ["Assurance", "Guarantee", "Guard", "Rollout"]
