"""A canary with a guard: a new model arrives, gets a small share, and is used for all that it does better.

The present model, ``v1``, is the baseline. The guard lets the learner decide more requests only when there is evidence
that it does better. The share of the new model, ``v2``, is bounded until we lift the bound. Then v2 breaks, and one
call sends everything back to v1.
"""

from __future__ import annotations

import random

from banditroute import Guard, Router, Share


def quality(arm: str, long: bool, broken: bool, rng: random.Random) -> float:
    """Stand for your grader: v2 is better at long requests, until it breaks."""
    if arm == "v1":
        return float(rng.random() < (0.5 if long else 0.9))
    return float(rng.random() < (0.1 if broken else 0.95 if long else 0.85))


def serve(router: Router, requests: int, rng: random.Random, *, broken: bool = False) -> str:
    """Serve requests, report their outcomes, and return a line of figures."""
    right, new = 0.0, 0
    for _ in range(requests):
        long = rng.random() < 0.5
        decision = router.route([1.0 if long else -1.0])
        answer = quality(decision.arm, long, broken, rng)
        router.feedback(decision.id, quality=answer, source="grader")
        right += answer
        new += decision.arm == "v2"
    rollout = router.status().rollout
    assert rollout is not None
    return (
        f"right {right / requests:>5.1%}   v2 serves {new / requests:>5.1%}   "
        f"guard: {rollout.mode}, the learner decides {rollout.share:.0%}"
    )


def main() -> None:
    rng = random.Random(0)
    router = Router(
        arms=["v1", "v2"],
        features=1,
        guard=Guard(baseline="v1", shares=[0.2, 0.5, 0.95]),
        traffic={"v2": Share(at_most=0.1)},
        fallback="v1",
        seed=0,
    )
    print("canary, at most 10%    ", serve(router, 1500, rng))
    router.set_traffic({})  # the canary looks good: no bound any more, the guard decides
    for _ in range(3):
        print("no bound               ", serve(router, 1000, rng))
    print("v2 breaks              ", serve(router, 300, rng, broken=True))
    router.set_guard_mode("bypass")  # an instant rollback to the baseline
    print("rolled back            ", serve(router, 300, rng, broken=True))


if __name__ == "__main__":
    main()
