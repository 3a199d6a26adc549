"""What a router knows of its arms: a belief, and all that it is made of and made anew from."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence

from banditroute.beliefs import comparison
from banditroute.beliefs.base import Belief, Prior
from banditroute.beliefs.drift import Drift, Reset
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.errors import IncompatibleStoreError
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.router.sources import StatisticsSources, observations_of
from banditroute.store.base import Event, PutState, Served, StoredState
from banditroute.store.outcomes import measured


class ArmModels:
    """The belief of one router, kept in step with its outcomes, its arms and other processes. Not thread-safe.

    Parameters
    ----------
    arms, objectives
        What can be chosen, and what can be observed of it, by name.
    learner
        Which belief, and when an arm counts as changed.
    watched
        Objectives that are believed from the start.
    features_version, dimension
        The features, and d, the length of the context with its bias.
    blocks
        The blocks of the features; None: one.
    memory
        What was learned before, by earlier processes.
    put_state
        Takes what is to be found in the memory's ``states`` after a restart.

    Attributes
    ----------
    belief
        What is believed now; another object after every change but an outcome.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        objectives: Mapping[str, Objective],
        learner: Learner,
        watched: Collection[str],
        features_version: str,
        dimension: int,
        blocks: Sequence[FeatureBlock] | None,
        memory: StoredState,
        put_state: PutState,
    ) -> None:
        self._arms = tuple(arms)
        self._spec = learner.belief
        self._watched = watched
        self._features_version, self._dimension, self._blocks = features_version, dimension, blocks
        self._priors = {o.name: Prior(mean=o.prior_mean, noise=o.prior_noise) for o in objectives.values()}
        self._drift = Drift(
            test=learner.drift,
            belief=learner.belief,
            dimension=dimension,
            features_version=features_version,
            put_state=put_state,
        )
        self._put_state = put_state
        self._recorded: bytes | None = None  # the choices in the store
        self._history, self.belief = self.recall(memory)
        self._record_choices()

    @property
    def resets(self) -> tuple[Reset, ...]:
        """The latest change of everything that changed, oldest first."""
        return self._drift.resets

    @property
    def untried(self) -> list[str]:
        """Arms of which nothing was learned."""
        belief = self.belief
        return [arm for arm, nats in zip(belief.arms, belief.information(), strict=True) if nats == 0.0]

    def learn(self, event: Event) -> None:
        """Learn what is newly known of a decision, whether its arm can still be chosen or not."""
        if event.arm not in self.belief.arms:
            self._history.learn(event.arm, [event])  # for its return
            return
        changed = self._drift.notice(
            self.belief,
            event.arm,
            event.x,
            measured(event.values),
            decided_at=event.decided_at,
            ordinal=event.ordinal,
        )
        for x, values, decided_at, ordinal, weight in observations_of(event):
            self.belief.update(event.arm, x, values, decided_at=decided_at, ordinal=ordinal, weight=weight)
        self._record_choices()
        for objective in changed:
            left = self._drift.reset(self.belief.statistics(), event.arm, objective, event.decided_at)
            self._exchange(self._believe(self._history, left))

    def quality(self, arm: str, x: Vector | None) -> float:
        """The quality expected of an arm at context ``x``.

        Of an arm that can be chosen no more, and at a context of other features, what is assumed of a new one.
        """
        self.belief.watch(["quality"])
        if arm not in self.belief.arms or x is None or len(x) != self._dimension:
            return self._priors["quality"].mean or 0.0
        j, k = self.belief.objectives.index("quality"), self.belief.arms.index(arm)
        return float(self.belief.predict(x).means[j, k])

    def compare(self, winner: Served, loser: Served) -> tuple[float, float]:
        """What it teaches of the quality of each that the one answer was preferred to the other."""
        noise = self._priors["quality"].noise or 1.0
        return comparison.outcomes(self.quality(winner.arm, winner.x), self.quality(loser.arm, loser.x), noise=noise)

    def recall(self, memory: StoredState) -> tuple[StatisticsSources, Belief]:
        """What is to be known by all that is remembered now; changes nothing."""
        history = StatisticsSources(
            belief=self._spec, features_version=self._features_version, dimension=self._dimension, memory=memory
        )
        statistics = history.begin(self._arms)
        left = self._drift.discounted(lambda: statistics, memory.states)
        recorded = _recorded_choices(memory.states.get("choices"), self._features_version)
        return history, self._believe(history, statistics if left is None else left, recorded)

    def replace(self, history: StatisticsSources, belief: Belief) -> None:
        """Know what ``recall`` gave, in place of what was known."""
        self._history = history
        self._exchange(belief)

    def warm_start(self, statistics: Mapping[str, bytes]) -> None:
        """Begin anew from these statistics of a log, in place of an earlier log's, and from all feedback."""
        self._history.keep(self.belief.statistics())
        self._history.warm = dict(statistics)
        self._exchange(self._believe(self._history, self._history.begin(self._arms)))

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Know ``arms`` from now on; what was learned of others is kept for their return."""
        self._history.keep(self.belief.statistics())
        statistics = self._history.begin(arms)
        self._arms = tuple(arms)
        self._exchange(self._believe(self._history, statistics))

    def _believe(
        self, history: StatisticsSources, statistics: Mapping[str, bytes], choices: bytes | None = None
    ) -> Belief:
        belief = self._spec.start(
            arms=self._arms,
            dimension=self._dimension,
            blocks=self._blocks,
            priors=self._priors,
            statistics=statistics,
            choices=self._recorded if choices is None else choices,
        )
        if any(arm.priced for arm in self._arms):
            belief.watch(["cost_usd", "output_tokens"])
        belief.watch(list(self._watched))
        return belief

    def _exchange(self, belief: Belief) -> None:
        belief.watch(self.belief.objectives)
        self.belief = belief
        self._record_choices()

    def _record_choices(self) -> None:
        """Record what the belief has chosen since it was last recorded, for a restart and for other processes."""
        belief, choices = self.belief, self.belief.choices
        if choices is not None and choices != self._recorded:
            self._recorded = choices
            outcomes = max((float(belief.counts(name).sum()) for name in belief.objectives), default=0.0)
            record = {self._features_version: (outcomes, b64encode(choices).decode())}
            self._put_state("choices", json.dumps(record).encode(), _later_choices)


def _recorded_choices(blob: bytes | None, features_version: str) -> bytes | None:
    """Return what a belief over these features has chosen, as recorded; None: nothing.

    Raises
    ------
    IncompatibleStoreError
        If the record is damaged.
    """
    try:
        record = {} if blob is None else json.loads(blob)
        return b64decode(record[features_version][1], validate=True) if features_version in record else None
    except (ValueError, TypeError, LookupError) as error:
        raise IncompatibleStoreError(
            f"the stored state 'choices' is damaged ({error}); restore the database from a backup, or use another "
            "router name"
        ) from error


def _later_choices(earlier: bytes, later: bytes) -> bytes:
    """Return the choices of both records: for each version of the features, those that rest on more outcomes."""
    record = json.loads(earlier)
    for version, choices in json.loads(later).items():
        record[version] = max(record.get(version, choices), choices, key=lambda each: each[0])
    return json.dumps(record).encode()
