"""A cascade with a real verifier: factor a number cheaply, check the answer exactly, and pay more only if it is wrong.

The small solver divides by the primes below 60. The large one divides until it is done, which takes many more steps.
The verifier multiplies the factors and tests each for being prime, by Fermat's little theorem. It knows no solution, it
is cheap, and it errs on Carmichael numbers. The router learns what its word is worth.
"""

from __future__ import annotations

import random
from collections import Counter

from banditroute import Preference, Router

REQUESTS = 600
USD_PER_STEP = {"small": 1e-6, "large": 3e-5}
PREFERENCE = Preference(quality=1.0, cost_usd=50.0)


def divide(n: int, below: int) -> tuple[list[int], int]:
    """Return the factors that divisors below a bound find, with what is left, and the number of steps."""
    factors, divisor, steps = [], 2, 0
    while divisor < below and divisor * divisor <= n:
        steps += 1
        if n % divisor == 0:
            factors.append(divisor)
            n //= divisor
        else:
            divisor += 1
    return ([*factors, n] if n > 1 else factors), steps


def solve(arm: str, n: int) -> tuple[list[int], float]:
    """Return an answer and its cost in dollars."""
    factors, steps = divide(n, below=60 if arm == "small" else n)
    return factors, steps * USD_PER_STEP[arm]


def verifier(n: int, factors: list[int]) -> float:
    """Return the share of the factors that look prime, or 0 if their product is not n."""
    product = 1
    for factor in factors:
        product *= factor
    looks_prime = [factor in (2, 3) or pow(2, factor - 1, factor) == 1 for factor in factors]
    return sum(looks_prime) / len(looks_prime) if product == n else 0.0


def is_right(n: int, factors: list[int]) -> float:
    return float(factors == divide(n, below=n)[0])


def main() -> None:
    rng = random.Random(0)
    numbers = [rng.randrange(1_000, 200_000) for _ in range(REQUESTS)]
    router = Router(arms=["small", "large"], features=0, preference=PREFERENCE, seed=0)
    right = spent = 0.0
    calls: Counter[str] = Counter()
    for n in numbers:
        decision = router.route([])
        answers = {}
        while True:
            answers[decision.id], cost_usd = solve(decision.arm, n)
            router.feedback(decision.id, cost_usd=cost_usd)
            calls[decision.arm] += 1
            spent += cost_usd
            step = router.next_step(decision, {"verifier": verifier(n, answers[decision.id])})
            if step.next is None:
                break
            decision = step.next
        quality = is_right(n, answers[step.answer])
        router.feedback(step.answer, quality=quality)
        right += quality

    print(f"{'':<14}{'right':>8}{'USD':>10}")
    for arm in ("small", "large"):
        answers = [(n, *solve(arm, n)) for n in numbers]
        share = sum(is_right(n, factors) for n, factors, _ in answers) / REQUESTS
        print(f"{'always ' + arm:<14}{share:>8.1%}{sum(usd for *_, usd in answers):>10.4f}")
    print(f"{'the cascade':<14}{right / REQUESTS:>8.1%}{spent:>10.4f}")
    print(f"\ncalls: {dict(calls)} for {REQUESTS} requests")


if __name__ == "__main__":
    main()
