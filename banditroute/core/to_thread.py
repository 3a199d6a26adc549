"""Call what blocks from a coroutine; asyncio is imported late, since it takes a sixth of banditroute's import time."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def to_thread(call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return ``call(*args, **kwargs)``, called in a thread, so that the event loop is free meanwhile.

    Examples
    --------
    >>> import asyncio
    >>> asyncio.run(to_thread(sum, [1, 2]))
    3
    """
    import asyncio

    return await asyncio.to_thread(call, *args, **kwargs)
