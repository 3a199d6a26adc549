"""Contract suites for your own beliefs, featurizers, policies and stores. ``StoreContract`` needs pytest."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banditroute.testing.belief import check_belief
    from banditroute.testing.featurizer import check_featurizer
    from banditroute.testing.policy import check_policy
    from banditroute.testing.store import StoreContract

__all__ = ["StoreContract", "check_belief", "check_featurizer", "check_policy"]

_HOMES = {
    "StoreContract": "banditroute.testing.store",
    "check_belief": "banditroute.testing.belief",
    "check_featurizer": "banditroute.testing.featurizer",
    "check_policy": "banditroute.testing.policy",
}


def __getattr__(name: str) -> object:
    # Imported late: each suite imports its room, and one of them imports pytest.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
