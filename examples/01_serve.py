"""A service that learns: it routes, serves, reports, stops, and continues from what it learned.

Run it twice: ``python examples/01_serve.py routes.db``. Without an argument the database is a temporary one.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from banditroute import Arm, Decision, Preference, Router, SQLStore

PROMPTS = [
    "What is the capital of Finland?",
    "Translate 'good morning' into Italian.",
    "Prove that there are infinitely many prime numbers, and then that there are infinitely many of the form 4k + 3.",
    "```python\ndef f(xs):\n    return sorted(xs)[len(xs) // 2]\n```\nWhat does f return for [3, 1, 2]? Explain it.",
]


def serve(decision: Decision, prompt: str, rng: random.Random) -> dict[str, Any]:
    """Stands for your LLM call: the small model is cheap, and fails at what is long."""
    hard = len(prompt) > 80
    right = 0.95 if decision.arm == "large" else (0.3 if hard else 0.9)
    output_tokens = rng.randint(100, 300)
    price = 15.0 if decision.arm == "large" else 0.6
    return {
        "quality": float(rng.random() < right),
        "output_tokens": float(output_tokens),
        "cost_usd": output_tokens * price / 1e6,
        "latency_seconds": output_tokens / (60.0 if decision.arm == "large" else 200.0),
    }


def main(database: Path) -> None:
    rng = random.Random(0)
    with Router(
        arms=[
            Arm(name="small", input_usd_per_million_tokens=0.15, output_usd_per_million_tokens=0.60),
            Arm(name="large", input_usd_per_million_tokens=3.00, output_usd_per_million_tokens=15.0),
        ],
        preference=Preference(quality=1.0, cost_usd=50.0),
        store=SQLStore(f"sqlite:///{database}"),
    ) as router:
        print(f"begins with {router.status().learned} learned outcomes")
        for _ in range(200):
            prompt = rng.choice(PROMPTS)
            decision = router.route(prompt)
            router.feedback(decision.id, **serve(decision, prompt, rng))
        print(f"has learned from {router.status().learned}\n")
        for prompt in PROMPTS:
            print(f"{prompt.splitlines()[0][:60]!r}\n{router.route(prompt).explain()}\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / "routes.db")
