"""banditroute as a user writes it: never run, checked by ``mypy --strict``.

``assert_type`` fails where a name has become ``Any``; ``type: ignore`` fails where a mistake is no longer found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, assert_type

import numpy as np
from numpy.typing import NDArray

import banditroute
from banditroute import (
    AdapterCache,
    AdapterSpec,
    Arm,
    ArmStatus,
    Assurance,
    BanditRouteError,
    Budget,
    BudgetStatus,
    CircuitBreaker,
    Decision,
    DecisionSet,
    EpsilonGreedy,
    Explanation,
    Guarantee,
    Guard,
    Learner,
    Lease,
    Limits,
    LinUCB,
    MemoryStore,
    Objective,
    Observer,
    Preference,
    Residency,
    Rollout,
    Router,
    Scaled,
    Share,
    SQLStore,
    SquareCB,
    Status,
    Step,
    TextFeatures,
    ThompsonSampling,
)
from banditroute.adapters import AdapterBackend, Capacity, SimulatedBackend, lru
from banditroute.beliefs import Linear
from banditroute.core import CircuitChanged, Event, Feedback, FeedbackRecorded, MergeStates, Request, SharedTotal
from banditroute.energy import EnergyMeter, find_counters
from banditroute.evaluate import Comparison, Evaluation, Interval, asymptotic_sequence, bootstrap_interval, evaluate
from banditroute.features import (
    ClusterTracker,
    Codebook,
    Complexity,
    Compose,
    Featurizer,
    Metadata,
    SemanticCluster,
    SentenceEmbedding,
    Standardize,
    StaticEmbedding,
    TaskType,
    Template,
)
from banditroute.graders import exact_match
from banditroute.learners import profile
from banditroute.logs import DecisionLog, OutcomeTable, convert, open_log, read_log, read_outcomes
from banditroute.objectives import equal_worth, greenserv
from banditroute.observe import LoggingObserver
from banditroute.policies import UCB, Mixture, Policy, Uniform
from banditroute.pricing import ModelPrice, Usage, genai_price
from banditroute.sessions import session_key
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Channel, Conditions
from banditroute.simulate.expected_costs import expected_costs
from banditroute.simulate.replay import Trace, replay
from banditroute.store import (
    Acknowledgement,
    Fold,
    OutcomeEvent,
    Recorded,
    Store,
    StoredDecision,
    StoredState,
    Subscriber,
    Ticket,
)


def profiles() -> None:
    made = profile("new", [("Why?", {"quality": 1.0})], features=TaskType())
    assert_type(made, Arm)
    assert_type(made.profile, Mapping[str, Mapping[str, float]])


def first_steps() -> str:
    router = Router(arms=["small", "large"])
    decision = router.route("Why is the sky blue?")
    assert_type(decision, Decision)
    assert_type(decision.arm, str)
    assert_type(decision.propensity, float)
    assert_type(decision.ranking, tuple[str, ...])
    assert_type(decision.probabilities, NDArray[np.float64])
    assert_type(decision.x, NDArray[np.float64] | None)
    assert_type(decision.explain(), Explanation)
    assert_type(decision.explain().rows[0].predictions["quality"], tuple[float, float])
    assert_type(router.feedback(decision.id, quality=1.0), Literal["accepted", "pending"])
    router.feedback(decision.id, failure="rate_limit", retry_after_seconds=2.0)
    answers = router.feedback_many([(decision.id, {"quality": 1.0, "cost_usd": None})], source="Ann")
    assert_type(answers, list[Acknowledgement | BanditRouteError])
    router.session_feedback("ticket 7", quality=1.0, credit="last")
    router.report_headroom("small", {"x-ratelimit-remaining-requests": "4"})
    router.correct(decision.id, quality=0.0, failed=None)
    assert_type(router.escalate(decision.id, signal=0.3), Decision | None)
    chosen = router.route_set("Why?", 2, exclude=["large"])
    assert_type(chosen, DecisionSet)
    assert_type(chosen.members, tuple[Decision, ...])
    router.session_feedback(chosen.session, quality=1.0)
    step = router.next_step(decision, {"judge": 0.3, "schema": None})
    assert_type(step, Step)
    assert_type(step.next, Decision | None)
    router.feedback(step.answer, quality=1.0, audit_of=step.audit_of)
    router.compare([decision.id, [router.route("Why?", exclude=[decision.arm]).id]], source="Ann")
    router.feedback(decision.id, quality=np.float64(0.5), cost_usd=0, energy_joules=None, latency_seconds=0.3)
    router.close()
    return decision.arm


def settings() -> None:
    arms = [
        Arm(name="small", input_usd_per_million_tokens=0.15, output_usd_per_million_tokens=0.6),
        Arm(name="large"),
        Arm(model="o4", effort="high"),
    ]
    with Router(
        arms=arms,
        features=TextFeatures(),
        learner=LinUCB(alpha=1.0, delta=0.05, belief=Linear()),
        preference=Preference(quality=1.0, cost_usd=50.0),
        objectives=[Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)],
        store=SQLStore("sqlite:///routes.db"),
        fallback="small",
        name="chat",
        store_prompts=True,
        seed=7,
        clock=lambda: 0.0,
    ) as router:
        assert_type(router, Router)
        assert_type(router.arms, tuple[Arm, ...])
        assert_type(router.features, Featurizer)
        assert_type(router.status().learned, int)
        decision = router.route(
            "Write a sonnet.",
            preference={"quality": 1, "helpfulness": 0.2},
            arms={"small", "large"},
            exclude=[arm.name for arm in arms[1:]],
            session="user-1",
            tags=["poem"],
            input_tokens=6,
        )
        router.feedback(decision.id, helpfulness=4.5)
        router.flush()
    Router(arms=["a"], features=3, learner=ThompsonSampling(scale=1.0), store=MemoryStore(capacity=10))
    Router(arms=("a", Arm(name="b")), learner=EpsilonGreedy(epsilon=0.2), seed=np.random.default_rng(0))
    Router(
        arms=["a"],
        features=Compose(
            blocks=[Complexity(), StaticEmbedding(dimension=8), SentenceEmbedding(model="all-MiniLM-L6-v2")]
        ),
    )
    Router(arms=["a"], learner=Learner(policy=Mixture(shares={"a": 1.0})), preference={"quality": 1.0})
    assert_type(LinUCB.paper(alpha=1.0), LinUCB)
    assert_type(ThompsonSampling.paper(), ThompsonSampling)
    Router(arms=["a"], budgets=[Budget(usd=20.0, per="day")], breaker=CircuitBreaker(failures=3), limits=Limits())


def steered() -> None:
    guard = Guard(baseline={"small": 0.5, "large": 0.5}, shares=[0.1, 0.9], tolerance=0.01, mode="observe")
    router = Router(arms=["small", "large"], guard=guard, traffic={"small": Share(at_least=0.1)})
    assert_type(router.status().rollout, Rollout | None)
    assert_type(router.status().assurance, Assurance | None)
    assert_type(Guarantee(max_loss=0.02, best="large").max_loss, float)
    router.add_arm("new", traffic=Share(at_most=0.05))
    router.set_traffic({})
    router.set_guard_mode("bypass")
    router.set_guard_mode("off")  # type: ignore[arg-type]


def told_apart(prompts: list[str]) -> Featurizer:
    task = TaskType.fit({"sum": ["Add 1 and 2", "What is 3 + 4?"], "greeting": ("Hi", "Hello")})
    assert_type(task, TaskType)
    own = TaskType(classifier=lambda text: [0.5, 0.5], types=["a", "b"], label="even")
    schema = Metadata(numeric={"input_tokens": (0, 8000), "age": (0.5, 1.5)}, categorical={"tier": ["free", "gold"]})
    router = Router(arms=["a"], features=Compose(blocks=[own, schema, Template(slots=8)]))
    router.route("Why?", template="why", metadata={"tier": "gold", "age": 1})
    router.route_many(["Why?"], template="why", metadata={"tier": "gold"})
    chat: list[dict[str, str]] = [{"role": "user", "content": "Why?"}]
    router.route(chat)
    parts: Mapping[str, object] = {"role": "user", "content": [{"type": "text", "text": "Why?"}]}
    router.route([parts, {"role": "tool", "content": None}])
    router.route_many([chat, "Why?"])
    standard = Standardize(block=task).fit(prompts)
    assert_type(Standardize(block=task, dimension=1).load("file.npz"), Standardize)
    return standard


def drift(prompts: list[str]) -> Featurizer:
    tracker = ClusterTracker(codebook=Codebook.load("mine.npz"))
    tracker.observe(prompts[0])
    tracker.save("tracker.npz")
    assert_type(ClusterTracker.load("tracker.npz").refit(), Codebook)
    return SemanticCluster(codebook=tracker.refit())


def ready_features(router: Router) -> list[Decision]:
    router.route([0.1, 0.2])
    router.route((0.1, 0.2))
    router.route(np.zeros(2, dtype=np.float32))
    decisions = router.route_many([[0.1, 0.2], np.zeros(2), "text"], preference=Preference(quality=1.0), exclude=["a"])
    assert_type(decisions, list[Decision])
    return decisions


async def event_loop(router: Router) -> None:
    decision = await router.aroute("Why?", session="s", input_tokens=2, template="t", metadata={"tier": None})
    assert_type(decision, Decision)
    assert_type(await router.afeedback(decision.id, quality=1.0, latency_seconds=0.2), Acknowledgement)
    assert_type(await router.afeedback_many([]), list[Acknowledgement | BanditRouteError])
    await router.asession_feedback("s", quality=1.0, source="Ann")
    await router.acorrect(decision.id, quality=0.5)
    await router.acompare([decision.id, decision.id])
    assert_type(await router.aescalate(decision.id, signal=0.5), Decision | None)
    assert_type(await router.anext_step(decision.id, {"judge": 0.5}), Step)
    assert_type(await router.aroute_set("Why?", 2, tags=["t"]), DecisionSet)


class Watcher:
    """An observer of one's own."""

    def on_decision(self, decision: Decision) -> None: ...

    def on_feedback(self, feedback: FeedbackRecorded) -> None: ...

    def on_event(self, event: Event) -> None:
        if isinstance(event, CircuitChanged):
            assert_type(event.open, bool)


