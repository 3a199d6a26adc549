"""Report what came of calls; trouble with a report is logged, and never costs an answer."""

from __future__ import annotations

import _thread
import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from banditroute.integrations.call import Call
from banditroute.integrations.io import Io
from banditroute.router import Router

_WAIT_SECONDS = 0.2  # at most, for the report of an abandoned stream
_log = logging.getLogger("banditroute")


class Reports:
    """Reports the outcomes of calls, and gives up their leases.

    Parameters
    ----------
    router, io
        The router that is told, and the way to tell it.
    awaited
        Whether an answer waits until its report is durable. If not, the report is given to the router at once and
        written meanwhile; ``router.close()`` writes what is left. Only on an event loop.

    Attributes
    ----------
    left_out
        Outcome -> number of answers that were reported without it, because the server did not say.
    """

    def __init__(self, *, router: Router, io: Io, awaited: bool = True) -> None:
        self.left_out: Counter[str] = Counter()
        self._router = router
        self._io = io
        self._awaited = awaited
        self._under_way: set[asyncio.Task[None]] = set()  # the event loop alone would not keep them alive

    async def report(self, call: Call, outcomes: Mapping[str, Any]) -> None:
        """Report ``outcomes`` if there are any, and give up the lease."""
        if self._awaited:
            await self._report(call, outcomes)
            return
        task = asyncio.create_task(self._report(call, outcomes))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _report(self, call: Call, outcomes: Mapping[str, Any]) -> None:
        try:
            if outcomes:
                await self._io.feedback(call.decision.id, outcomes)
        except Exception as error:
            _note(call, error)
        finally:
            if (lease := call.give_up_lease()) is not None:
                await self._io.leave(lease)

    def report_abandoned(self, call: Call, outcomes: Mapping[str, Any], close: Callable[[], object]) -> None:
        """Report a call whose reader is gone, while its garbage is collected.

        That may happen in the middle of anything, even while this thread holds the router's locks. So another thread
        reports, and this one waits for it only a moment.
        """
        if sys.is_finalizing():
            return
        done = _thread.allocate_lock()
        done.acquire()

        def work() -> None:
            try:
                close()
                self._router.feedback(call.decision.id, **outcomes)
                if (lease := call.give_up_lease()) is not None:
                    lease.__exit__(None, None, None)
            except Exception as error:
                _note(call, error)
            finally:
                done.release()

        _thread.start_new_thread(work, ())
        done.acquire(timeout=_WAIT_SECONDS)


def _note(call: Call, error: Exception) -> None:
    _log.error("the outcome of decision %s could not be recorded: %s", call.decision.id, error)
