"""Keep a budget: the router buys quality where it is worth most, and the spend stays on schedule.

A request costs $0.0005 with the small model and $0.01 with the large one. Hard requests need the large one, and a third
of the requests are hard. The budget allows $0.003 a request on average: enough for one large call in four.
"""

from __future__ import annotations

import random

from banditroute import Arm, Budget, Preference, Router

REQUESTS = 1500
PRICE = {"small": 0.0005, "large": 0.0100}
BUDGET_USD = 0.003


def quality(arm: str, hard: bool, rng: random.Random) -> float:
    """Stand for your grader: the small model fails at most hard requests."""
    return float(rng.random() < (0.95 if arm == "large" else 0.3 if hard else 0.9))


def fixed_mixture(share_of_large: float) -> float:
    """Return the quality of choosing the large model for this share of the requests, whatever they ask."""
    rng = random.Random(1)
    right = 0.0
    for _ in range(20_000):
        hard = rng.random() < 1 / 3
        right += quality("large" if rng.random() < share_of_large else "small", hard, rng)
    return right / 20_000


def main() -> None:
    rng = random.Random(0)
    router = Router(
        arms=[Arm(name=name, max_cost_usd=price) for name, price in PRICE.items()],
        features=1,
        preference=Preference(quality=1.0),  # within the budget, only quality counts
        budgets=[Budget(usd=BUDGET_USD)],
        seed=0,
    )
    right, large_for_hard, hard_requests = 0.0, 0, 0
    for n in range(1, REQUESTS + 1):
        hard = rng.random() < 1 / 3
        decision = router.route([1.0 if hard else -1.0])
        answer = quality(decision.arm, hard, rng)
        router.feedback(decision.id, quality=answer, cost_usd=PRICE[decision.arm])
        right += answer
        if n > REQUESTS // 2:
            hard_requests += hard
            large_for_hard += hard and decision.arm == "large"
        if n % 300 == 0:
            (budget,) = router.status().budgets
            print(
                f"{n:>5} requests: ${budget.spent:.2f} spent, pace {budget.pace:.2f}, "
                f"shadow price {budget.shadow_price:.0f} points of quality a dollar"
            )
    (budget,) = router.status().budgets
    share = (BUDGET_USD - PRICE["small"]) / (PRICE["large"] - PRICE["small"])
    print(f"\nright answers: {right / REQUESTS:.1%}; a fixed mixture at the same dollars: {fixed_mixture(share):.1%}")
    print(f"in the second half the large model got {large_for_hard / hard_requests:.0%} of the hard requests")
    print(f"spent ${budget.spent / REQUESTS:.5f} a request of the ${BUDGET_USD:.5f} that were granted")


if __name__ == "__main__":
    main()
