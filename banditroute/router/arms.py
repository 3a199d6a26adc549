"""The part of the router that is steered while it runs: its arms, their shares of the traffic, its guard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from banditroute.adapters.cache import AdapterCache
from banditroute.beliefs.drift import Reset
from banditroute.budgets.budget import BudgetStatus
from banditroute.core.arm import Arm
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import InvalidConfigurationError
from banditroute.guard.guard import Guard, Mode, Rollout, check_mode
from banditroute.limits.constraints import Limits
from banditroute.limits.traffic import Share, check_shares
from banditroute.router.checks import check_arms, check_baseline, check_eligible, check_traffic
from banditroute.router.engine import Engine
from banditroute.store.base import Store


class Steering:
    """Changes arms, traffic and guard; :class:`banditroute.Router` is made of it."""

    _arms: tuple[Arm, ...]
    _limits: Limits | None
    _traffic: Mapping[str, Share]
    _guard: Guard | None
    _chooser: Engine
    _store: Store
    _clock: Callable[[], float]
    _changing: threading.Lock
    _adapters: AdapterCache | None

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What can be chosen, in the order of a decision's arrays."""
        return self._arms

    @property
    def learned(self) -> int:
        """On how many decisions with feedback the beliefs rest, those of earlier processes included."""
        return self._chooser.learned

    @property
    def resets(self) -> tuple[Reset, ...]:
        """What was found to have changed, each with when and how often, oldest first; see ``Learner(drift=...)``."""
        return self._chooser.resets

    @property
    def budgets(self) -> tuple[BudgetStatus, ...]:
        """How each budget stands: spend, pace and shadow price."""
        return self._chooser.at_gate(lambda gate: gate.accounts.status(self._clock()))

    @property
    def rollout(self) -> Rollout | None:
        """How far the guard lets the learner decide, and on what evidence; None without a guard."""
        return self._chooser.at_gate(lambda gate: None if gate.watch is None else gate.watch.rollout())

    def _add_tally(self, budget: str, tally: SharedTotal) -> SharedTotal | None:
        def told(joint: SharedTotal, added: SharedTotal) -> None:
            self._chooser.at_gate(lambda gate: gate.accounts.merge(budget, joint, added))

        return self._store.add_tally(budget, tally, told)

    def add_arm(self, arm: Arm | str, *, traffic: Share | None = None) -> None:
        """Let an arm be chosen from now on, in this process; it comes last in a decision's arrays.

        What was learned of it when it was here before is believed again. One that is new starts from its ``expected``
        and ``descriptors``, and from what is known of the arm that it ``replaces``. A router made later is to be given
        the arm in ``Router(arms=...)``.

        Parameters
        ----------
        arm
            The arm, or its name.
        traffic
            The least and the most of the traffic that it gets. Default: as before, if it was here before.

        Raises
        ------
        InvalidConfigurationError
            If there is an arm of that name, or the arms cannot have such shares together.
        """
        with self._changing:
            arms = check_arms([*self._arms, arm], self._adapters)
            names = [arm.name for arm in arms]
            given = {} if traffic is None else check_traffic({names[-1]: traffic}, names)
            shares = {**self._traffic, **given}
            check_shares(shares, names)
            self._set_traffic(shares)  # first, so that the arm is never without
            self._set_arms(arms)

    def remove_arm(self, name: str) -> None:
        """Let an arm be chosen no more, in this process; what is learned of it is kept for its return.

        Feedback for its decisions may still come. Where it was the fallback, the first arm is.

        Raises
        ------
        InvalidConfigurationError
            If there is no such arm, and where those that are left are none that the router's limits allow, not enough
            for its traffic, or none of its guard's baseline.
        """
        with self._changing:
            left = tuple(arm for arm in self._arms if arm.name != name)
            if len(left) == len(self._arms):
                raise InvalidConfigurationError(
                    f"{name!r} is no arm, so it cannot be removed; arms: {', '.join(arm.name for arm in left)}"
                )
            if not left:
                raise InvalidConfigurationError(f"{name!r} is the last arm; add another before it is removed")
            check_eligible(left, limits=self._limits, error=InvalidConfigurationError)
            names = [arm.name for arm in left]
            check_shares(self._traffic, names)
            if self._guard is not None and not self._guard.mixture.keys() & set(names):
                raise InvalidConfigurationError(f"{name!r} is the last arm of the guard's baseline; it has to stay")
            self._set_arms(left)

    def set_traffic(self, traffic: Mapping[str, Share]) -> None:
        """Keep the arms within these shares of the traffic from now on, in this process, in place of earlier ones.

        Raises
        ------
        InvalidConfigurationError
            For shares of what is no arm, and such as the arms or the guard's baseline cannot have together.
        """
        with self._changing:
            traffic = check_traffic(traffic, [arm.name for arm in self._arms])
            check_baseline(self._guard, traffic)
            self._set_traffic(traffic)

    def set_guard_mode(self, mode: Mode) -> None:
        """Begin the rollout anew, at the first share, in ``mode``: ``"bypass"`` is an instant rollback to the baseline.

        It holds from the next request on, outlives a restart, and other processes on the same store follow when they
        next learn of feedback.

        Raises
        ------
        InvalidConfigurationError
            For what is no mode, and without a guard.
        StoreError
            If it cannot be recorded at present; here it holds.
        """
        check_mode(mode)
        if self._guard is None:
            raise InvalidConfigurationError("the router has no guard; make it with Router(guard=Guard(baseline=...))")
        self._chooser.at_gate(lambda gate: gate.set_guard_mode(mode, self._clock()))
        self._store.flush()

    def _set_traffic(self, traffic: Mapping[str, Share]) -> None:
        self._chooser.at_gate(lambda gate: gate.set_traffic(traffic))
        self._traffic = traffic

    def _set_arms(self, arms: tuple[Arm, ...]) -> None:
        self._chooser.set_arms(arms)
        self._arms = arms
        self._store.set_arms(arms)
