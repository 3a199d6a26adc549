"""A hold: an adapter is resident on a server, and in use until the hold is released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Hold:
    """An adapter in use by one request; made by ``AdapterCache.hold`` and ``Fleet.hold``.

    Attributes
    ----------
    seconds
        Seconds waited for it; 0 if it was resident.
    server
        Name of the server that holds it; None for a cache that is not part of a fleet.
    """

    seconds: float
    server: str | None = None
    _release: Callable[[], None] = field(repr=False)
    _doubt: Callable[[], None] = field(repr=False)
    _released: bool = field(default=False, repr=False)

    def release(self, *, failed: bool = False) -> None:
        """Report that the request has been answered; releasing twice is harmless.

        Parameters
        ----------
        failed
            Whether it failed. The next use of the adapter then asks the server whether it is still there.
        """
        if not self._released:
            self._released = True
            self._release()
            if failed:
                self.doubt()

    def doubt(self) -> None:
        """Report that the server does not know the adapter, as after a restart; the next use asks the server."""
        self._doubt()
