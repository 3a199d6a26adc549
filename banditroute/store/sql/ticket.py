"""How a caller waits for the database: with a limit, beyond which the outcome is unknown."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress

from banditroute.core.promise import Promise
from banditroute.errors import StoreError
from banditroute.store.base import Acknowledgement
from banditroute.store.base import Ticket as AnyTicket

ANSWER_SECONDS = 60.0
"""How long a caller waits for the database before it hears that the outcome is unknown."""


class Ticket(Promise[Acknowledgement]):
    """The promise that feedback will be durable, with a limit for how long a caller waits for it."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> Acknowledgement:
        """Return how the feedback is acknowledged, or raise what kept it from being recorded.

        Raises
        ------
        StoreError
            If the database has not answered in time; the feedback may be recorded or not, report it again.
        """
        limit = ANSWER_SECONDS if timeout is None else timeout
        if not self.wait(limit):
            raise unknown_outcome(limit)
        return super().result()


async def answer_of(ticket: AnyTicket) -> Acknowledgement:
    """Return how feedback is acknowledged, as ``ticket.result()`` does; the event loop is free meanwhile.

    A cancelled wait does not take the feedback back.
    """
    if isinstance(ticket, Promise):
        if not await ticket.wait_async(ANSWER_SECONDS):
            raise unknown_outcome(ANSWER_SECONDS)
    elif isinstance(ticket, Future):  # of a store of the application
        import asyncio  # late: it takes a sixth of banditroute's import time

        waiting = asyncio.shield(asyncio.wrap_future(ticket))
        with suppress(TimeoutError):  # it may also be the answer, which is raised below
            await asyncio.wait_for(waiting, ANSWER_SECONDS)
        if not ticket.done():
            raise unknown_outcome(ANSWER_SECONDS)
    return ticket.result()


def wait_for(done: Promise[None]) -> None:
    """Return when ``done`` is; raise StoreError if the database has not answered in time."""
    if not done.wait(ANSWER_SECONDS):
        raise unknown_outcome(ANSWER_SECONDS)
    done.result()


def unknown_outcome(seconds: float) -> StoreError:
    """Return the error for a database that has not answered for so long."""
    return StoreError(
        f"outcome unknown: the database has not answered for {seconds:g} s; check it, and report again what matters"
    )
