"""Shared residency: the processes of a router agree on what each server holds, and on who plans for it.

The database holds one record for each server: the adapters that any process saw loaded or evicted, and a lease. One
process at a time has the lease and plans which adapters the server keeps. The others follow its plan and unload
nothing. A lease ends by itself, so a process that crashes is replaced.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from banditroute.core.state import StateSlot

RESIDENCY = "residency"
"""The name of the state that holds the records."""

_LEASE_SECONDS = 10.0
_RENEW_SECONDS = 3.0  # after the last renewal
_MAX_LEASE_SECONDS = 60.0  # of a lease in the future; one that ends later is from a wrong clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """The record of one server.

    Attributes
    ----------
    owner
        The process that plans for the server; empty if no process plans.
    since, until
        When the lease was last renewed and when it ends, in Unix seconds.
    keep
        Adapters that the owner keeps there.
    adapters
        Adapter -> when a process last saw it loaded or evicted, in Unix seconds, and whether it was loaded.
    """

    owner: str = ""
    since: float = 0.0
    until: float = 0.0
    keep: Sequence[str] = ()
    adapters: Mapping[str, tuple[float, bool]] = field(default_factory=dict, hash=False)

    def leased(self, now: float) -> bool:
        """Return whether a process has the lease at time ``now``."""
        return bool(self.owner) and now < self.until <= now + _MAX_LEASE_SECONDS

    def merged(self, later: ServerRecord) -> ServerRecord:
        """Return what both records say. A lease that has not ended wins over the claim of another process."""
        stays = not later.owner or (self.owner != later.owner and self.leased(later.since))
        lease = self if stays else later
        names = {**self.adapters, **later.adapters}
        seen = {name: max(each.adapters.get(name, (-1.0, False)) for each in (self, later)) for name in names}
        return replace(lease, adapters=seen)


def merge_records(earlier: bytes, later: bytes) -> bytes:
    """Return the records of all servers that two pieces of state hold."""
    first, second = _read(earlier), _read(later)
    both = {name: first.get(name, ServerRecord()).merged(record) for name, record in second.items()}
    return _written({**first, **both})


class SharedResidency:
    """The view that one process has of the shared records, and what it adds to them. Not thread-safe.

    Parameters
    ----------
    slot
        Where the records are stored.
    clock
        Unix seconds.

    Examples
    --------
    >>> stored = []
    >>> slot = StateSlot(name=RESIDENCY, save=lambda name, blob, merge=None: stored.append(blob))
    >>> one, two = (SharedResidency(slot=slot, clock=lambda: 100.0) for _ in range(2))
    >>> one.publish("gpu-1", {"law"})
    >>> one.claim({"gpu-1": ["law"]})
    >>> two.follow(merge_records(*stored))
    {'gpu-1': {'law': True}}
    >>> one.owns("gpu-1"), two.owns("gpu-1")
    (True, False)
    """

    def __init__(self, *, slot: StateSlot, clock: Callable[[], float]) -> None:
        self._slot = slot
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._records: dict[str, ServerRecord] = {}
        self._published: dict[str, frozenset[str]] = {}  # server -> adapters that were resident for this process
        self._heard: bytes | None = None

    def begin_in_child(self) -> None:
        """Be another process than the parent, in a forked child."""
        self._process = secrets.token_hex(8)

    def follow(self, blob: bytes | None) -> dict[str, dict[str, bool]]:
        """Take over stored records; return the news: server -> adapter -> whether it is resident now.

        Damaged records are passed over: the next write replaces them.
        """
        if blob is None or blob == self._heard:
            return {}
        self._heard = blob
        news: dict[str, dict[str, bool]] = {}
        try:
            stored = _read(blob)
        except (ValueError, TypeError, AttributeError):
            return {}
        for server, record in stored.items():
            known = self._records.get(server, ServerRecord()).adapters
            new = {name: seen for name, seen in record.adapters.items() if seen > known.get(name, (-1.0, False))}
            changed = {name: there for name, (_, there) in new.items() if there != known.get(name, (0.0, False))[1]}
            if changed:
                news[server] = changed
            self._records[server] = replace(record, adapters={**known, **new})
        return news

    def publish(self, server: str, resident: Collection[str]) -> None:
        """Record which adapters became resident on a server, and which no longer are, where the record lacks it."""
        record = self._records.get(server, ServerRecord())
        now, before = self._clock(), self._published.get(server, frozenset())
        self._published[server] = frozenset(resident)
        changed = {name: name in resident for name in before ^ self._published[server]}
        known = {name: there for name, (_, there) in record.adapters.items()}
        news = {name: (now, there) for name, there in changed.items() if there != known.get(name, False)}
        if news:
            self._records[server] = replace(record, adapters={**record.adapters, **news})
            self._save({server: ServerRecord(adapters=news)})

    def owns(self, server: str) -> bool:
        """Return whether this process plans for a server: it has the lease, or no process has."""
        record = self._records.get(server)
        return record is None or record.owner == self._process or not record.leased(self._clock())

    def keep(self, server: str) -> Sequence[str]:
        """Return the adapters that the owner of a server keeps there."""
        return self._records[server].keep

    def claim(self, plans: Mapping[str, Sequence[str]]) -> None:
        """Take or renew the leases of these servers, where no other process has them.

        Parameters
        ----------
        plans
            Server -> the adapters that this process keeps there.
        """
        now, claims = self._clock(), {}
        for server, keep in plans.items():
            record = self._records.get(server, ServerRecord())
            current = record.owner == self._process and list(record.keep) == list(keep)
            if self.owns(server) and not (current and now < record.since + _RENEW_SECONDS):
                claim = ServerRecord(owner=self._process, since=now, until=now + _LEASE_SECONDS, keep=list(keep))
                claims[server] = claim
                self._records[server] = replace(claim, adapters=record.adapters)
        self._save(claims)

    def release(self) -> None:
        """Give the leases of this process back."""
        mine = {name: each for name, each in self._records.items() if each.owner == self._process}
        self._save({name: replace(each, since=self._clock(), until=0.0, adapters={}) for name, each in mine.items()})

    def _save(self, records: Mapping[str, ServerRecord]) -> None:
        if records:
            self._slot.save(_written(records), merge_records)


def _read(blob: bytes) -> dict[str, ServerRecord]:
    records = {}
    for server, values in json.loads(blob).items():
        adapters = {name: (float(at), bool(there)) for name, (at, there) in values.pop("adapters").items()}
        records[server] = ServerRecord(**values, adapters=adapters)
    return records


def _written(records: Mapping[str, ServerRecord]) -> bytes:
    return json.dumps({server: asdict(record) for server, record in records.items()}).encode()
