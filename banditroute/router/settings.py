"""The checked configuration of a router: every mistake is found before anything is opened."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.fleet import Fleet
from banditroute.beliefs.linear import Linear
from banditroute.beliefs.profiles import check_profiles
from banditroute.budgets.budget import Budget, check_budgets
from banditroute.core.arm import Arm
from banditroute.core.events import Observer
from banditroute.core.preference import Preference
from banditroute.core.validation import flag, label, non_negative, number, shown, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features.base import Featurizer, feature_blocks
from banditroute.features.given import GivenFeatures
from banditroute.guard.guarantee import Guarantee
from banditroute.guard.guard import Guard
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.constraints import Limits, check_limits
from banditroute.limits.quotas import Quota, check_quotas
from banditroute.limits.traffic import Share, check_shares
from banditroute.objectives.objective import QUALITY, Objective
from banditroute.objectives.scaling import Scaled
from banditroute.objectives.utility import PreferenceLike, check_preference, merge_objectives
from banditroute.router.clock import CheckedClock
from banditroute.router.learner_roles import check_challenger
from banditroute.router.requests import eligible_arms
from banditroute.store.base import Store
from banditroute.store.memory import MemoryStore

Clock: TypeAlias = Callable[[], float]
"""Gives Unix time in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """The checked configuration of a router; the fields are those of ``Router``.

    Attributes
    ----------
    utility_range
        The range of the utility that the guard judges.
    """

    arms: tuple[Arm, ...]
    features: Featurizer
    learner: Learner
    challenger: Learner | None
    preference: Preference | Scaled
    objectives: Mapping[str, Objective]
    limits: Limits | None
    breaker: CircuitBreaker | None
    budgets: Sequence[Budget]
    quotas: Sequence[Quota]
    adapters: AdapterCache | Fleet | None
    switching: Mapping[str, float]
    max_switch_spend: float | None
    traffic: Mapping[str, Share]
    guard: Guard | None
    utility_range: tuple[float, float]
    guarantee: Guarantee | None
    store: Store
    fallback: str
    name: str
    store_prompts: bool
    observers: Sequence[Observer]
    seed: int | np.random.Generator | None
    clock: CheckedClock

    @classmethod
    def checked(
        cls,
        *,
        arms: Sequence[Arm | str],
        features: Featurizer | int | None = None,
        learner: Learner | None = None,
        challenger: Learner | None = None,
        preference: PreferenceLike | None = None,
        objectives: Sequence[Objective] = (),
        limits: Limits | None = None,
        breaker: CircuitBreaker | None = None,
        budgets: Sequence[Budget] = (),
        quotas: Sequence[Quota] = (),
        adapters: AdapterCache | Fleet | None = None,
        switching: Mapping[str, float] | None = None,
        max_switch_spend: float | None = None,
        traffic: Mapping[str, Share] | None = None,
        guard: Guard | None = None,
        guarantee: Guarantee | None = None,
        store: Store | None = None,
        fallback: str | None = None,
        name: str = "default",
        store_prompts: bool = False,
        observers: Sequence[Observer] = (),
        seed: int | np.random.Generator | None = None,
        clock: Clock = time.time,
    ) -> RouterSettings:
        """Return the settings for these arguments of ``Router``.

        Raises
        ------
        InvalidConfigurationError
            If an argument cannot be used, or two of them contradict each other.
        InvalidRequestError
            If the preference names an unknown objective.
        """
        some = check_arms(arms, adapters)
        names = [arm.name for arm in some]
        if fallback is not None and fallback not in names:
            raise InvalidConfigurationError(f"unknown fallback arm {shown(fallback)}; known arms: {', '.join(names)}")
        by_name = merge_objectives(objectives)
        check_expected(some, by_name)
        weights = check_preference(Preference(quality=1.0) if preference is None else preference, by_name)
        checked_features = check_features(features)
        blocks = feature_blocks(checked_features) if any(arm.profile for arm in some) else ()
        check_profiles(some, blocks)
        checked_learner = check_learner(learner, with_adapters=adapters is not None)
        if challenger is not None:
            check_challenger(check_learner(challenger, role="challenger"), checked_learner)
        checked_limits = check_limits(limits)
        _check_rules(checked_limits, names)
        eligible_arms(some, limits=checked_limits, error=InvalidConfigurationError)
        if breaker is not None and not isinstance(breaker, CircuitBreaker):
            raise InvalidConfigurationError(f"breaker is {shown(breaker)}; give a CircuitBreaker, or None for none")
        check_budgets(budgets, some)
        check_quotas(quotas, some)
        shares = check_traffic({} if traffic is None else traffic, names)
        utility_range = _guard_range(guard, names, shares, weights, by_name)
        label(name, name="Router(name=...)", error=InvalidConfigurationError)
        flag(store_prompts, name="store_prompts", error=InvalidConfigurationError)
        if not callable(clock):
            raise InvalidConfigurationError(f"clock is {shown(clock)}; give a function, such as time.time")
        if max_switch_spend is not None:
            non_negative(max_switch_spend, name="max_switch_spend", error=InvalidConfigurationError)
        if seed is not None and not isinstance(seed, np.random.Generator):
            whole(
                int(seed) if isinstance(seed, np.integer) else seed, name="seed", low=0, error=InvalidConfigurationError
            )
        return cls(
            arms=some,
            features=checked_features,
            learner=checked_learner,
            challenger=challenger,
            preference=weights,
            objectives=by_name,
            limits=checked_limits,
            breaker=breaker,
            budgets=budgets,
            quotas=quotas,
            adapters=adapters,
            switching=_checked_switching(switching, by_name),
            max_switch_spend=None if max_switch_spend is None else float(max_switch_spend),
            traffic=shares,
            guard=guard,
            utility_range=utility_range,
            guarantee=_checked_guarantee(guarantee, names, fallback),
            store=_checked_store(store),
            fallback=names[0] if fallback is None else fallback,
            name=name,
            store_prompts=store_prompts,
            observers=_checked_observers(observers),
            seed=seed,
            clock=CheckedClock(clock),
        )

    @property
    def decides_at_once(self) -> bool:
        """True if a request of ready features is decided without waiting for a disk."""
        may_wait = getattr(self.store, "waits_for_disk", False) or any(
            budget.hard and budget.keyed for budget in self.budgets
        )
        return isinstance(self.features, GivenFeatures) and not may_wait

    def narrowed(self, arms: tuple[Arm, ...], traffic: Mapping[str, Share]) -> RouterSettings:
        """Return the settings for other ``arms``, without what names an arm that is gone."""
        names = {arm.name for arm in arms}
        limits, guard = self.limits, self.guard
        if limits is not None:
            limits = replace(limits, rules=[replace(rule, arms=_among(names, rule.arms)) for rule in limits.rules])
        if guard is not None and not isinstance(guard.baseline, str):
            guard = replace(guard, baseline={arm: share for arm, share in guard.baseline.items() if arm in names})
        return replace(
            self,
            arms=arms,
            fallback=self.fallback if self.fallback in names else arms[0].name,
            limits=limits,
            budgets=[budget for budget in self.budgets if budget.arm is None or budget.arm in names],
            quotas=[replace(each, arms=left) for each in self.quotas if (left := _among(names, each.arms))],
            traffic={arm: share for arm, share in traffic.items() if arm in names},
            guard=guard,
        )


