"""The arm models of one router, and how they are rebuilt from stored statistics."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.beliefs import comparison
from banditroute.beliefs.base import Belief, Observation, Prior
from banditroute.beliefs.drift import Drift, Reset
from banditroute.beliefs.linear import LinearBelief
from banditroute.beliefs.pool import PoolStatus
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.free_memory import free_bytes
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.state import StateSlot
from banditroute.core.token_costs import TokenCosts
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import utility, weights
from banditroute.pricing.token_prices import TokenPrices
from banditroute.router.belief_choices import BeliefChoices
from banditroute.router.candidates import Candidates
from banditroute.router.dominance import Dominance
from banditroute.router.forecast import Availability, predict_outcomes, token_count
from banditroute.router.session_stage import PricedTurn
from banditroute.router.sources import StatisticsSources, observations_of
from banditroute.router.within import prefer_cheapest
from banditroute.store.base import OutcomeEvent, StoredDecision, StoredState
from banditroute.store.outcomes import measured

_CACHED_PREFERENCES = 1024
_ARRAYS_PER_ARM = 6  # of d x d float64 numbers, while one belief is built next to another


def objectives_of(preference: Preference) -> list[str]:
    """Return the objectives that a decision by a preference needs."""
    needed = [name for name, weight in preference.items() if weight > 0.0]
    return needed if preference.within is None else [*needed, "cost_usd"]


class NotWatchedError(Exception):
    """A request weighs objectives that the belief does not predict yet.

    Attributes
    ----------
    objectives
        Their names.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        super().__init__(", ".join(objectives))
        self.objectives = objectives


class Prepared(NamedTuple):
    """An event that is about to be learned, with the work that takes long done.

    Attributes
    ----------
    observations
        The observations of the event.
    before, updates
        The belief, and the number of events that it had learned.
    after
        A belief with the event; None where learning it takes little.
    """

    observations: Sequence[Observation]
    before: Belief
    updates: int
    after: Belief | None


