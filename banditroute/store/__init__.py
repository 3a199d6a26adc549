"""Stores: what survives the process. ``MemoryStore`` forgets, ``SQLStore`` does not."""

from __future__ import annotations

from banditroute.store.base import Event, Fold, Join, Learn, Memory, Served, Store, Ticket, Told
from banditroute.store.memory import MemoryStore
from banditroute.store.sql import SQLStore

__all__ = ["Event", "Fold", "Join", "Learn", "Memory", "MemoryStore", "SQLStore", "Served", "Store", "Ticket", "Told"]
