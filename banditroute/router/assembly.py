"""The wiring of a router: which part is made of which."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from banditroute.adapters.penalties import AdapterPenalties
from banditroute.core.shared_total import SharedTotal
from banditroute.router.arms import ArmRegistry
from banditroute.router.constraints import Constraints
from banditroute.router.engine import Engine
from banditroute.router.escalation import Escalation
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import FeedbackService
from banditroute.router.models import ArmModels
from banditroute.router.requests import RequestParser
from banditroute.router.sampling import random_stream
from banditroute.router.settings import RouterSettings
from banditroute.router.signal_model import SignalModel
from banditroute.router.sources import fold_with
from banditroute.router.warm_start import WarmStart
from banditroute.store.base import Store, StoredState


class Parts(NamedTuple):
    """The parts of a router."""

    requests: RequestParser
    engine: Engine
    routing: FallbackRouting
    feedback: FeedbackService
    escalation: Escalation
    registry: ArmRegistry
    warm_start: WarmStart


def assemble(settings: RouterSettings) -> Parts:
    """Open the store and return the parts of a router; close the store again if a part cannot be made.

    Raises
    ------
    StoreError
        If the store cannot be opened.
    IncompatibleStoreError
        If stored state is damaged.
    """
    memory = settings.store.open(
        router=settings.name,
        arms=settings.arms,
        features_version=settings.features.version,
        dimension=settings.features.dimension + 1,
        fold=fold_with(settings.learner.belief),
    )
    try:
        return _parts(settings, memory)
    except BaseException:
        settings.store.close()
        raise


def _parts(settings: RouterSettings, memory: StoredState) -> Parts:
    store, clock, rng = settings.store, settings.clock, random_stream(settings.seed)
    totals = _BudgetTotals(store)
    constraints = Constraints(
        arms=settings.arms,
        breaker=settings.breaker,
        budgets=settings.budgets,
        traffic=settings.traffic,
        guard=settings.guard,
        utility_range=settings.utility_range,
        states=memory.states,
        put_state=store.put_state,
        tallies=memory.tallies,
        add_tally=totals.add,
    )
    models = ArmModels(
        arms=settings.arms,
        objectives=settings.objectives,
        learner=settings.learner,
        tracked=constraints.tracked_objectives,
        features_version=settings.features.version,
        dimension=settings.features.dimension + 1,
        memory=memory,
        put_state=store.put_state,
    )
    engine = Engine(
        objectives=settings.objectives,
        learner=settings.learner,
        models=models,
        constraints=constraints,
        adapters=AdapterPenalties(
            arms=settings.arms,
            cache=settings.adapters,
            switching=settings.switching,
            states=memory.states,
            put_state=store.put_state,
        ),
        memory=memory,
        put_state=store.put_state,
        rng=rng,
    )
    totals.engine = engine
    store.follow(engine.rebuild)
    signals = SignalModel(states=memory.states, put_state=store.put_state, rng=rng.spawn(1)[0])
    routing = FallbackRouting(
        engine=engine,
        features=settings.features,
        store=store,
        fallback=settings.fallback,
        store_prompts=settings.store_prompts,
        clock=clock,
    )
    feedback = FeedbackService(objectives=settings.objectives, store=store, engine=engine, signals=signals, clock=clock)
    registry = ArmRegistry(
        arms=settings.arms,
        traffic=settings.traffic,
        adapters=settings.adapters,
        guard=settings.guard,
        limits=settings.limits,
        engine=engine,
        store=store,
        clock=clock,
    )
    return Parts(
        requests=RequestParser(
            features=settings.features,
            objectives=settings.objectives,
            preference=settings.preference,
            limits=settings.limits,
        ),
        engine=engine,
        routing=routing,
        feedback=feedback,
        escalation=Escalation(
            store=store, engine=engine, signals=signals, routing=routing, feedback=feedback, limits=settings.limits
        ),
        registry=registry,
        warm_start=WarmStart(
            features=settings.features,
            objectives=settings.objectives,
            belief=settings.learner.belief,
            registry=registry,
            engine=engine,
            store=store,
            clock=clock,
        ),
    )


class _BudgetTotals:
    """Adds to the totals that all processes share, and merges what the store reports back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.engine: Engine | None = None

    def add(self, budget: str, total: SharedTotal) -> None:
        """Add to the total of a budget."""
        self._store.add_tally(budget, total, partial(self._on_total, budget))

    def _on_total(self, budget: str, joint: SharedTotal, added: SharedTotal) -> None:
        if self.engine is not None:
            self.engine.with_constraints(lambda constraints: constraints.merge_total(budget, joint, added))
