"""How much should a model think? Three efforts of one model are three arms.

More effort means more tokens, so more dollars and seconds. It helps hard requests and is wasted on easy ones. Each
request may have its own preference: a batch job does not mind waiting, a chat does.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from banditroute import Arm, Preference, Router

EFFORTS = {"low": 1.0, "medium": 4.0, "high": 16.0}  # output tokens, as a multiple
USD_PER_MILLION_TOKENS = 10.0
TOKENS_PER_SECOND = 80.0
CHAT = Preference(quality=1.0, cost_usd=5.0, latency_seconds=0.01)
BATCH = Preference(quality=1.0, cost_usd=5.0)


def call(effort: str, difficulty: int, rng: random.Random) -> dict[str, Any]:
    """Stand for your LLM call; difficulty is 0, 1 or 2."""
    right = min(
        0.97, {"low": (0.95, 0.55, 0.15), "medium": (0.96, 0.9, 0.45), "high": (0.97, 0.93, 0.85)}[effort][difficulty]
    )
    tokens = rng.uniform(80, 160) * EFFORTS[effort]
    return {
        "quality": float(rng.random() < right),
        "output_tokens": tokens,
        "cost_usd": tokens * USD_PER_MILLION_TOKENS / 1e6,
        "latency_seconds": tokens / TOKENS_PER_SECOND,
    }


def features(difficulty: int) -> list[float]:
    """Return the difficulty, as your application may know it from the kind of task."""
    return [1.7 if difficulty == k else -0.3 for k in range(3)]


def main() -> None:
    rng = random.Random(0)
    router = Router(
        arms=[Arm(name=f"effort-{name}", descriptors={"effort": times / 16.0}) for name, times in EFFORTS.items()],
        features=3,
        preference=CHAT,
        seed=0,
    )
    for _ in range(1500):
        difficulty = rng.randrange(3)
        decision = router.route(features(difficulty), preference=rng.choice([CHAT, BATCH]))
        router.feedback(decision.id, **call(decision.arm.removeprefix("effort-"), difficulty, rng))
    print(router.status(), "\n")
    for name, preference in (("chat", CHAT), ("batch", BATCH)):
        for difficulty, kind in enumerate(("easy", "medium", "hard")):
            chosen = Counter(router.route(features(difficulty), preference=preference).arm for _ in range(100))
            shares = ", ".join(f"{arm} {n}%" for arm, n in chosen.most_common())
            print(f"{name:<6}{kind:<8}{shares}")


if __name__ == "__main__":
    main()
