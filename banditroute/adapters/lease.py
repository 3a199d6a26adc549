"""The lease: an adapter is resident and in use while a request is served through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.fleet import Fleet
from banditroute.adapters.hold import Hold
from banditroute.core.adapter import AdapterSpec

if TYPE_CHECKING:
    from banditroute.core.decision import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """What serving a decision's adapter takes, as far as was known when it was made.

    Attributes
    ----------
    adapter
        The adapter of the arm.
    resident
        Whether it was resident; otherwise it will be paged in.
    expected_seconds
        What paging it in is expected to take; 0 where it was resident.
    """

    adapter: AdapterSpec
    resident: bool
    expected_seconds: float
    server: str | None = None
    cache: AdapterCache | Fleet = field(repr=False)
    instead: Callable[[Decision, Exception], Decision] = field(repr=False)
    note: Callable[[str, float], None] = field(repr=False)


class Lease:
    """Loads a decision's adapter on entering, and gives it up on leaving; made by :meth:`Decision.lease`.

    Attributes
    ----------
    seconds
        How long the adapter was waited for, as is recorded with the decision; 0 where it was resident.
    """

    def __init__(self, decision: Decision) -> None:
        self.seconds = 0.0
        self._decision = decision
        self._held: Hold | None = None

    def __enter__(self) -> Decision:
        paging = self._decision.paging
        if paging is not None:
            try:
                self._held = paging.cache.hold(paging.adapter, server=paging.server)
            except Exception as error:
                self._decision = paging.instead(self._decision, error)
                paging = self._decision.paging
                if paging is not None:
                    self._held = paging.cache.hold(paging.adapter, server=paging.server)
        return self._hold(paging)

    async def __aenter__(self) -> Decision:
        paging = self._decision.paging
        if paging is not None:
            try:
                self._held = await paging.cache.ahold(paging.adapter, server=paging.server)
            except Exception as error:
                self._decision = await asyncio.to_thread(paging.instead, self._decision, error)
                paging = self._decision.paging
                if paging is not None:
                    self._held = await paging.cache.ahold(paging.adapter, server=paging.server)
        return self._hold(paging)

    def doubt(self) -> None:
        """Report that the server does not know the adapter, as after a restart: its next use loads it again."""
        if self._held is not None:
            self._held.cache.doubt(self._held.adapter.name)

    def _hold(self, paging: Paging | None) -> Decision:
        if paging is not None and self._held is not None:
            self.seconds = self._held.seconds
            paging.note(self._decision.id, self.seconds)
            if paging.server != self._held.server:
                self._decision = replace(self._decision, paging=replace(paging, server=self._held.server))
        return self._decision

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            self._held.release(failed=isinstance(error, Exception))
            self._held = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
