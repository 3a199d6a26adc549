"""The arms of a router, their shares of the traffic, its budgets and its guard, which may change while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.fleet import Fleet
from banditroute.core.arm import Arm
from banditroute.core.forking import hold_while_forking
from banditroute.core.validation import listed, shown
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError
from banditroute.guard.guarantee import Guarantee
from banditroute.guard.guard import Guard, Mode, check_mode
from banditroute.limits.constraints import Limits
from banditroute.limits.headroom import read_headers
from banditroute.limits.traffic import Share, check_shares
from banditroute.objectives.objective import Objective
from banditroute.router.changes import Changes
from banditroute.router.engine import Engine
from banditroute.router.requests import eligible_arms
from banditroute.router.settings import check_arms, check_baseline, check_expected, check_traffic
from banditroute.store.base import Store


class ArmRegistry:
    """Changes arms, prices, traffic shares, budgets and guard mode, each entirely or not at all.

    Parameters
    ----------
    arms, traffic
        What the router begins with.
    adapters, guard, guarantee, limits, objectives
        What the arms must agree with.
    engine, store, changes
        What follows a change: the engine, the record of it, and the observers.
    clock
        Gives Unix time in seconds.

    Attributes
    ----------
    arms
        The present arms, in the order of a decision's arrays.
    traffic
        Arm -> its present share of the traffic.
    changing
        Held while the arms change, and while something relies on them.
    """

    def __init__(
        self,
        *,
        arms: tuple[Arm, ...],
        traffic: Mapping[str, Share],
        adapters: AdapterCache | Fleet | None,
        guard: Guard | None,
        guarantee: Guarantee | None,
        limits: Limits | None,
        objectives: Mapping[str, Objective],
        engine: Engine,
        store: Store,
        changes: Changes,
        clock: Callable[[], float],
    ) -> None:
        self.arms: tuple[Arm, ...] = arms
        self.changing: AbstractContextManager[bool] = threading.RLock()
        hold_while_forking(self, "changing")
        self.traffic: Mapping[str, Share] = traffic
        self._adapters = adapters
        self._guard = guard
        self._guarantee = guarantee
        self._limits = limits
        self._objectives = objectives
        self._engine = engine
        self._store = store
        self._changes = changes
        self._clock = clock

    def add(self, arm: Arm | str, traffic: Share | None) -> None:
        """Add an arm; see ``Router.add_arm``."""
        with self.changing:
            arms = check_arms([*self.arms, arm], self._adapters)
            check_expected(arms, self._objectives)
            names = [arm.name for arm in arms]
            given = {} if traffic is None else check_traffic({names[-1]: traffic}, names)
            before, shares = self.traffic, {**self.traffic, **given}
            check_shares(shares, names)
            self._set_traffic(shares)  # first, so that the arm never serves without its share
            try:
                self._set_arms(arms)
            except Exception:  # such as a profile of unknown features
                self._set_traffic(before)
                raise

    def remove(self, name: str) -> None:
        """Remove an arm; see ``Router.remove_arm``."""
        with self.changing:
            left = tuple(arm for arm in self.arms if arm.name != name)
            if len(left) == len(self.arms):
                raise InvalidConfigurationError(
                    f"unknown arm {shown(name)}; known arms: {', '.join(arm.name for arm in left)}"
                )
            if not left:
                raise InvalidConfigurationError(f"{name!r} is the last arm; add another before it is removed")
            eligible_arms(left, limits=self._limits, error=InvalidConfigurationError)
            names = [arm.name for arm in left]
            check_shares(self.traffic, names)
            if self._guard is not None and not self._guard.mixture.keys() & set(names):
                raise InvalidConfigurationError(f"{name!r} is the last arm of the guard's baseline; it has to stay")
            if self._guarantee is not None and self._guarantee.best == name:
                raise InvalidConfigurationError(f"{name!r} is the best arm of the guarantee; it has to stay")
            self._set_arms(left)

    def set_traffic(self, traffic: Mapping[str, Share]) -> None:
        """Replace the traffic shares; see ``Router.set_traffic``."""
        with self.changing:
            checked = check_traffic(traffic, [arm.name for arm in self.arms])
            check_baseline(self._guard, checked)
            self._set_traffic(checked)

    def set_prices(self, name: str, prices: Mapping[str, Any]) -> None:
        """Give an arm other token prices, by the names of ``Arm``; what is learned of its tokens stays.

        Raises
        ------
        InvalidConfigurationError
            If there is no such arm, or it cannot have these prices.
        """
        with self.changing:
            if name not in [arm.name for arm in self.arms]:
                raise InvalidConfigurationError(
                    f"unknown arm {shown(name)}; known arms: {listed(arm.name for arm in self.arms)}"
                )
            self._set_arms(tuple(replace(arm, **prices) if arm.name == name else arm for arm in self.arms))

    def set_budget(self, name: str, amount: float) -> None:
        """Keep another amount of a budget.

        Raises
        ------
        InvalidConfigurationError
            If there is no budget of that name, or the amount is unusable.
        """
        self._engine.with_constraints(lambda constraints: constraints.set_budget(name, amount))

    def set_guard_mode(self, mode: Mode, *, at: float | None = None) -> None:
        """Restart the rollout in ``mode``; see ``Router.set_guard_mode``.

        Parameters
        ----------
        at
            When this was asked for, in Unix seconds; nothing is done if the rollout has changed since. Default: now.
        """
        check_mode(mode)
        if self._guard is None:
            raise InvalidConfigurationError("the router has no guard; make it with Router(guard=Guard(baseline=...))")
        rollout = self._engine.with_constraints(lambda constraints: constraints.rollout())
        if at is not None and rollout is not None and rollout.since is not None and rollout.since >= at:
            return
        moment = self._clock() if at is None else at
        self._engine.with_constraints(lambda constraints: constraints.set_guard_mode(mode, moment))
        self._changes.emit()
        self._store.flush()

    def report_headroom(self, arm: str, headers: Mapping[str, object]) -> None:
        """Take a provider's word for what is left of an arm's limits; see ``Router.report_headroom``."""
        if arm not in [each.name for each in self.arms]:
            raise InvalidFeedbackError(f"unknown arm {shown(arm)}; known arms: {listed(a.name for a in self.arms)}")
        if not isinstance(headers, Mapping):
            raise InvalidFeedbackError(
                f"headers is {shown(headers)} ({type(headers).__name__}); give those of an answer, response.headers"
            )
        now = self._clock()
        if left := read_headers(headers, now):
            self._engine.with_constraints(lambda constraints: constraints.note_headroom(arm, left, now))

    def _set_traffic(self, traffic: Mapping[str, Share]) -> None:
        self._engine.with_constraints(lambda constraints: constraints.set_traffic(traffic))
        self.traffic = traffic

    def _set_arms(self, arms: tuple[Arm, ...]) -> None:
        self._engine.set_arms(arms)
        self.arms = arms
        self._store.set_arms(arms)