def _among(names: Collection[str], arms: Collection[str]) -> list[str]:
    """Return those of ``arms`` that are among ``names``, in their order."""
    return [arm for arm in arms if arm in names]


def check_expected(arms: Sequence[Arm], objectives: Mapping[str, Objective]) -> None:
    """Raise InvalidConfigurationError unless what arms expect is of known objectives and within their ranges."""
    for arm in arms:
        stated = [("expected", name, value) for name, value in arm.expected.items() if name not in arm.profile]
        for name, entries in arm.profile.items():
            stated += [(f"profile, {shown(entry)}", name, value) for entry, value in entries.items()]
            stated.append(("expected", name, arm.expected[name]))
        for what, name, value in stated:
            if name not in objectives:
                raise InvalidConfigurationError(
                    f"arm {arm.name!r} states the unknown objective {shown(name)} ({what.split(',')[0]}); known "
                    f"objectives: {', '.join(objectives)}; declare another with Router(objectives=[Objective(...)])"
                )
            number(
                value,
                name=f"{name} of arm {arm.name!r} ({what})",
                low=objectives[name].low,
                high=objectives[name].high,
                error=InvalidConfigurationError,
            )


def check_arms(arms: object, adapters: AdapterCache | Fleet | None = None) -> tuple[Arm, ...]:
    """Return the arms of a router, names turned into arms.

    An arm with an adapter is expected to be perfect until it is tried, unless it says otherwise: a load that costs
    more than an adapter never tried could be worth would never be paid.

    Raises
    ------
    InvalidConfigurationError
        If there are no arms, two have the same name, or one has an adapter and nothing holds it.
    """
    if isinstance(arms, str) or not isinstance(arms, Sequence):
        raise InvalidConfigurationError(
            f"arms is {shown(arms)}; give a list of arms or names, for example ['small', 'large']"
        )
    checked = tuple(Arm(name=arm) if isinstance(arm, str) else arm for arm in arms)
    if not checked:
        raise InvalidConfigurationError("arms is empty; give at least one arm")
    for arm in checked:
        if not isinstance(arm, Arm):
            raise InvalidConfigurationError(f"arm {shown(arm)} is a {type(arm).__name__}; give an Arm or its name")
    names = [arm.name for arm in checked]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InvalidConfigurationError(f"arm names must be unique; given twice: {', '.join(twice)}")
    if adapters is not None and not isinstance(adapters, AdapterCache | Fleet):
        raise InvalidConfigurationError(f"adapters is {shown(adapters)}; give AdapterCache(backend=...)")
    with_adapter = [arm.name for arm in checked if arm.adapter is not None]
    if with_adapter and adapters is None:
        raise InvalidConfigurationError(
            f"arm {with_adapter[0]!r} has an adapter; say what holds it with Router(adapters=AdapterCache(...))"
        )
    return tuple(
        arm if arm.adapter is None else replace(arm, expected={"quality": QUALITY.high, **arm.expected})
        for arm in checked
    )


