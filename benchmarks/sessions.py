"""Agent sessions: the dollars that routing costs when a switch of the model leaves a warm prompt cache behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.router import Router
from banditroute.store import MemoryStore

# Steps of the public pool of TraceLab (University of Washington, CC BY 4.0, 2026): 4,265 sessions of coding agents,
# 357,161 steps, 54.9e9 input tokens of which 52.6e9 cached, 186.9e6 output tokens; 7.8 tool steps for each request.
# So a session takes 84 steps on average, a step 523 output tokens, and adds a few thousand tokens to the prompt.
STEPS = (8, 40, 120)
OUTPUT_TOKENS = 523.0
FIRST_TOKENS = 15_000.0
ADDED_TOKENS = 2_500.0
TOOL_STEPS = 7.8
# Not in the source, chosen: seconds between steps, lognormal (median, log-std).
TOOL_SECONDS = (6.0, 1.2)
HUMAN_SECONDS = (120.0, 1.6)
# Chosen: requests are easy or hard and often stay so; the chance that a step passes; how blurred a score is.
HARD = 0.35
STAYS = 0.75
PASSES = {"small": (0.95, 0.60), "large": (0.97, 0.92)}
BLUR = 0.7

STEPS_PER_RUN = 4_800
SCORED_FROM = 0.5  # of the sessions: before, the router learns; every policy is scored on the same ones


class Price(NamedTuple):
    """Dollars per million tokens."""

    input: float
    read: float
    write: float
    output: float


# Prices of these models in the table of genai-prices 0.2.3, which a test compares. A cache of an hour is written at twice
# the price of input, one of five minutes at 1.25 times; OpenAI writes at the price of input.
MODELS = {
    "3x": {"small": "claude-haiku-4-5", "large": "claude-sonnet-4-5"},
    "5x": {"small": "gpt-5-mini", "large": "gpt-5"},
    "15x": {"small": "claude-haiku-4-5", "large": "claude-opus-4-1"},
}
PAIRS = {
    "3x": {"small": Price(1.0, 0.1, 1.25, 5.0), "large": Price(3.0, 0.3, 3.75, 15.0)},
    "5x": {"small": Price(0.25, 0.025, 0.25, 2.0), "large": Price(1.25, 0.125, 1.25, 10.0)},
    "15x": {"small": Price(1.0, 0.1, 1.25, 5.0), "large": Price(15.0, 1.5, 18.75, 75.0)},
}
LIVE_SECONDS = {"5min": 300.0, "1h": 3600.0}
MIN_TOKENS = 1024


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of a session."""

    hard: bool
    score: float
    tokens: float
    output_tokens: float
    idle_seconds: float
    luck: float
    evicted: float


@dataclass(kw_only=True)
class Caches:
    """The prompt caches of one session at the provider: arm -> tokens and time of its latest call."""

    live_seconds: float
    prices: Mapping[str, Price]
    held: dict[str, tuple[float, float]] = field(default_factory=dict)

    def call(self, arm: str, step: Step, now: float) -> tuple[float, float]:
        """Return dollars and cached tokens of a call, and keep its prompt."""
        cached = 0.0
        if arm in self.held:
            tokens, at = self.held[arm]
            idle = now - at
            kept = idle < self.live_seconds if step.evicted > 0.03 else False
            kept = kept or (idle < 2.0 * self.live_seconds and step.evicted > 0.7)  # providers keep some for longer
            cached = tokens if kept and tokens >= MIN_TOKENS else 0.0
        self.held[arm] = step.tokens, now
        price = self.prices[arm]
        usd = cached * price.read + (step.tokens - cached) * price.write + step.output_tokens * price.output
        return usd / 1e6, cached

    def copy(self) -> Caches:
        return Caches(live_seconds=self.live_seconds, prices=self.prices, held=dict(self.held))


