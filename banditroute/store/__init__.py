"""Stores: what survives the process. ``MemoryStore`` forgets, ``SQLStore`` does not."""

from __future__ import annotations

from banditroute.store.base import Event, Fold, Learn, MergeStates, Served, Store, StoredState, Ticket, TotalCallback
from banditroute.store.memory import MemoryStore
from banditroute.store.sql.sql_store import SQLStore

__all__ = [
    "Event",
    "Fold",
    "Learn",
    "MemoryStore",
    "MergeStates",
    "SQLStore",
    "Served",
    "Store",
    "StoredState",
    "Ticket",
    "TotalCallback",
]