def check_features(features: Featurizer | int | None) -> Featurizer:
    """Return the featurizer of a router; raise InvalidConfigurationError for anything else."""
    if features is None:
        from banditroute.features.text import TextFeatures  # here: it loads a tokenizer

        return TextFeatures()
    if isinstance(features, int):
        return GivenFeatures(dimension=features)
    if not isinstance(features, Featurizer):
        raise InvalidConfigurationError(
            f"features is {shown(features)}; give a featurizer such as TextFeatures(), or the number of ready features"
        )
    return features


def check_learner(learner: Learner | None, *, with_adapters: bool = False, role: str = "learner") -> Learner:
    """Return the learner of a router; raise InvalidConfigurationError for anything else, such as a bare policy.

    By default adapters share no belief: each is good at something else, and one never tried must not be expected to be
    like the others.
    """
    if learner is None:
        return LinUCB(alpha=3.0, belief=Linear(), context_exploration=1.0) if with_adapters else ThompsonSampling()
    if not isinstance(learner, Learner):
        raise InvalidConfigurationError(
            f"{role} is {shown(learner)}; give a learner such as LinUCB(), or Learner(policy=...) around a policy"
        )
    return learner


def check_traffic(traffic: Mapping[str, Share], arms: Sequence[str]) -> dict[str, Share]:
    """Return a copy of the traffic shares; raise InvalidConfigurationError if ``arms`` cannot have them."""
    if not isinstance(traffic, Mapping) or not all(isinstance(share, Share) for share in traffic.values()):
        raise InvalidConfigurationError(
            f"traffic is {shown(traffic)}; give shares of arms, {{'new': Share(at_most=0.2)}}"
        )
    for arm in traffic:
        if arm not in arms:
            raise InvalidConfigurationError(f"traffic names an unknown arm {shown(arm)}; known arms: {', '.join(arms)}")
    check_shares(traffic, arms)
    return dict(traffic)


def check_baseline(guard: Guard | None, traffic: Mapping[str, Share]) -> None:
    """Raise InvalidConfigurationError if a cap is below the share that the guard's baseline gives."""
    for arm, share in () if guard is None else guard.mixture.items():
        if arm in traffic and share > traffic[arm].at_most:
            raise InvalidConfigurationError(
                f"the baseline gives {arm!r} {share:.4g} of the requests, and traffic at most "
                f"{traffic[arm].at_most:.4g}; raise at_most, or give the baseline other arms"
            )


