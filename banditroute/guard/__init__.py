"""Guard: a baseline serves until there is evidence that the learner is better."""

from banditroute.guard.guard import Guard, Rollout

__all__ = ["Guard", "Rollout"]
