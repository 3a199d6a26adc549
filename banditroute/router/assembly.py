"""The wiring of a router: which part is made of which."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from banditroute.adapters.penalties import AdapterPenalties
from banditroute.core.decision import Decision
from banditroute.core.events import EpochBegun
from banditroute.core.validation import listed, shown
from banditroute.errors import InvalidRequestError
from banditroute.features.base import feature_blocks, recorded, vocabularies
from banditroute.router.arms import ArmRegistry
from banditroute.router.audits import Audits
from banditroute.router.cascade import Cascade
from banditroute.router.changes import Changes
from banditroute.router.constraints import Constraints
from banditroute.router.engine import Engine
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import FeedbackService
from banditroute.router.learner_roles import LearnerRoles
from banditroute.router.lease import Lease
from banditroute.router.models import ArmModels
from banditroute.router.observation import Observation
from banditroute.router.requests import RequestParser
from banditroute.router.sampling import RandomStream
from banditroute.router.settings import RouterSettings
from banditroute.router.shared_changes import FollowedChanges
from banditroute.router.sources import fold_settings, fold_with
from banditroute.router.status import Status, trouble_of
from banditroute.router.warm_start import WarmStart
from banditroute.sessions.book import SessionBook
from banditroute.store.base import NO_BACKLOG, BackgroundStore, StoredState
from banditroute.store.state_slot import StateSlots

if TYPE_CHECKING:
    from banditroute.router.router import Router

_log = logging.getLogger("banditroute")


class Parts(NamedTuple):
    """The parts of a router, and the settings that they are made of."""

    settings: RouterSettings
    requests: RequestParser
    engine: Engine
    routing: FallbackRouting
    feedback: FeedbackService
    cascade: Cascade
    registry: ArmRegistry
    warm_start: WarmStart
    observation: Observation

    def lease(self, decision: Decision) -> Lease:
        """Return the lease of a decision; see ``Router.lease``."""
        if not isinstance(decision, Decision):
            raise InvalidRequestError(
                f"a lease is asked for {shown(decision)}; give the decision that route() returned"
            )
        return Lease(decision=decision, cache=self.settings.adapters, routing=self.routing, feedback=self.feedback)

    def status(self) -> Status:
        """Return the figures of this process; see ``Router.status``."""
        store = self.settings.store
        status = self.engine.status(
            self.settings.clock(),
            router=self.settings.name,
            fallbacks=self.routing.fallback_count,
            trouble=trouble_of(store) or self.routing.trouble,
            backlog=store.backlog if isinstance(store, BackgroundStore) else NO_BACKLOG,
            unobserved=self.observation.dropped,
        )
        return self.cascade.complete(status)

    def close(self) -> None:
        """Write all that is left, let observers see it, and release the store."""
        self.engine.close()
        self.engine.waiting(self.settings.store.close)
        self.observation.close()


def parts_of(router: Router) -> Parts:
    """Return the parts of a router, for code that writes it down, serves it, measures it or tests it."""
    return router._parts


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
    _warn_of_renamed_arms(settings, memory)
    try:
        slots = StateSlots(states=memory.states, save=settings.store.save_state)
        settings = replace(settings, features=recorded(settings.features, slots.__getitem__))
        parts = _parts(settings, memory, slots)
        if settings.quotas or any(budget.hard for budget in settings.budgets):
            parts.engine.with_constraints(lambda constraints: constraints.prepare(settings.clock()))
            settings.store.flush()  # the first request finds the first slices of hard budgets and quotas
        if settings.challenger is not None:
            settings.store.flush()  # an administrator finds it at once
        parts.engine.prepare(settings.preference)
        return parts
    except BaseException:
        settings.store.close()
        raise


def _parts(settings: RouterSettings, memory: StoredState, slots: StateSlots) -> Parts:
    store, clock, stream = settings.store, settings.clock, RandomStream(settings.seed)
    engine = _engine(settings, memory, slots, stream)
    observation = _observation(settings, memory)
    changes = Changes(engine=engine, store=store, observation=observation, clock=clock)
    routing = _routing(settings, engine, observation)
    registry = _registry(settings, engine, changes)
    roles = LearnerRoles(serving=settings.learner, challenger=settings.challenger, engine=engine)
    followed = FollowedChanges(registry=registry, roles=roles)
    feedback = FeedbackService(
        objectives=settings.objectives,
        store=store,
        engine=engine,
        observation=observation,
        changes=changes,
        followed=followed,
        vocabularies=vocabularies(settings.features),
        clock=clock,
    )
    cascade = Cascade(
        store=store,
        engine=engine,
        routing=routing,
        feedback=feedback,
        limits=settings.limits,
        slot=slots["signals"],
        audits=_audits(settings, slots),
        stream=stream.spawn(),
        clock=clock,
    )
    feedback.attach(learn_signals=cascade.learn, check_audit=cascade.check_audit)
    store.subscribe(feedback)
    followed.follow(memory.states)
    roles.record(slots)
    return Parts(
        settings=settings,
        requests=_requests(settings, engine),
        engine=engine,
        routing=routing,
        feedback=feedback,
        cascade=cascade,
        registry=registry,
        warm_start=_warm_start(settings, registry, engine),
        observation=observation,
    )


def _warn_of_renamed_arms(settings: RouterSettings, memory: StoredState) -> None:
    """Log a warning if an arm of the store is not in the pool, and an arm of the pool not in the store."""
    known = {*memory.statistics, *(event.arm for event in memory.pending)}
    names = {arm.name for arm in settings.arms}
    gone, new = known - names, {arm.name for arm in settings.arms if arm.replaces is None} - known
    if gone and new:
        _log.warning(
            "router %r has feedback for %s, which is not in the pool, and starts %s without any. Feedback belongs to "
            "the name of an arm: if an arm was renamed, give it its old name again; if one succeeds another, say so by "
            "Arm(replaces=...). Otherwise do nothing",
            settings.name,
            listed(gone),
            listed(new),
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
            state_slots=slots.__getitem__,
            clock=settings.clock,
        ),
        sessions=SessionBook(arms=settings.arms, max_switch_spend=settings.max_switch_spend, slot=slots["sessions"]),
        memory=memory,
        slots=slots,
        stream=stream,
    )


def _routing(settings: RouterSettings, engine: Engine, observation: Observation) -> FallbackRouting:
    return FallbackRouting(
        engine=engine,
        features=settings.features,
        store=settings.store,
        fallback=settings.fallback,
        store_prompts=settings.store_prompts,
        observation=observation,
        clock=settings.clock,
    )


def _registry(settings: RouterSettings, engine: Engine, changes: Changes) -> ArmRegistry:
    return ArmRegistry(
        arms=settings.arms,
        traffic=settings.traffic,
        adapters=settings.adapters,
        guard=settings.guard,
        guarantee=settings.guarantee,
        limits=settings.limits,
        objectives=settings.objectives,
        engine=engine,
        store=settings.store,
        changes=changes,
        clock=settings.clock,
    )


def _requests(settings: RouterSettings, engine: Engine) -> RequestParser:
    return RequestParser(
        features=settings.features,
        objectives=settings.objectives,
        preference=settings.preference,
        limits=settings.limits,
        follows_sessions=lambda: engine.follows_sessions,
    )


def _warm_start(settings: RouterSettings, registry: ArmRegistry, engine: Engine) -> WarmStart:
    return WarmStart(
        features=settings.features,
        objectives=settings.objectives,
        belief=settings.learner.belief,
        registry=registry,
        engine=engine,
        store=settings.store,
        clock=settings.clock,
    )


def _audits(settings: RouterSettings, slots: StateSlots) -> Audits | None:
    guarantee = settings.guarantee
    if guarantee is None:
        return None
    assert guarantee.best is not None  # it is named with the settings
    return Audits(guarantee=guarantee, best=guarantee.best, slot=slots["guarantee"])


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
