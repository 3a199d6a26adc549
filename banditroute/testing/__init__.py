"""Suites that a part of your own must pass to work with banditroute. They need pytest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banditroute.testing.featurizer import check_featurizer
    from banditroute.testing.store import StoreContract

__all__ = ["StoreContract", "check_featurizer"]

_HOMES = {"StoreContract": "banditroute.testing.store", "check_featurizer": "banditroute.testing.featurizer"}


def __getattr__(name: str) -> object:
    # Lazily: each suite imports its room and pytest.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
