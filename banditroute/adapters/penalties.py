"""Penalties of the present state: the load of an adapter that is not resident, the switch of a session's arm."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.controller import Controller, ControllerState
from banditroute.adapters.fleet import Fleet
from banditroute.adapters.shared_residency import RESIDENCY, SharedResidency
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.preference import Preference
from banditroute.core.residency import Residency
from banditroute.core.state import StateSlot

_log = logging.getLogger("banditroute")

_MAX_SESSIONS = 10_000  # whose last arm is remembered
_MIN_QUEUE_SECONDS = 1e-5  # shorter queues tell servers apart, and change no price
_LOCKED_OUT_STDS = 3.0  # an adapter that is not worth its load even so far above its expectation will not be tried


class Seen(NamedTuple):
    """A recent request: the controller chooses the adapters to keep for such requests."""

    x: Vector
    preference: Preference
    tokens: float | None


class _Residents(NamedTuple):
    """The resident adapters and expected loads at one time, on R servers."""

    arms: frozenset[str]  # whose adapter is resident on some server
    servers: tuple[str | None, ...]
    absent_seconds: Vector  # priced seconds of a load of every arm's adapter, 0 where it is resident: (R, K)
    placing_seconds: Vector  # the same, twice where the load evicts another adapter: (R, K)
    load_seconds: Vector  # priced seconds of a load of every arm's adapter on its fastest server: (K,)
    wait_seconds: Vector  # least absent seconds of every arm, without queues: (K,)
    places: dict[str, list[Residency]]  # arm -> its residency on each server


class AdapterPenalties:
    """The penalties of loads and of switches, and the running controller.

    The engine holds its lock for every call but ``plan``.

    Parameters
    ----------
    arms
        The arms of the router.
    cache
        The cache or the fleet of their adapters; None if no arm has an adapter.
    switching
        Loss when a session goes on with another arm than its last, by objective.
    slot
        Where the controller's epoch is stored.
    state_slots
        Returns the slot of that name, where load times and the shared residency are stored.
    clock
        Unix seconds.

    Attributes
    ----------
    active
        Whether a choice may have a penalty: there are adapters, or a session's switch costs something.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        cache: AdapterCache | Fleet | None,
        switching: Mapping[str, float],
        slot: StateSlot,
        state_slots: Callable[[str], StateSlot],
        clock: Callable[[], float],
    ) -> None:
        self.active: bool = cache is not None or bool(switching)
        self._cache = cache
        self._losses = dict(switching)
        self._last: OrderedDict[str, str] = OrderedDict()
        self._slot = slot
        self._controller: ControllerState | None = None
        self._planning = threading.Lock()
        self._following = threading.RLock()  # held while residency is followed, by whichever thread has loaded
        hold_while_forking(self, "_following")
        self._due = False
        self._warned: set[str] = set()
        self._queues: list[float] = []  # seconds at each server, as the latest decision was priced
        window = cache.control.window if cache is not None and isinstance(cache.control, Controller) else 0
        self._seen: deque[Seen] = deque(maxlen=window)
        self._served = False  # whether a request came since the leases were last renewed
        residency = state_slots(RESIDENCY)
        self._stored_residency = residency.stored  # until the arms are known
        self._shared = SharedResidency(slot=residency, clock=clock)
        if cache is not None:
            cache.restore(state_slots)
        self.set_arms(arms)

    def begin_in_child(self) -> None:
        """Plan by itself in a forked child, even if another thread of the parent was planning."""
        self._planning = threading.Lock()
        self._shared.begin_in_child()

    @property
    def follows_residency(self) -> bool:
        """True if other processes may use the same servers."""
        return self._cache is not None and bool(self._cache.shared_caches)

    def follow_residency(self, blob: bytes | None) -> None:
        """Take over what other processes report of the servers, and renew the leases of this one.

        A process renews its leases while requests come: one without requests has nothing to plan by.
        """
        if self._cache is None:
            return
        with self._following:
            news = self._shared.follow(blob)
            specs = {spec.name: spec for spec in self._specs}
            caches = self._cache.shared_caches
            for server, cache in caches.items():
                changed = {specs[name]: there for name, there in news.get(server, {}).items() if name in specs}
                cache.follow(changed, keep=None if self._shared.owns(server) else self._shared.keep(server))
            if self._served:
                self._served = False
                self._claim()

    def close(self) -> None:
        """Let another process plan for the servers."""
        with self._following:
            self._shared.release()

    def _claim(self) -> None:
        """Take or renew the leases of the servers that no other process plans for."""
        if self._controller is not None and self._cache is not None:
            self._shared.claim({name: sorted(cache.keeps) for name, cache in self._cache.shared_caches.items()})

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Take these arms from now on."""
        with self._following:
            self._names = tuple(arm.name for arm in arms)
            self._position = {name: k for k, name in enumerate(self._names)}
            self._adapters = {arm.name: arm.adapter for arm in arms if arm.adapter is not None}
            self._specs = list(self._adapters.values())
            self._columns = np.array([self._position[name] for name in self._adapters], dtype=np.intp)
            self._without_adapter = [self._position[name] for name in self._names if name not in self._adapters]
            zeros = np.zeros(len(arms))
            self._residents = _Residents(frozenset(), (None,), zeros[None], zeros[None], zeros, zeros, {})
        if self._cache is None:
            return
        self._cache.start(self._specs, changed=self._changed)
        if isinstance(self._cache.control, Controller):
            begin = partial(self._cache.control.start, adapters=list(self._adapters))
            if self._controller is None:
                self._controller = self._slot.load(lambda blob: begin(blob=blob))
            else:
                self._controller = begin(blob=self._controller.to_bytes())
        self._changed()
        if self.follows_residency and self._stored_residency is not None:
            self.follow_residency(self._stored_residency)
            self._stored_residency = None
        pinned = [spec for spec in self._adapters.values() if spec.pinned]
        kept = (self._controller.keep if self._controller else None) or []
        self._cache.keep([*pinned, *(self._adapters[name] for name in kept if not self._adapters[name].pinned)])

    def penalties(self, preference: Preference, session: str | None) -> Vector | None:
        """Return the penalty of every arm in utility ``(K,)``; None: no arm has one."""
        taken: Vector | None = None
        if self._cache is not None:
            taken = self._wait_seconds() * preference.get("latency_seconds", 0.0)
        if self._losses and session is not None and (last := self._last.get(session)) in self._position:
            loss = sum(preference.get(name, 0.0) * value for name, value in self._losses.items())
            taken = np.zeros(len(self._names)) if taken is None else taken
            taken += loss
            taken[self._position[last]] -= loss
        return taken

    def forced(self, eligible: Sequence[int] | None) -> list[int] | None:
        """Return the arm that has to be tried now, if it is eligible; None: the policy chooses."""
        if self._controller is None or self._cache is None:
            return None
        name = self._controller.forced(self._residents.arms)
        if name is None or (eligible is not None and self._position[name] not in eligible):
            return None
        return [self._position[name]]

    def note(self, arm: str, x: Vector, preference: Preference, tokens: float | None, session: str | None) -> None:
        """Count a request that ``arm`` was chosen for."""
        if self._controller is not None:
            self._served = True
            self._seen.append(Seen(x, preference, tokens))
            self._due = self._controller.count(arm)
        if self._losses and session is not None:
            self._last[session] = arm
            self._last.move_to_end(session)
            if len(self._last) > _MAX_SESSIONS:
                self._last.popitem(last=False)

    def residency(self, arm: str) -> Residency | None:
        """Return where and how soon the adapter of ``arm`` can serve; None for an arm without an adapter.

        A fleet counts it as a decision for that server.
        """
        adapter, residents = self._adapters.get(arm), self._residents
        if self._cache is None or adapter is None:
            return None
        places = residents.places[arm]
        if len(places) == 1:
            best = places[0]
        else:
            queues = self._queues if len(self._queues) == len(places) else [0.0] * len(places)
            placing = residents.placing_seconds[:, self._position[arm]].tolist()
            best = min(zip(map(sum, zip(placing, queues, strict=True)), places, strict=True), key=itemgetter(0))[1]
        self._cache.decided(best.server)
        return best

    def observe_failure(self, arm: str) -> None:
        """Doubt that the adapter of ``arm`` is resident: a request through it failed. Takes no lock of the engine."""
        if self._cache is not None and arm in self._adapters:
            self._cache.doubt(self._adapters[arm].name)

    def ready(self, arm: str) -> bool:
        """Return whether ``arm`` has no adapter, or one that is resident."""
        return arm not in self._adapters or arm in self._residents.arms

    @property
    def due(self) -> bool:
        """True if the controller's epoch has ended."""
        return self._due

    def plan(self, look: Callable[[Seen], tuple[Vector, Vector]], untried: Collection[str]) -> None:
        """Choose the adapters to keep from now on, and have them loaded in the background.

        Parameters
        ----------
        look
            Returns the expected utility of every arm at a request, without penalties, and its standard deviation:
            ``(K,)`` each.
        untried
            Arms about which nothing was learned.
        """
        controller, cache, names, residents = self._controller, self._cache, self._names, self._residents
        if controller is None or cache is None or not self._planning.acquire(blocking=False):
            return
        try:
            seen = list(self._seen)
            means, stds = (np.array(rows) for rows in zip(*(look(each) for each in seen), strict=True))
            if means.shape[1] != len(names):
                return  # arms came or went: they begin a new epoch
            prices = np.array([each.preference.get("latency_seconds", 0.0) for each in seen])
            costs = prices[:, None] * residents.load_seconds
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
            ready = (means - prices[:, None] * residents.wait_seconds).max(axis=1)[:, None]
            locked = means + _LOCKED_OUT_STDS * stds - costs < ready
            self._warn([arm for arm in untried if arm in specs and locked[:, names.index(arm)].all()], plan.keep)
            self._slot.save(controller.to_bytes())
            cache.keep([specs[names[k]] for k in plan.keep])
            with self._following:
                self._claim()
        except Exception:  # feedback is learned already, and must not fail for what is resident
            _log.warning("which adapters to keep could not be decided; they stay as they are", exc_info=True)
            controller.begin()
        finally:
            self._due = False
            self._planning.release()

    def _warn(self, locked: Sequence[str], keep: Sequence[int]) -> None:
        """Warn once of each adapter that will never be tried."""
        for arm in locked:
            if arm not in self._warned and self._position[arm] not in keep:
                self._warned.add(arm)
                _log.warning(
                    "adapter arm %r was never tried, and will not be: even %g standard deviations above its expected "
                    "utility, it is not worth its load. Expect more of it, Arm(expected={'quality': 1.0}), explore "
                    "more, or let a second of latency cost less",
                    arm,
                    _LOCKED_OUT_STDS,
                )

    def _sizes(self) -> Vector:
        """Return the bytes of every arm's adapter ``(K,)``."""
        assert self._cache is not None
        sizes = np.zeros(len(self._names))
        for arm, spec in self._adapters.items():
            sizes[self._position[arm]] = self._cache.size_bytes(spec)
        return sizes

    def _wait_seconds(self) -> Vector:
        """Return the seconds that each arm waits at its best server ``(K,)``; 0 for an arm without an adapter."""
        assert self._cache is not None
        residents = self._residents
        if not isinstance(self._cache, Fleet):
            return residents.wait_seconds
        self._queues = queues = self._cache.queue_seconds(residents.servers)
        if max(queues) < _MIN_QUEUE_SECONDS:
            return residents.wait_seconds
        waits: Vector = np.minimum.reduce(residents.absent_seconds + np.array(queues)[:, None])
        if self._without_adapter:
            waits[self._without_adapter] = 0.0
        return waits

    def _changed(self) -> None:
        """Follow the resident adapters and the expected load times."""
        assert self._cache is not None
        with self._following:
            table = self._cache.load_table(self._specs)
            for name, cache in self._cache.shared_caches.items():
                self._shared.publish(name, cache.resident)
            absent = np.zeros((len(table.servers), len(self._names)))
            absent[:, self._columns] = np.where(table.resident, 0.0, table.priced_seconds)
            load = np.zeros(len(self._names))
            load[self._columns] = table.priced_seconds.min(axis=0)
            places = {
                arm: [
                    Residency(adapter=spec, resident=there, expected_seconds=0.0 if there else seconds, server=server)
                    for there, seconds, server in zip(*each, table.servers, strict=True)
                ]
                for (arm, spec), *each in zip(
                    self._adapters.items(),
                    table.resident.T.tolist(),
                    table.expected_seconds.T.tolist(),
                    strict=True,
                )
            }
            self._residents = _Residents(
                arms=frozenset(arm for arm, each in places.items() if any(place.resident for place in each)),
                servers=table.servers,
                absent_seconds=absent,
                placing_seconds=absent * (1.0 + table.full[:, None]),
                load_seconds=load,
                wait_seconds=absent.min(axis=0),
                places=places,
            )
