"""The wiring of a router: which part is made of which."""

from __future__ import annotations

from typing import NamedTuple

from banditroute.adapters.penalties import AdapterPenalties
from banditroute.core.events import EpochBegun
from banditroute.features.base import feature_blocks
from banditroute.router.arms import ArmRegistry
from banditroute.router.changes import Changes
from banditroute.router.constraints import Constraints
from banditroute.router.engine import Engine
from banditroute.router.escalation import Escalation
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import FeedbackService
from banditroute.router.models import ArmModels
from banditroute.router.observation import Observation
from banditroute.router.requests import RequestParser
from banditroute.router.sampling import RandomStream
from banditroute.router.settings import RouterSettings
from banditroute.router.shared_changes import FollowedChanges
from banditroute.router.signal_model import SignalModel
from banditroute.router.sources import fold_settings, fold_with
from banditroute.router.warm_start import WarmStart
from banditroute.store.base import StoredState
from banditroute.store.state_slot import StateSlots


class Parts(NamedTuple):
    """The parts of a router."""

    requests: RequestParser
    engine: Engine
    routing: FallbackRouting
    feedback: FeedbackService
    escalation: Escalation
    registry: ArmRegistry
    warm_start: WarmStart
    observation: Observation


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
        fold_settings=fold_settings(settings.learner.belief),
    )
    try:
        parts = _parts(settings, memory)
        if settings.quotas or any(budget.hard for budget in settings.budgets):
            parts.engine.with_constraints(lambda constraints: constraints.prepare(settings.clock()))
            settings.store.flush()  # the first request finds the first slices of hard budgets and quotas
        return parts
    except BaseException:
        settings.store.close()
        raise


def _parts(settings: RouterSettings, memory: StoredState) -> Parts:
    store, clock, stream = settings.store, settings.clock, RandomStream(settings.seed)
    slots = StateSlots(states=memory.states, save=store.save_state)
    engine = _engine(settings, memory, slots, stream)
    observation = _observation(settings, memory)
    changes = Changes(engine=engine, store=store, observation=observation, clock=clock)
    signals = SignalModel(slot=slots["cascade"], stream=stream.spawn())
    routing = FallbackRouting(
        engine=engine,
        features=settings.features,
        store=store,
        fallback=settings.fallback,
        store_prompts=settings.store_prompts,
        observation=observation,
        clock=clock,
    )
    registry = ArmRegistry(
        arms=settings.arms,
        traffic=settings.traffic,
        adapters=settings.adapters,
        guard=settings.guard,
        limits=settings.limits,
        engine=engine,
        store=store,
        changes=changes,
        clock=clock,
    )
    followed = FollowedChanges(registry=registry, slot=slots["guard_change"])
    feedback = FeedbackService(
        objectives=settings.objectives,
        store=store,
        engine=engine,
        signals=signals,
        observation=observation,
        changes=changes,
        followed=followed,
        clock=clock,
    )
    store.subscribe(feedback)
    followed.follow(memory.states)
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
        observation=observation,
    )


def _engine(settings: RouterSettings, memory: StoredState, slots: StateSlots, stream: RandomStream) -> Engine:
    constraints = Constraints(
        arms=settings.arms,
        breaker=settings.breaker,
        budgets=settings.budgets,
        quotas=settings.quotas,
        traffic=settings.traffic,
        guard=settings.guard,
        utility_range=settings.utility_range,
        slots=slots,
        totals=memory.totals,
        add_total=settings.store.add_total,
    )
    models = ArmModels(
        arms=settings.arms,
        objectives=settings.objectives,
        learner=settings.learner,
        tracked=constraints.tracked_objectives,
        features_version=settings.features.version,
        dimension=settings.features.dimension + 1,
        blocks=feature_blocks(settings.features),
        memory=memory,
        drift_slot=slots["drift"],
        choices_slot=slots["choices"],
    )
    return Engine(
        objectives=settings.objectives,
        learner=settings.learner,
        models=models,
        constraints=constraints,
        adapters=AdapterPenalties(
            arms=settings.arms,
            cache=settings.adapters,
            switching=settings.switching,
            slot=slots["adapters"],
            load_time_slots=slots.__getitem__,
        ),
        memory=memory,
        slots=slots,
        stream=stream,
    )


def _observation(settings: RouterSettings, memory: StoredState) -> Observation:
    observation = Observation(settings.observers)
    if observation.active and not (memory.decisions or memory.statistics):
        observation.emit(
            EpochBegun(
                at=settings.clock(),
                router=settings.name,
                features_version=settings.features.version,
                dimension=settings.features.dimension + 1,
            )
        )
    return observation
