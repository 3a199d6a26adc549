"""What the present state takes off every arm's utility: an adapter that is not resident, a session that is left."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.controller import Controller, ControllerState
from banditroute.adapters.lease import Paging
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.errors import IncompatibleStoreError

_log = logging.getLogger("banditroute")

_SESSIONS = 10_000  # whose last arm is remembered
_LOCKED = 3.0  # standard deviations: an adapter that does not pay its paging with so many will not be tried


class Seen(NamedTuple):
    """A recent request, for which the cache is chosen."""

    x: Vector
    preference: Preference
    tokens: float | None


class AdapterPenalties:
    """Penalties of paging and of switching, and the controller over the cache. The chooser holds a lock for all but
    ``plan``.

    Parameters
    ----------
    arms
        What can be chosen.
    cache
        What is resident; None where no arm has an adapter.
    switching
        What is lost when a session goes on with another arm than its last, by objective.
    instead
        Decides again where an adapter cannot be loaded.
    note
        Takes the id of a decision and how long its adapter was waited for, in seconds; never raises.
    states, put_state
        What is kept, and how.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        cache: AdapterCache | None,
        switching: Mapping[str, float],
        instead: Callable[[Decision, Exception], Decision],
        note: Callable[[str, float], None],
        states: Mapping[str, bytes],
        put_state: Callable[[str, bytes], None],
    ) -> None:
        self._instead = instead
        self._note = note
        self._cache = cache
        self._losses = dict(switching)
        self._last: OrderedDict[str, str] = OrderedDict()
        self._put_state = put_state
        self._controller: ControllerState | None = None
        self._planning = threading.Lock()
        self._following = threading.Lock()  # held while residency is followed, by whichever thread has loaded
        self._due = False
        self._warned: set[str] = set()
        window = cache.control.window if cache is not None and isinstance(cache.control, Controller) else 0
        self._seen: deque[Seen] = deque(maxlen=window)
        self.set_arms(arms, states=states)

    def set_arms(self, arms: Sequence[Arm], *, states: Mapping[str, bytes] | None = None) -> None:
        """Choose among these arms from now on."""
        with self._following:
            self._names = tuple(arm.name for arm in arms)
            self._position = {name: k for k, name in enumerate(self._names)}
            self._adapters = {arm.name: arm.adapter for arm in arms if arm.adapter is not None}
            self._here: frozenset[str] = frozenset()  # arms whose adapter is resident
            self._load = np.zeros(len(arms))  # seconds at which a load of each arm's adapter is priced
            self._absent = self._load  # the same, 0 where it is resident
            self._expected: dict[str, float] = {}  # arm -> expected seconds of a load
        if self._cache is None:
            return
        blob = None if states is None else states.get("adapters")
        self._cache.start(
            list(self._adapters.values()), states=states, put_state=self._put_state, changed=self._changed
        )
        if isinstance(self._cache.control, Controller):
            blob = blob if self._controller is None else self._controller.to_bytes()
            try:
                self._controller = self._cache.control.start(adapters=list(self._adapters), blob=blob)
            except (ValueError, TypeError, AttributeError) as error:
                raise IncompatibleStoreError(
                    f"the stored state 'adapters' is damaged ({error}); restore the database from a backup, or use "
                    "another router name"
                ) from error
        self._changed()
        pinned = [spec for spec in self._adapters.values() if spec.pinned]
        kept = (self._controller.keep if self._controller else None) or []
        self._cache.keep([*pinned, *(self._adapters[name] for name in kept if not self._adapters[name].pinned)])

    def penalties(self, preference: Preference, session: str | None) -> Vector | None:
        """What to take off the utility of every arm ``(K,)``; None: nothing."""
        taken: Vector | None = None
        if self._cache is not None:
            taken = self._absent * preference.get("latency_seconds", 0.0)
        if self._losses and session is not None and (last := self._last.get(session)) in self._position:
            loss = sum(preference.get(name, 0.0) * value for name, value in self._losses.items())
            taken = np.zeros(len(self._names)) if taken is None else taken
            taken += loss
            taken[self._position[last]] -= loss
        return taken

    def forced(self, eligible: Sequence[int] | None) -> list[int] | None:
        """The arm that has to be tried now, if it may be chosen; None: whichever is best."""
        if self._controller is None or self._cache is None:
            return None
        name = self._controller.forced(self._here)
        if name is None or (eligible is not None and self._position[name] not in eligible):
            return None
        return [self._position[name]]

    def note(self, arm: str, x: Vector, preference: Preference, tokens: float | None, session: str | None) -> None:
        """``arm`` was chosen for a request."""
        if self._controller is not None:
            self._seen.append(Seen(x, preference, tokens))
            self._due = self._controller.count(arm)
        if self._losses and session is not None:
            self._last[session] = arm
            self._last.move_to_end(session)
            if len(self._last) > _SESSIONS:
                self._last.popitem(last=False)

    def paging(self, arm: str) -> Paging | None:
        """How the adapter of ``arm`` stands."""
        adapter = self._adapters.get(arm)
        if self._cache is None or adapter is None:
            return None
        return Paging(
            adapter=adapter,
            resident=arm in self._here,
            expected_seconds=0.0 if arm in self._here else self._expected[arm],
            cache=self._cache,
            instead=self._instead,
            note=self._note,
        )

    def ready(self, arm: str) -> bool:
        """Whether ``arm`` has no adapter, or one that is resident."""
        return arm not in self._adapters or arm in self._here

    @property
    def due(self) -> bool:
        """Whether the controller's epoch has ended."""
        return self._due

    def plan(self, look: Callable[[Seen], tuple[Vector, Vector]], untried: Collection[str]) -> None:
        """Decide which adapters are kept from now on, and have them loaded in the background.

        Parameters
        ----------
        look
            Expected utility of every arm at a request, without penalties, and its standard deviation: each ``(K,)``.
        untried
            Arms of which nothing was learned.
        """
        controller, cache, names, load = self._controller, self._cache, self._names, self._load
        if controller is None or cache is None or not self._planning.acquire(blocking=False):
            return
        try:
            seen = list(self._seen)
            means, stds = (np.array(rows) for rows in zip(*(look(each) for each in seen), strict=True))
            if means.shape[1] != len(names):
                return  # arms came or went: they begin a new epoch
            prices = np.array([each.preference.get("latency_seconds", 0.0) for each in seen])
            costs = prices[:, None] * load
            kept = cache.kept
            room = cache.capacity.size_bytes
            specs = self._adapters
            plan = controller.plan(
                means,
                stds,
                costs,
                arms=names,
                resident=[arm for arm, spec in specs.items() if spec.name in kept],
                pinned=[arm for arm, spec in specs.items() if spec.pinned],
                slots=cache.capacity.slots,
                sizes=None if room is None else self._sizes(),
                room=room,
            )
            for _ in range(plan.forget):
                self._seen.popleft()
            locked = means + _LOCKED * stds - costs < (means - prices[:, None] * self._absent).max(axis=1)[:, None]
            self._warn([arm for arm in untried if arm in specs and locked[:, names.index(arm)].all()], plan.keep)
            self._put_state("adapters", controller.to_bytes())
            cache.keep([specs[names[k]] for k in plan.keep])
        except Exception:  # feedback is learned already, and must not fail for what is resident
            _log.warning("which adapters to keep could not be decided; they stay as they are", exc_info=True)
            controller.begin()
        finally:
            self._due = False
            self._planning.release()

    def _warn(self, locked: Sequence[str], keep: Sequence[int]) -> None:
        """Say once of each adapter that it will never be tried."""
        for arm in locked:
            if arm not in self._warned and self._position[arm] not in keep:
                self._warned.add(arm)
                _log.warning(
                    "adapter arm %r was never tried, and will not be: even %g standard deviations above what is "
                    "expected of it, it is not worth its paging. Expect more of it, Arm(expected={'quality': 1.0}), "
                    "explore more, or let a second of latency cost less",
                    arm,
                    _LOCKED,
                )

    def _sizes(self) -> Vector:
        """Bytes of every arm's adapter ``(K,)``."""
        assert self._cache is not None
        sizes = np.zeros(len(self._names))
        for arm, spec in self._adapters.items():
            sizes[self._position[arm]] = self._cache.size_bytes(spec)
        return sizes

    def _changed(self) -> None:
        """Follow what is resident, and what loads are expected to take."""
        assert self._cache is not None
        with self._following:
            resident = self._cache.resident
            load = np.zeros(len(self._names))
            for arm, spec in self._adapters.items():
                estimate = self._cache.load_cost(spec)
                # Doubt makes a load cheaper, so that a guess that is too high is tried and corrected.
                load[self._position[arm]] = estimate.optimistic_seconds
                self._expected[arm] = estimate.mean_seconds
            self._here = frozenset(arm for arm, spec in self._adapters.items() if spec.name in resident)
            absent = [arm not in self._here for arm in self._names]
            self._load, self._absent = load, load * absent
