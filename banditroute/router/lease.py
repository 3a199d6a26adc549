"""A lease: the adapter of a decision is resident and in use while a request is served."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.fleet import Fleet
from banditroute.adapters.hold import Hold
from banditroute.core.adapter import AdapterSpec
from banditroute.core.decision import Decision
from banditroute.core.to_thread import to_thread
from banditroute.core.validation import shown
from banditroute.errors import InvalidRequestError
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
        if not isinstance(decision, Decision):
            raise InvalidRequestError(f"decision is {shown(decision)}; give the Decision that route() returned")
        self.seconds: float = 0.0
        self._decision = decision
        self._cache = cache
        self._routing = routing
        self._feedback = feedback
        self._held: Hold | None = None

    def __enter__(self) -> Decision:
        if self._adapter is not None and self._cache is not None:
            try:
                self._held = self._cache.hold(self._adapter, server=self._server)
            except Exception as error:
                self._decide_again(error)
                if self._adapter is not None:
                    self._held = self._cache.hold(self._adapter, server=self._server)
            self._serve()
        return self._decision

    async def __aenter__(self) -> Decision:
        if self._adapter is not None and self._cache is not None:
            try:
                self._held = await self._cache.ahold(self._adapter, server=self._server)
            except Exception as error:
                await to_thread(self._decide_again, error)
                if self._adapter is not None:
                    self._held = await self._cache.ahold(self._adapter, server=self._server)
            self._serve()
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

    @property
    def _adapter(self) -> AdapterSpec | None:
        """The adapter of the decision that is served."""
        return None if self._decision.residency is None else self._decision.residency.adapter

    def _decide_again(self, error: Exception) -> None:
        """Report that the arm failed, and decide for another one whose adapter is ready."""
        self._feedback.record_load_failure(self._decision)
        self._decision = self._routing.decide_instead(self._decision, error)

    @property
    def _server(self) -> str | None:
        """The server that the decision names, where a fleet holds the adapters."""
        return None if self._decision.residency is None else self._decision.residency.server

    def _serve(self) -> None:
        """Record how long the adapter was waited for, and name the server that holds it."""
        residency = self._decision.residency
        if self._held is None or residency is None:
            return
        self.seconds = self._held.seconds
        self._feedback.record_load_seconds(self._decision, self.seconds)
        if residency.server != self._held.server:
            self._decision = replace(self._decision, residency=replace(residency, server=self._held.server))