class Cell(NamedTuple):
    """One cell of the table: steps of an average session, pair of prices, time to live of a cache."""

    steps: int
    gap: str
    live: str

    @property
    def case(self) -> str:
        return f"{self.steps} steps, {self.gap}, {self.live}"

    @property
    def prices(self) -> dict[str, Price]:
        pair = PAIRS[self.gap]
        if self.live == "1h" and self.gap != "5x":
            return {arm: price._replace(write=2.0 * price.input) for arm, price in pair.items()}
        return pair

    def warm_usd(self, arm: str, tokens: float) -> float:
        """Return what a step with a warm cache costs."""
        price = self.prices[arm]
        fresh = min(ADDED_TOKENS, tokens)
        return ((tokens - fresh) * price.read + fresh * price.write + OUTPUT_TOKENS * price.output) / 1e6

    @property
    def worth_usd(self) -> float:
        """The worth of a passed step: with warm caches, the large model pays on hard steps and not on easy ones."""
        tokens = FIRST_TOKENS + ADDED_TOKENS * self.steps / 2.0
        gain = PASSES["large"][1] - PASSES["small"][1]
        return (self.warm_usd("large", tokens) - self.warm_usd("small", tokens)) / (0.4 * gain)


def sessions(cell: Cell, rng: np.random.Generator) -> list[list[Step]]:
    """Return the sessions of one run."""
    made = []
    for _ in range(STEPS_PER_RUN // cell.steps):
        length = int(np.clip(rng.geometric(1.0 / cell.steps), 1, 5 * cell.steps))
        hard, tokens, steps = bool(rng.random() < HARD), FIRST_TOKENS * rng.lognormal(0.0, 0.4), []
        tools_left = rng.geometric(1.0 / (1.0 + TOOL_STEPS)) - 1
        for number in range(length):
            human = number > 0 and tools_left == 0
            if human:
                tools_left = rng.geometric(1.0 / (1.0 + TOOL_STEPS)) - 1
                if rng.random() > STAYS:
                    hard = bool(rng.random() < HARD)
            elif number > 0:
                tools_left -= 1
            median, width = HUMAN_SECONDS if human else TOOL_SECONDS
            steps.append(
                Step(
                    hard=hard,
                    score=hard + BLUR * rng.normal(),
                    tokens=tokens,
                    output_tokens=OUTPUT_TOKENS * rng.lognormal(-0.125, 0.5),
                    idle_seconds=median * rng.lognormal(0.0, width),
                    luck=rng.random(),
                    evicted=rng.random(),
                )
            )
            tokens += ADDED_TOKENS * rng.lognormal(-0.5, 1.0)
        made.append(steps)
    return made


def chance_hard(score: float) -> float:
    """Return the probability that a step is hard, given its score."""
    easy, hard = np.exp(-0.5 * (np.array([score, score - 1.0]) / BLUR) ** 2) * [1.0 - HARD, HARD]
    return float(hard / (easy + hard))


def best_by_score(cell: Cell, step: Step) -> str:
    """Return the arm of the largest utility as if all caches were warm, by the true chances."""
    p = chance_hard(step.score)

    def utility(arm: str) -> float:
        easy, hard = PASSES[arm]
        return cell.worth_usd * ((1.0 - p) * easy + p * hard) - cell.warm_usd(arm, step.tokens)

    return max(PASSES, key=utility)


class Total(NamedTuple):
    """Dollars and passed share of the scored steps."""

    cost_usd: float
    score_pass: float
    steps: int


Choose = Callable[[Step, str | None, float], str]


def play(cell: Cell, runs: Sequence[Sequence[Step]], begin: Callable[[Sequence[Step]], Iterator[Any]]) -> Total:
    """Play sessions; ``begin`` returns, for a session, a generator that takes outcomes and gives arms."""
    usd, passed, count = 0.0, 0, 0
    scored_from = int(len(runs) * SCORED_FROM)
    now = 1.7e9
    for number, steps in enumerate(runs):
        now += 100_000.0
        caches = Caches(live_seconds=LIVE_SECONDS[cell.live], prices=cell.prices)
        policy = begin(steps)
        outcome: Any = None
        for step in steps:
            now += step.idle_seconds
            arm = policy.send(outcome) if outcome is not None else next(policy)
            cost, cached = caches.call(arm, step, now)
            ok = step.luck < PASSES[arm][step.hard]
            outcome = (ok, cost, cached, now)
            if number >= scored_from:
                usd, passed, count = usd + cost, passed + ok, count + 1
        with suppress(StopIteration):
            policy.send(outcome)
    return Total(usd, passed / max(count, 1), count)


def never_switch(cell: Cell, steps: Sequence[Step]) -> Iterator[str]:
    """Keep the arm that the first score names."""
    arm = best_by_score(cell, steps[0])
    for _ in steps:
        yield arm


def always_switch(cell: Cell, steps: Sequence[Step]) -> Iterator[str]:
    """Use the arm that each score names."""
    for step in steps:
        yield best_by_score(cell, step)


def sticky(cell: Cell, steps: Sequence[Step]) -> Iterator[str]:
    """Keep the arm within five minutes of its last call; else use the one that the score names."""
    arm = ""
    for step in steps:
        if not arm or step.idle_seconds > 300.0:
            arm = best_by_score(cell, step)
        yield arm


def oracle(cell: Cell, steps: Sequence[Step]) -> Iterator[str]:
    """Plan with the difficulty and the length of the whole session known; of the paths to each arm the best is kept."""
    paths = {"": (0.0, Caches(live_seconds=LIVE_SECONDS[cell.live], prices=cell.prices), ())}
    now = 0.0
    for step in steps:
        now += step.idle_seconds
        reached: dict[str, tuple[float, Caches, tuple[str, ...]]] = {}
        for (value, caches, path), arm in product(paths.values(), PASSES):
            after = caches.copy()
            gained = value + cell.worth_usd * PASSES[arm][step.hard] - after.call(arm, step, now)[0]
            if arm not in reached or gained > reached[arm][0]:
                reached[arm] = gained, after, (*path, arm)
        paths = reached
    for arm in max(paths.values(), key=lambda each: each[0])[2]:
        yield arm


def arms_of(cell: Cell, *, caches: bool) -> list[Arm]:
    """Return the arms with their prices; without ``caches`` the router knows nothing of them."""
    known: dict[str, Any] = {}
    made = []
    for name, price in cell.prices.items():
        if caches:
            known = {
                "cached_input_usd_per_million_tokens": price.read,
                "cache_write_usd_per_million_tokens": price.write,
                "cache_seconds": LIVE_SECONDS[cell.live],
                "cache_min_tokens": MIN_TOKENS,
                "provider": "provider",
            }
        made.append(
            Arm(
                name=name, input_usd_per_million_tokens=price.input, output_usd_per_million_tokens=price.output, **known
            )
        )
    return made


def routed(cell: Cell, runs: Sequence[Sequence[Step]], seed: int, settings: Mapping[str, Any]) -> Total:
    """Play sessions with a router that learns."""
    now = 1.7e9
    numbers = iter(range(len(runs)))
    with Router(
        arms=arms_of(cell, caches=settings.get("caches", True)),
        features=1,
        preference=Preference(quality=1.0, cost_usd=1.0 / cell.worth_usd),
        store=MemoryStore(capacity=1),
        max_switch_spend=settings.get("max_switch_spend"),
        seed=seed,
        clock=lambda: now,
    ) as router:

        def begin(steps: Sequence[Step]) -> Iterator[Any]:
            nonlocal now
            session = f"s{next(numbers)}"
            now += 100_000.0
            for step in steps:
                now += step.idle_seconds
                decision = router.route([step.score], session=session, input_tokens=int(step.tokens))
                ok, cost, cached, _ = yield decision.arm
                router.feedback(
                    decision.id,
                    quality=float(ok),
                    cost_usd=cost,
                    output_tokens=step.output_tokens,
                    cached_tokens=cached,
                )

        total = play(cell, runs, begin)
        if router.status().fallbacks:
            raise RuntimeError(f"{router.status().fallbacks} decisions fell back")
    return total


REFERENCES = {"never_switch": never_switch, "always_switch": always_switch, "sticky": sticky, "oracle": oracle}
ROUTERS: dict[str, dict[str, Any]] = {
    "banditroute": {},
    "banditroute/max_switch_spend": {"max_switch_spend": 0.05},
    "banditroute/no_caches": {"caches": False},
}


def run(job: tuple[Cell, int, bool]) -> dict[str, Total]:
    """Return the totals of every policy on the same sessions."""
    cell, seed, variants = job
    runs = sessions(cell, np.random.default_rng([seed, STEPS.index(cell.steps)]))
    totals = {name: play(cell, runs, partial(policy, cell)) for name, policy in REFERENCES.items()}
    totals |= {
        name: routed(cell, runs, seed, settings) for name, settings in ROUTERS.items() if variants or "/" not in name
    }
    return totals


def equal_quality_usd(total: Total, cell: Cell, reference: Total) -> float:
    """Return the dollars of a policy, with the worth of what it passes less often than the reference added."""
    return total.cost_usd + cell.worth_usd * (reference.score_pass - total.score_pass) * total.steps


@command(
    options=[
        click.option("--cell", "wanted", default="", help="Only the cases that hold this text."),
        click.option("--variants", is_flag=True, help="Also a switch budget, and a router that knows no caches."),
    ]
)
def main(*, files: list[Path], seeds: int, wanted: str, variants: bool) -> list[Row]:
    """Dollars of agent sessions at equal quality: never switching, switching at every score, and the router.

    A case is a cell: steps of an average session, price of the large model over the small one, time to live of a prompt
    cache. `cost_usd` and `score_pass` are of the scored sessions. `equal_quality_usd` adds the worth of the steps that
    a policy passes less often than the better of never_switch and always_switch. The worth of a step is that of the
    preference, which all policies share. The references know the true chances; the router learns them. `saved` is 1
    less the equal-quality dollars over those of the better reference.
    """
    cells = [Cell(*each) for each in product(STEPS, PAIRS, LIVE_SECONDS)]
    cells = [cell for cell in cells if wanted in cell.case]
    jobs = [(cell, seed, variants) for cell in cells for seed in range(seeds)]
    with ProcessPoolExecutor(max_workers=2) as pool:
        results = list(tqdm(pool.map(run, jobs), total=len(jobs)))
    rows = []
    for cell in cells:
        some = [totals for (each, _, _), totals in zip(jobs, results, strict=True) if each == cell]
        rows += _rows(cell, some)
    return rows


def _rows(cell: Cell, some: Sequence[dict[str, Total]]) -> list[Row]:
    rows = []

    def worth(totals: dict[str, Total], name: str) -> float:
        return equal_quality_usd(totals[name], cell, totals["never_switch"])

    means = {name: np.mean([worth(totals, name) for totals in some]) for name in ("never_switch", "always_switch")}
    better = min(means, key=lambda name: means[name])
    for name in some[0]:
        add = partial(row, cell.case, name)
        equal = [equal_quality_usd(totals[name], cell, totals[better]) for totals in some]
        rows.append(add("cost_usd", [totals[name].cost_usd for totals in some], higher_is_better=False))
        rows.append(add("score_pass", [totals[name].score_pass for totals in some]))
        rows.append(add("equal_quality_usd", equal, higher_is_better=False))
        saved = [1.0 - usd / totals[better].cost_usd for usd, totals in zip(equal, some, strict=True)]
        rows.append(add("saved", saved))
    return rows


if __name__ == "__main__":
    main()
