"""A lease: the adapter of a decision is resident and in use while a request is served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.fleet import Fleet
from banditroute.adapters.hold import Hold
from banditroute.core.decision import Decision
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import FeedbackService


class Lease:
    """Loads a decision's adapter on entering and releases it on leaving; made by ``Router.lease``.

    Both a context manager and an async context manager.

    Attributes
    ----------
    seconds
        How long the adapter was waited for, as recorded with the decision; 0 where it was resident.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1)
    >>> lease = router.lease(router.route([0.5], arms=["small"]))
    >>> with lease as decision:
    ...     decision.arm, lease.seconds
    ('small', 0.0)
    """

    def __init__(
        self,
        *,
        decision: Decision,
        cache: AdapterCache | Fleet | None,
        routing: FallbackRouting,
        feedback: FeedbackService,
    ) -> None:
        self.seconds = 0.0
        self._decision = decision
        self._cache = cache
        self._routing = routing
        self._feedback = feedback
        self._hold: Hold | None = None

    def __enter__(self) -> Decision:
        if self._cache is not None and (needed := self._decision.residency) is not None:
            try:
                self._hold = self._cache.hold(needed.adapter, server=needed.server)
            except Exception as error:
                self._decide_again(error)
                if (needed := self._decision.residency) is not None:
                    self._hold = self._cache.hold(needed.adapter, server=needed.server)
            self._record()
        return self._decision

    async def __aenter__(self) -> Decision:
        if self._cache is not None and (needed := self._decision.residency) is not None:
            try:
                self._hold = await self._cache.ahold(needed.adapter, server=needed.server)
            except Exception as error:
                await asyncio.to_thread(self._decide_again, error)
                if (needed := self._decision.residency) is not None:
                    self._hold = await self._cache.ahold(needed.adapter, server=needed.server)
            self._record()
        return self._decision

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hold is not None:
            self._hold.release(failed=isinstance(error, Exception))
            self._hold = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def doubt(self) -> None:
        """Report that the server does not know the adapter, as after a restart: its next use loads it again."""
        if self._hold is not None and self._cache is not None and self._decision.residency is not None:
            self._cache.doubt(self._decision.residency.adapter.name)

    def _decide_again(self, error: Exception) -> None:
        """Report that the arm failed, and decide for another one whose adapter is ready."""
        self._feedback.record_load_failure(self._decision)
        self._decision = self._routing.decide_instead(self._decision, error)

    def _record(self) -> None:
        """Record how long the adapter was waited for, and name the server that holds it."""
        if self._hold is not None and (needed := self._decision.residency) is not None:
            self.seconds = self._hold.seconds
            self._feedback.record_load_seconds(self._decision, self.seconds)
            if needed.server != self._hold.server:
                self._decision = replace(self._decision, residency=replace(needed, server=self._hold.server))