def _check_rules(limits: Limits | None, arms: Sequence[str]) -> None:
    """Raise InvalidConfigurationError if a rule names an unknown arm."""
    for rule in () if limits is None else limits.rules:
        for arm in rule.arms:
            if arm not in arms:
                raise InvalidConfigurationError(
                    f"the rule {shown(rule.when)} names an unknown arm {shown(arm)}; known arms: {', '.join(arms)}"
                )


def _guard_range(
    guard: Guard | None,
    arms: Sequence[str],
    traffic: Mapping[str, Share],
    preference: Preference | Scaled,
    objectives: Mapping[str, Objective],
) -> tuple[float, float]:
    """Return the range of the utility that a guard judges; raise InvalidConfigurationError if the guard cannot work."""
    if guard is None:
        return 0.0, 1.0
    if not isinstance(guard, Guard):
        raise InvalidConfigurationError(f"guard is {shown(guard)}; give Guard(baseline=...), or None for none")
    for arm in guard.mixture:
        if arm not in arms:
            raise InvalidConfigurationError(
                f"the baseline names an unknown arm {shown(arm)}; known arms: {', '.join(arms)}"
            )
    check_baseline(guard, traffic)
    if guard.utility_range is not None:
        return guard.utility_range
    low = high = math.nan
    if isinstance(preference, Preference):
        edges = [
            sorted(weight * objectives[name].sign * edge for edge in (objectives[name].low, objectives[name].high))
            for name, weight in preference.items()
            if weight > 0.0
        ]
        low, high = sum(edge[0] for edge in edges), sum(edge[1] for edge in edges)
    if not math.isfinite(high - low) or low == high:
        raise InvalidConfigurationError(
            f"{preference!r} gives the utility no range for the guard; give it one, Guard(utility_range=(0.0, 1.0))"
        )
    return low, high


def _checked_guarantee(guarantee: Guarantee | None, arms: Sequence[str], fallback: str | None) -> Guarantee | None:
    """Return the guarantee; raise InvalidConfigurationError if it is of another type, or names no arm of the router."""
    if guarantee is None:
        return None
    if not isinstance(guarantee, Guarantee):
        raise InvalidConfigurationError(f"guarantee is {shown(guarantee)}; give Guarantee(best=...), or None for none")
    if guarantee.best is None and fallback is None:
        raise InvalidConfigurationError(
            "the guarantee names no arm; give Guarantee(best='large'), or Router(fallback=)"
        )
    if guarantee.best is not None and guarantee.best not in arms:
        raise InvalidConfigurationError(
            f"the guarantee names an unknown arm {shown(guarantee.best)}; known arms: {', '.join(arms)}"
        )
    return replace(guarantee, best=guarantee.best or fallback)


def _checked_switching(switching: Mapping[str, float] | None, objectives: Mapping[str, Objective]) -> dict[str, float]:
    """Return the loss of leaving a session's arm, by objective; raise InvalidConfigurationError if it is no loss."""
    if switching is not None and not isinstance(switching, Mapping):
        raise InvalidConfigurationError(
            f"switching is {shown(switching)}; give the loss by objective, such as {{'cost_usd': 0.001}}"
        )
    for name, loss in (switching or {}).items():
        if name not in objectives:
            raise InvalidConfigurationError(
                f"switching names an unknown objective {shown(name)}; known objectives: {', '.join(sorted(objectives))}"
            )
        number(loss, name=f"switching {name!r}", low=0.0, error=InvalidConfigurationError)
    return dict(switching or {})


def _checked_store(store: Store | None) -> Store:
    """Return the store of a router; raise InvalidConfigurationError for anything else, such as a URL."""
    if store is None:
        return MemoryStore()
    if not isinstance(store, Store):
        raise InvalidConfigurationError(f"store is {shown(store)}; give a store such as MemoryStore() or SQLStore(...)")
    return store


def _checked_observers(observers: Sequence[Observer]) -> tuple[Observer, ...]:
    """Return the observers of a router; raise InvalidConfigurationError if one lacks a method."""
    if isinstance(observers, str) or not isinstance(observers, Sequence):
        raise InvalidConfigurationError(f"observers is {shown(observers)}; give a list, [LoggingObserver()]")
    for observer in observers:
        if isinstance(observer, type) or not isinstance(observer, Observer):
            raise InvalidConfigurationError(
                f"observer {shown(observer)} is a {type(observer).__name__}; give an object with the methods "
                "on_decision, on_feedback and on_event"
            )
    return tuple(observers)
