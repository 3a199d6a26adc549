"""The part of the router that knows its arms: they come and go while it runs."""

from __future__ import annotations

import threading

from banditroute._checks import check_arms, check_eligible
from banditroute.adapters.cache import AdapterCache
from banditroute.choice import Chooser
from banditroute.errors import InvalidConfigurationError
from banditroute.limits.constraints import Limits
from banditroute.store.base import Store
from banditroute.types import Arm


class Roster:
    """Adds and removes arms; :class:`banditroute.Router` is made of it."""

    _arms: tuple[Arm, ...]
    _limits: Limits | None
    _chooser: Chooser
    _store: Store
    _changing: threading.Lock
    _adapters: AdapterCache | None

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What can be chosen, in the order of a decision's arrays."""
        return self._arms

    def add_arm(self, arm: Arm | str) -> None:
        """Let an arm be chosen from now on, in this process; it comes last in a decision's arrays.

        What was learned of it when it was here before is believed again. One that is new starts from its ``expected``
        and ``descriptors``, and from what is known of the arm that it ``replaces``. A router made later is to be given
        the arm in ``Router(arms=...)``.

        Raises
        ------
        InvalidConfigurationError
            If there is an arm of that name.
        """
        with self._changing:
            self._set_arms(check_arms([*self._arms, arm], self._adapters))

    def remove_arm(self, name: str) -> None:
        """Let an arm be chosen no more, in this process; what is learned of it is kept for its return.

        Feedback for its decisions may still come. Where it was the fallback, the first arm is.

        Raises
        ------
        InvalidConfigurationError
            If there is no such arm, and where no other is left that the router's limits allow.
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
            self._set_arms(left)

    def _set_arms(self, arms: tuple[Arm, ...]) -> None:
        self._chooser.set_arms(arms)
        self._arms = arms
        self._store.set_arms(arms)
