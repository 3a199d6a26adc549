"""How a caller waits for the database: with a limit, beyond which the outcome is unknown."""

from __future__ import annotations

from concurrent.futures import Future

from banditroute.errors import StoreError
from banditroute.store.base import Acknowledgement
from banditroute.store.base import Ticket as AnyTicket

ANSWER_SECONDS = 60.0
"""So long a caller waits for the database before it hears that the outcome is unknown."""


class Ticket(Future[Acknowledgement]):
    """The promise that feedback will be durable, with a limit for how long a caller waits for it."""

    def result(self, timeout: float | None = None) -> Acknowledgement:
        """Return how the feedback is acknowledged, or raise what kept it from being recorded.

        Raises
        ------
        StoreError
            If the database has not answered in time; the feedback may be recorded or not, report it again.
        """
        limit = ANSWER_SECONDS if timeout is None else timeout
        try:
            return super().result(limit)
        except TimeoutError:
            if self.done():  # it was raised by the subscriber
                raise
            raise unknown_outcome(limit) from None


async def answer_of(ticket: AnyTicket) -> Acknowledgement:
    """Return how feedback is acknowledged, as ``ticket.result()`` does; the event loop is free meanwhile.

    A cancelled wait does not take the feedback back.
    """
    if not isinstance(ticket, Future):
        return ticket.result()
    import asyncio  # late: it takes a sixth of banditroute's import time

    waiting = asyncio.shield(asyncio.wrap_future(ticket))
    try:
        return await asyncio.wait_for(waiting, ANSWER_SECONDS)
    except TimeoutError:
        if ticket.done():  # it was raised by the subscriber
            raise
        raise unknown_outcome(ANSWER_SECONDS) from None


def wait_for(done: Future[None]) -> None:
    """Return when ``done`` is; raise StoreError if the database has not answered in time."""
    try:
        done.result(ANSWER_SECONDS)
    except TimeoutError:
        raise unknown_outcome(ANSWER_SECONDS) from None


def unknown_outcome(seconds: float) -> StoreError:
    """Return the error for a database that has not answered for so long."""
    return StoreError(
        f"outcome unknown: the database has not answered for {seconds:g} s; check it, and report again what matters"
    )