class ArmModels:
    """The belief of one router, kept in step with its outcomes, its arms and other processes.

    Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    arms, objectives
        The arms, and the objectives by name.
    learner
        The belief, the context exploration, and when an arm counts as changed.
    tracked
        Objectives that are believed from the start.
    features_version, dimension
        The version of the features, and d, the length of the context with its bias.
    blocks
        The blocks of the features; None: one block.
    memory
        The state that earlier processes stored.
    drift_slot, choices_slot
        Where resets are stored, and what the belief chooses for itself.

    Attributes
    ----------
    belief
        The present belief; another object after every change but an outcome.
    dimension
        d, the length of the context with its bias.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        objectives: Mapping[str, Objective],
        learner: Learner,
        tracked: Collection[str],
        features_version: str,
        dimension: int,
        blocks: Sequence[FeatureBlock] | None,
        memory: StoredState,
        drift_slot: StateSlot,
        choices_slot: StateSlot,
    ) -> None:
        self._objectives = objectives
        self._follow(learner)
        self._tracked = tracked
        self.dimension: int = dimension
        self._features_version, self._blocks = features_version, blocks
        self._priors = {o.name: Prior(mean=o.prior_mean, noise=o.prior_noise) for o in objectives.values()}
        self._drift = Drift(
            test=learner.drift,
            belief=learner.belief,
            dimension=dimension,
            features_version=features_version,
            slot=drift_slot,
        )
        self._choices = BeliefChoices(slot=choices_slot, features_version=features_version)
        self._signed_weights: dict[Preference, Vector] = {}
        self._dominance: Dominance | None = None  # made when a preference weighs a cost
        self._weighed_objectives: tuple[str, ...] = ()  # the objectives that these weights are for
        self._cost_weighing: set[Preference] = set()  # those of them that weigh an objective without a range
        self._updates = 0  # events that the belief has learned
        self._derive_arm_arrays(arms)
        self._check_memory(arms)
        self.belief: Belief
        self._sources, self.belief = self.load(memory)
        self._choices.record(self.belief)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, in the order of all arrays."""
        return self._arms

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arms."""
        return self._names

    def knows(self, arm: str) -> bool:
        """Return whether ``arm`` is one of the arms."""
        return arm in self._positions

    @property
    def resets(self) -> tuple[Reset, ...]:
        """The latest change of everything that changed, oldest first."""
        return self._drift.resets

    @property
    def untried(self) -> list[str]:
        """Arms of which nothing was learned."""
        belief = self.belief
        return [arm for arm, nats in zip(belief.arms, belief.information(), strict=True) if nats == 0.0]

    def pool(self) -> tuple[PoolStatus, ...]:
        """Return what kind of pool the arms are, for every believed objective with outcomes.

        Only beliefs that are linear in the context say so.
        """
        if not isinstance(self.belief, LinearBelief):
            return ()
        found = (
            self.belief.pool(name, higher_is_better=self._objectives[name].higher_is_better)
            for name in self.belief.objectives
            if name != "availability"
        )
        return tuple(each for each in found if each is not None)

    def predict(
        self,
        x: Vector,
        preference: Preference,
        *,
        request: Request,
        availability: Availability,
        limited: Sequence[str],
        now: float,
        ordinal: int,
    ) -> Candidates:
        """Return all arms with predictions for a decision that is about to be made.

        Parameters
        ----------
        limited
            Objectives that the limits of the request are on.
        now, ordinal
            Unix time in seconds, and the sequence number of the decision: knowledge ages until then.
        """
        belief = self.belief
        if limited:
            self._check_watched(limited)
        signed = self._weights(preference, check=True)
        belief.advance(now, ordinal)
        tokens = None if self._prices is None else token_count(request)
        return self._candidates(x, signed, tokens, availability)

    def weigh_costs(self, candidates: Candidates, preference: Preference) -> Candidates:
        """Return the candidates of ``predict`` with what low and high costs mean for a preference.

        The cheapest of nearly equal arms leads if the preference says so (``within``). Arms that no quality makes worth
        their cost are marked.
        """
        if preference.within is not None:
            candidates = prefer_cheapest(candidates, preference.within)
        if not self._cost_weighing or preference not in self._cost_weighing:
            return candidates
        if self._dominance is None:
            weighed = [self._objectives[name] for name in self._weighed_objectives]
            self._dominance = Dominance(arms=self._arms, objectives=weighed)
        return self._dominance.mark(candidates, self._signed_weights[preference])

    def review(
        self, x: Vector, preference: Preference, *, tokens: float | None, availability: Availability
    ) -> Candidates:
        """Return all arms with present predictions for an earlier request; knowledge does not age."""
        return self._candidates(x, self._weights(preference), tokens, availability)

    def token_count(self, request: Request) -> float | None:
        """Return the tokens of a request, counted or estimated; None where no arm has token prices."""
        return None if self._prices is None else token_count(request)

    def token_costs(self, arm: str, tokens: float | None, turn: PricedTurn | None = None) -> TokenCosts | None:
        """Return what the tokens of a call of ``arm`` cost, with the caches of a turn; None where it is not known."""
        if self._prices is None or tokens is None:
            return None
        k = self._positions[arm]
        return self._prices.by_tokens(k, tokens, 0.0 if turn is None else float(turn.turn.extra_usd[0, k]))

    def prepare(self, event: OutcomeEvent) -> Prepared:
        """Do what takes long of learning new outcomes: a belief that has to derive everything. Decisions can go on."""
        observations, before, updates, after = observations_of(event), self.belief, self._updates, None
        if event.arm in self._positions and isinstance(before, LinearBelief):
            after = before.updated_aside(event.arm, observations)
        return Prepared(observations, before, updates, after)

    def learn(self, event: OutcomeEvent, prepared: Prepared | None = None) -> None:
        """Learn new outcomes of a decision, whether its arm can still be chosen or not.

        ``prepared`` is what ``prepare`` returned for them.
        """
        self._updates += 1
        if event.arm not in self._positions:
            self._sources.learn(event.arm, [event])  # for its return
            return
        changed: list[str] = []
        if self._drift.active:
            changed = self._drift.notice(
                self.belief,
                event.arm,
                event.x,
                measured(event.values),
                decided_at=event.decided_at,
                ordinal=event.ordinal,
            )
        prepared = prepared or Prepared(observations_of(event), self.belief, self._updates - 1, None)
        observations, before, updates, after = prepared
        if after is not None and before is self.belief and updates == self._updates - 1:
            self._swap(after)
        else:  # the usual case; or a signal handler has reported meanwhile
            for x, values, decided_at, ordinal, weight in observations:
                self.belief.update(event.arm, x, values, decided_at=decided_at, ordinal=ordinal, weight=weight)
        self._choices.record(self.belief)
        for objective in changed:
            left = self._drift.reset(self.belief.statistics(), event.arm, objective, event.decided_at)
            self._swap(self._build(self._arms, left))

    def amended(self, events: Sequence[OutcomeEvent]) -> Belief:
        """Return a belief with these outcomes added, or taken back by their sign; do not call ``learn`` meanwhile."""
        self._sources.keep(self.belief.statistics())
        for event in events:
            self._sources.learn(event.arm, [event])
        return self._rebuilt(self._arms)

    def quality(self, arm: str, x: Vector | None) -> float:
        """Return the expected quality of an arm at context ``x``.

        For an arm that was removed, and for a context of other features, it is that of a new arm.
        """
        self.belief.watch(["quality"])
        if arm not in self._positions or x is None or len(x) != self.dimension:
            return self._priors["quality"].mean or 0.0
        j, k = self.belief.objectives.index("quality"), self._positions[arm]
        return float(self.belief.predict(x).means[j, k])

    def advantage(self, made: StoredDecision, objective: str) -> float:
        """Return what is expected of the arm of a decision, less what is expected of its arms by their probabilities.

        It is 0 where an arm was removed, and for a context of other features.
        """
        if made.x is None or len(made.x) != self.dimension or not all(map(self.knows, made.arms)):
            return 0.0
        self.belief.watch([objective])
        means = self.belief.predict(made.x).means[self.belief.objectives.index(objective)]
        expected = means[[self._positions[arm] for arm in made.arms]]
        return float(expected[made.arms.index(made.arm)] - made.probabilities @ expected)

    def compare(self, winner: StoredDecision, loser: StoredDecision, *, tied: bool) -> tuple[float, float]:
        """Return the pseudo-outcomes of winner and loser of a pairwise comparison."""
        noise = self._priors["quality"].noise or 1.0
        means = self.quality(winner.arm, winner.x), self.quality(loser.arm, loser.x)
        return comparison.outcomes(*means, noise=noise, tied=tied)

    def load(self, memory: StoredState) -> tuple[StatisticsSources, Belief]:
        """Return the statistics and the belief that follow from stored state; change nothing."""
        sources = StatisticsSources(
            belief=self._spec, features_version=self._features_version, dimension=self.dimension, memory=memory
        )
        statistics = sources.begin(self._arms)
        left = self._drift.discounted(lambda: statistics, memory.states)
        choices = memory.states.get("choices")
        return sources, self._build(self._arms, statistics if left is None else left, choices)

    def swap(self, sources: StatisticsSources, belief: Belief) -> None:
        """Use what ``load`` returned in place of the present statistics and belief."""
        self._sources = sources
        self._swap(belief)

    def warm_started(self, statistics: Mapping[str, bytes]) -> Belief:
        """Return a belief with these statistics of a log in place of an earlier log's; see ``amended``."""
        self._sources.keep(self.belief.statistics())
        self._sources.warm = dict(statistics)
        return self._rebuilt(self._arms)

    def over(self, arms: Sequence[Arm]) -> Belief:
        """Return a belief over ``arms`` of all that was learned; do not call ``learn`` until it is used."""
        self._check_memory(arms)
        self._sources.keep(self.belief.statistics())
        return self._rebuilt(arms)

    def led_by(self, learner: Learner) -> ArmModels:
        """Return models of all that was learned for another learner; do not call ``learn`` until they are used.

        The learner's belief rests on the same statistics, and it has the same drift test.
        """
        self._sources.keep(self.belief.statistics())
        models = copy.copy(self)
        models._follow(learner)
        models._signed_weights, models._cost_weighing = {}, set()
        models._weighed_objectives, models._dominance = (), None
        models.belief = models._rebuilt(self._arms)
        return models

    def use(self, belief: Belief, arms: Sequence[Arm] | None = None) -> None:
        """Use a belief that another method returned from now on, for ``arms`` if these have changed."""
        if arms is not None:
            self._derive_arm_arrays(arms)
        self._swap(belief)

    def _follow(self, learner: Learner) -> None:
        self._spec = learner.belief
        self._drops_dominated = not getattr(learner.policy, "ignores_utilities", False)
        share = learner.context_exploration**2
        self._context_variance_share = None if share == 1.0 else np.array(share)

    def _rebuilt(self, arms: Sequence[Arm]) -> Belief:
        """Return a belief from the sources, which predicts all that the present one predicts."""
        belief = self._build(arms, self._sources.begin(arms))
        belief.watch(self.belief.objectives)
        return belief

    def _check_memory(self, arms: Sequence[Arm]) -> None:
        """Raise InvalidConfigurationError if the arrays of so many arms do not fit into memory."""
        needed = _ARRAYS_PER_ARM * 8.0 * len(arms) * self.dimension**2
        free = free_bytes()
        if needed > free:
            raise InvalidConfigurationError(
                f"{len(arms):,} arms with {self.dimension:,} features need about {needed / 2**30:.3g} GiB, and "
                f"{free / 2**30:.3g} GiB are free; use fewer arms, or fewer features"
            )

    def _derive_arm_arrays(self, arms: Sequence[Arm]) -> None:
        self._arms = tuple(arms)
        self._names = tuple(arm.name for arm in arms)
        self._positions = {name: k for k, name in enumerate(self._names)}
        self._prices = TokenPrices(arms=arms) if any(arm.priced for arm in arms) else None
        self._dominance = None
        self._no_penalties = np.zeros(len(arms))
        self._no_penalties.flags.writeable = False

    def _candidates(
        self, x: Vector, signed_weights: Vector, tokens: float | None, availability: Availability
    ) -> Candidates:
        belief = self.belief
        means, stds, explored, counts = predict_outcomes(
            belief,
            x,
            context_variance_share=self._context_variance_share,
            prices=self._prices,
            tokens=tokens,
            availability=availability,
        )
        utilities, utility_stds = utility(signed_weights, means, explored)
        return Candidates(
            self._names,
            belief.objectives,
            means,
            stds,
            utilities,
            utility_stds,
            self._no_penalties,
            belief.information,
            counts,
            tokens,
        )

    def watch(self, objectives: Sequence[str], belief: Belief | None = None) -> None:
        """Predict these objectives from now on, with what ``watching_aside`` returned for them if it is given."""
        if belief is not None:
            self._swap(belief)
        self.belief.watch(objectives)

    def watching_aside(self, objectives: Sequence[str]) -> Belief | None:
        """Return a belief that predicts these objectives, too, while decisions go on; None if it cannot be copied."""
        return self.belief.watching_aside(objectives) if isinstance(self.belief, LinearBelief) else None

    def _check_watched(self, objectives: Sequence[str]) -> None:
        """Raise NotWatchedError if an objective is not predicted yet."""
        missing = [name for name in objectives if name not in self.belief.objectives]
        if missing:
            raise NotWatchedError(missing)

    def _weights(self, preference: Preference, *, check: bool = False) -> Vector:
        """Return the signed weights of a preference, kept from an earlier request if the objectives are the same.

        With ``check``, raise NotWatchedError in place of deriving an objective that is not predicted yet.
        """
        same = self.belief.objectives is self._weighed_objectives
        signed = self._signed_weights.get(preference) if same else None
        return self._weigh(preference, check=check) if signed is None else signed

    def _weigh(self, preference: Preference, *, check: bool) -> Vector:
        """Return the signed weight of every believed objective, and remember it."""
        belief = self.belief
        needed = objectives_of(preference)
        if check:
            self._check_watched(needed)
        belief.watch(needed)
        if belief.objectives is not self._weighed_objectives or len(self._signed_weights) >= _CACHED_PREFERENCES:
            self._signed_weights.clear()
            self._cost_weighing.clear()
            self._weighed_objectives, self._dominance = belief.objectives, None
        signed = weights(preference, belief.objectives, self._objectives)
        if self._drops_dominated and any(
            weight > 0.0 and not self._objectives[name].ranged for name, weight in preference.items()
        ):
            self._cost_weighing.add(preference)
        self._signed_weights[preference] = signed
        return signed

    def _build(self, arms: Sequence[Arm], statistics: Mapping[str, bytes], choices: bytes | None = None) -> Belief:
        """Return a belief over ``arms`` that begins with ``statistics`` and with stored ``choices``."""
        belief = self._spec.start(
            arms=arms,
            dimension=self.dimension,
            blocks=self._blocks,
            priors=self._priors,
            statistics=statistics,
            choices=self._choices.load(choices),
        )
        if any(arm.priced for arm in arms):
            belief.watch(["cost_usd", "output_tokens"])
        belief.watch(list(self._tracked))
        return belief

    def _swap(self, belief: Belief) -> None:
        belief.watch(self.belief.objectives)
        self.belief = belief
        self._choices.record(belief)
