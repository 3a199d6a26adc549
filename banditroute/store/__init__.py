"""Stores: ``MemoryStore`` ends with the process, ``SQLStore`` survives it."""

from __future__ import annotations

from banditroute.store.base import (
    Acknowledgement,
    BackgroundStore,
    Backlog,
    Fold,
    OutcomeEvent,
    Recorded,
    Store,
    StoredDecision,
    StoredState,
    Subscriber,
    Ticket,
)
from banditroute.store.memory import MemoryStore
from banditroute.store.sql.sql_store import SQLStore
from banditroute.store.state_slot import StateSlots

__all__ = [
    "Acknowledgement",
    "BackgroundStore",
    "Backlog",
    "Fold",
    "MemoryStore",
    "OutcomeEvent",
    "Recorded",
    "SQLStore",
    "StateSlots",
    "Store",
    "StoredDecision",
    "StoredState",
    "Subscriber",
    "Ticket",
]