def watched() -> None:
    observer: Observer = Watcher()
    router = Router(arms=["a"], observers=[observer, LoggingObserver(logger="app", level=10)])
    status = router.status()
    assert_type(status, Status)
    assert_type(status.arms, tuple[ArmStatus, ...])
    assert_type(status.arm("a").means, Mapping[str, float])
    assert_type(status.open_circuits, tuple[str, ...])
    assert_type(status.budgets, tuple[BudgetStatus, ...])
    assert_type(status.lag_seconds, float)
    Router(arms=["a"], observers=[object()])  # type: ignore[list-item]


class Sticky:
    """A policy of one's own."""

    def probabilities(
        self,
        means: NDArray[np.float64],
        stds: NDArray[np.float64],
        *,
        arms: Sequence[str],
        information: Callable[[], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        result = np.zeros(len(arms))
        result[int(means.argmax())] = 1.0
        return result


class Length:
    """A featurizer of one's own; plain attributes will do."""

    dimension = 1
    version = "length-1"
    names = ("length",)

    def transform_one(self, request: Request) -> NDArray[np.float64]:
        return np.array([float(len(request.text or ""))])

    def transform(self, requests: Sequence[Request]) -> NDArray[np.float64]:
        return np.stack([self.transform_one(request) for request in requests])


class Done:
    """A ticket of one's own."""

    def result(self, timeout: float | None = None) -> Acknowledgement:
        return "accepted"


class Shelf:
    """A store of one's own."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.made: dict[str, Decision] = {}
        self.subscriber: Subscriber | None = None

    def open(
        self,
        *,
        router: str,
        arms: Sequence[Arm],
        features_version: str,
        dimension: int,
        fold: Fold,
        fold_settings: str = "",
    ) -> StoredState:
        assert_type(fold(None, []), bytes)
        return StoredState(statistics={}, pending=[], decisions=0, feedback=0)

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        self.made[decision.id] = decision

    def add_feedback(self, feedback: Feedback) -> Ticket:
        decision = self.made[feedback.decision_id]
        if decision.x is not None and self.subscriber is not None:
            event = OutcomeEvent(
                arm=decision.arm,
                x=decision.x,
                values=feedback.values,
                decided_at=decision.decided_at,
                ordinal=decision.ordinal,
            )
            self.subscriber.on_recorded(
                Recorded(decision_id=decision.id, event=event, received_at=feedback.received_at)
            )
        return Done()

    def find(self, decision_id: str) -> StoredDecision:
        return StoredDecision.of(self.made[decision_id], epoch_id=1)

    def find_session(self, session: str) -> list[str]:
        return [id for id, made in self.made.items() if made.session == session]

    def subscribe(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber

    def set_arms(self, arms: Sequence[Arm]) -> None: ...

    def correct(self, decision_id: str, values: Mapping[str, float]) -> None: ...

    def save_state(self, name: str, blob: bytes, merge: MergeStates | None = None) -> None: ...

    def add_total(self, budget: str, total: SharedTotal) -> SharedTotal | None: ...

    def flush(self) -> None: ...

    def close(self, timeout: float = 60.0) -> None: ...


def own_parts() -> None:
    policy: Policy = Sticky()
    featurizer: Featurizer = Length()
    store: Store = Shelf()
    Router(arms=["a"], features=featurizer, learner=Learner(policy=policy, belief=Linear()), store=store)
    Router(arms=["a"], features=Length(), learner=Learner(policy=Sticky()), store=Shelf())
    policies: list[Policy] = [UCB(alpha=1.0), Uniform(), Mixture(shares={"a": 1})]
    chances = policies[0].probabilities(np.zeros(1), np.zeros(1), arms=["a"], information=lambda: np.zeros(1))
    assert_type(chances, NDArray[np.float64])


def arms_and_logs(router: Router) -> None:
    router.add_arm(Arm(name="b", replaces="a"))
    router.remove_arm("a")
    router.warm_start([("Why?", {"b": {"quality": 1.0}}), ([0.5], {"b": {"quality": None}})], worth=50)
    router.warm_start(OutcomeTable(name="t", prompts=(), tasks=(), arms=(), outcomes={}).rows())
    log = read_log("calls.jsonl", columns={"quality": "judge"}, skip_bad=True)
    assert_type(log, DecisionLog)
    assert_type(log.propensities, NDArray[np.float64] | None)
    assert_type(convert(open_log("routes.db", router="default"), "log.parquet"), int)


async def adapters() -> None:
    backend = SimulatedBackend(capacity=Capacity(slots=2, staging_slots=1))
    assert_type(isinstance(backend, AdapterBackend), bool)
    cache = AdapterCache(backend=backend, control=lru)
    law = AdapterSpec(name="law", path="adapters/law", size_bytes=1)
    router = Router(arms=[Arm(name="law", adapter=law)], features=1, adapters=cache)
    with router.lease(router.route([0.5])) as served:
        assert_type(served, Decision)
    async with router.lease(router.route([0.5])) as served:
        assert_type(served.residency, Residency | None)
        assert_type(served.residency.expected_seconds if served.residency else 0.0, float)
    lease = router.lease(served)
    assert_type(lease, Lease)
    assert_type(lease.seconds, float)
    for decision in cache.prefetch([served]):
        assert_type(decision, Decision)
    assert_type(cache.resident, frozenset[str])


def offline(log: DecisionLog, features: NDArray[np.float64]) -> None:
    found = evaluate(log, "linucb(alpha=1)", preference=Preference(quality=1), clusters="session")
    assert_type(found, Evaluation)
    assert_type(found.utility, Comparison | None)
    assert_type(bootstrap_interval(features), Interval)
    lower, _ = asymptotic_sequence(features)
    assert_type(lower, NDArray[np.float64])
    late = Conditions(feedback={"quality": Channel(loss=0.5)}, paging=AdapterSlots(slots=1, load_seconds=0.4))
    table = read_outcomes("outcomes.parquet")
    trace = replay(table, features, learner=LinUCB(), preference=Preference(quality=1), seed=0, conditions=late)
    assert_type(trace, Trace)
    assert_type(expected_costs(table), dict[str, dict[str, float]])
    assert_type(trace.paged_seconds, NDArray[np.float64] | None)


def errors(router: Router) -> str:
    try:
        router.feedback("0f", quality=1.0)
    except banditroute.UnknownDecisionError as error:
        assert_type(error, banditroute.UnknownDecisionError)
        return str(error)
    except (banditroute.InvalidFeedbackError, banditroute.StoreError) as problem:
        known: BanditRouteError = problem
        return str(known)
    return ""


def preference() -> Mapping[str, float]:
    preference = Preference(quality=1, cost_usd=50)
    assert_type(preference["quality"], float)
    assert_type(equal_worth(quality=0.01, cost_usd=0.002), Preference)
    scaled = greenserv(0.5, joules_per_token=2.0)
    assert_type(scaled, Scaled)
    router = Router(arms=["a"], learner=SquareCB(), preference=scaled)
    assert_type(router.route("x", preference=Scaled(weights=preference)).preference, Preference)
    return preference


class Battery:
    """A counter of the user's own."""

    source = "battery"
    devices = ("battery:0",)

    def read(self) -> list[int]:
        return [0]

    def joules(self, before: Sequence[int], after: Sequence[int], seconds: float) -> float:
        return float(after[0] - before[0])


def outcomes(router: Router, decision: Decision) -> None:
    assert_type(session_key([{"role": "user", "content": "Why?"}], agent="critic"), str)
    router.feedback(decision.id, cached_tokens=20_000)
    price = genai_price("gpt-4o")
    assert_type(price, ModelPrice | None)
    cost = (price or ModelPrice()).cost_usd(Usage(input_tokens=10, output_tokens=5))
    assert_type(cost, float | None)
    with EnergyMeter(counters=[Battery(), *find_counters()], joules_per_token=0.5) as meter:
        meter.tokens = 15
    signal = exact_match("Turku", "Turku")
    assert_type(meter.reading.split({"a": 5})["a"].joules, float)
    router.feedback(decision.id, quality=signal.quality, cost_usd=cost, energy_joules=meter.reading.joules)


def mistakes(router: Router) -> None:
    Router()  # type: ignore[call-arg]
    Router(arms=[1])  # type: ignore[list-item]
    Router(arms=["a"], learner=UCB())  # type: ignore[arg-type]
    Router(arms=["a"], features=object())  # type: ignore[arg-type]
    Router(arms=["a"], store=Length())  # type: ignore[arg-type]
    router.route("x", prefers={"quality": 1.0})  # type: ignore[call-arg]
    router.feedback("0f", quality="good")  # type: ignore[arg-type]
    router.route("x").arm = "b"  # type: ignore[misc]
    Learner(policy=Length())  # type: ignore[arg-type]
    Preference(quality="high")  # type: ignore[arg-type]


def configuration(router: Router) -> None:
    """A router as a file, rules, previews, and changes for all processes."""
    from banditroute import admin, config
    from banditroute.limits import Limits, Rule

    assert_type(config.load_router("router.toml"), Router)
    assert_type(config.load_router({"arms": ["a"]}, environment={}), Router)
    assert_type(config.dump_router(router), str)
    assert_type([str(mistake) for mistake in config.check_router("router.toml")], list[str])
    Limits(rules=[Rule(when="tag('private')", arms=["local"])])
    assert_type(router.preview("Why?", tags=["private"]), Decision)
    assert_type(admin.promote("sqlite:///a.db", router="default", who="me", dry_run=True).who, str)
    assert_type(admin.set_traffic("sqlite:///a.db", "canary", at_most=0.05, dry_run=True), admin.ExpectedShares)
    assert_type(admin.set_budget("sqlite:///a.db", "cost_usd per day", 30.0, who="me"), admin.ExpectedShares)
    assert_type(admin.set_prices("sqlite:///a.db", "large", input_usd_per_million_tokens=2.5), admin.ExpectedShares)
    admin.set_guard_mode("sqlite:///a.db", "bypass", who="me")
    from banditroute.evaluate import Robustness, ToGrade, robustness, to_grade

    assert_type(to_grade("sqlite:///a.db", 20, baseline="a"), ToGrade)
    assert_type(robustness("sqlite:///a.db", ["Hi"], name="docs"), Robustness)
    found = admin.competence("sqlite:///a.db", by="tenant")
    assert_type(found, admin.Competence)
    assert_type([each.grades for each in found.cells], list[int])
    assert_type(found.best["acme"], str)
    assert_type(admin.explain("sqlite:///a.db", "01a2", learner=None), admin.RecordedExplanation)


def live_page() -> None:
    """The page of a database, as an app to mount and as a server."""
    from banditroute.dashboard import dashboard_app, run

    app = dashboard_app("sqlite:///a.db")
    assert callable(app)
    dashboard_app(url=7)  # type: ignore[arg-type]
    run("sqlite:///a.db", port=8081)
