"""Agent sessions on warm prompt caches: what does it cost to change the model in the middle?

Every call of an agent sends the whole conversation. The provider reads what it has in its cache at a tenth of the
price, and the cache belongs to one model. The same sessions are served three times: by a router that knows the caches,
by one that does not, and by the large model alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from banditroute import Arm, Preference, Router

PRICES = {"small": (1.0, 5.0), "large": (3.0, 15.0)}  # dollars per million tokens of input and of output
PASSES = {"small": (0.95, 0.55), "large": (0.97, 0.93)}  # how often a step succeeds: easy, hard
WORTH_USD = 0.15  # of a step that succeeds
CACHE_SECONDS = 300.0


class Provider:
    """Stand for the provider: it keeps the prompt of a model's last call, and charges less for what it finds."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], tuple[float, float]] = {}

    def call(self, session: str, arm: str, tokens: float, now: float) -> tuple[float, float]:
        """Return the dollars of a call, and how many of its tokens were read from the cache."""
        before, at = self.held.get((session, arm), (0.0, 0.0))
        cached = before if now - at < CACHE_SECONDS else 0.0
        self.held[session, arm] = tokens, now
        price, output_price = PRICES[arm]
        usd = (0.1 * cached + 1.25 * (tokens - cached)) * price + 400.0 * output_price
        return usd / 1e6, cached


def steps(seed: int) -> Iterator[tuple[str, bool, float, float, float]]:
    """Yield session, difficulty, its blurred score, tokens and time of every step."""
    rng, now = random.Random(seed), 1.7e9
    for number in range(60):
        tokens, hard = 15_000.0, rng.random() < 0.35
        for _ in range(rng.randrange(5, 40)):
            now += rng.choice([4.0, 8.0, 15.0, 120.0])
            if rng.random() < 0.1:
                hard = rng.random() < 0.35
            yield f"ticket {number}", hard, hard + rng.gauss(0.0, 0.7), tokens, now
            tokens += rng.uniform(500.0, 4_000.0)


def serve(choose: Callable[..., str], report: Callable[..., None]) -> str:
    """Serve all sessions, and return what they cost and how often a step succeeded."""
    provider, luck = Provider(), random.Random(1)
    usd = passed = switches = count = 0.0
    last: dict[str, str] = {}
    for session, hard, score, tokens, now in steps(seed=0):
        arm = choose(session, score, tokens, now)
        cost, cached = provider.call(session, arm, tokens, now)
        ok = luck.random() < PASSES[arm][hard]
        report(ok, cost, cached)
        usd, passed, count = usd + cost, passed + ok, count + 1
        switches += last.setdefault(session, arm) != arm
        last[session] = arm
    net = WORTH_USD * passed - usd
    return f"${usd:6.2f}   {passed / count:.1%}   {switches / count:6.1%}   ${net:.2f}"


def routed(*, caches: bool) -> str:
    """Serve all sessions by a router that learns as it goes."""
    known: dict[str, Any] = (
        {"cache_seconds": CACHE_SECONDS, "cache_min_tokens": 1024, "provider": "ours"} if caches else {}
    )
    arms = []
    for name, (price, output_price) in PRICES.items():
        if caches:
            known |= {"cached_input_usd_per_million_tokens": 0.1 * price}
            known |= {"cache_write_usd_per_million_tokens": 1.25 * price}
        arms.append(
            Arm(name=name, input_usd_per_million_tokens=price, output_usd_per_million_tokens=output_price, **known)
        )
    times, ids = [0.0], [""]
    preference = Preference(quality=1.0, cost_usd=1.0 / WORTH_USD)
    with Router(arms=arms, features=1, preference=preference, seed=0, clock=lambda: times[-1]) as router:

        def choose(session: str, score: float, tokens: float, now: float) -> str:
            times.append(now)
            decision = router.route([score], session=session, input_tokens=int(tokens))
            ids.append(decision.id)
            return decision.arm

        def report(ok: bool, cost_usd: float, cached: float) -> None:
            router.feedback(ids[-1], quality=float(ok), cost_usd=cost_usd, output_tokens=400, cached_tokens=cached)

        result = serve(choose, report)
        if caches:
            print(router.route([0.0], session="ticket 59", input_tokens=60_000).explain(), "\n")
    return result


def main() -> None:
    rows = {
        "a router that knows the caches": routed(caches=True),
        "a router that does not": routed(caches=False),
        "always the large model": serve(lambda *_: "large", lambda *_: None),
    }
    print(f"{'':32}cost      success  switches  worth less cost")
    for name, shown in rows.items():
        print(f"{name:32}{shown}")


if __name__ == "__main__":
    main()
