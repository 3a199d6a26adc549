"""Suites that a part of your own must pass to work with banditroute."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banditroute.testing.belief import check_belief
    from banditroute.testing.policy import check_policy

__all__ = ["check_belief", "check_policy"]

_HOMES = {
    "check_belief": "banditroute.testing.belief",
    "check_policy": "banditroute.testing.policy",
}


def __getattr__(name: str) -> object:
    # Lazily: each suite imports its room.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
