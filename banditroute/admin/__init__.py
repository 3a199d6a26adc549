"""Look at a database and keep it.

Inspect, explain, say who is good at what, correct, erase, roll back, rebuild, verify, prune, export, copy, upgrade.

Every function takes the URL of the database and works while routers use it, or not. What they have learned follows:
each router begins again from the changed records within a second.
"""

from banditroute.admin.competence import ArmAtKind, Competence, competence
from banditroute.admin.copying import copy
from banditroute.admin.correction import correct
from banditroute.admin.deployment import (
    ExpectedShares,
    add_arm,
    promote,
    remove_arm,
    set_budget,
    set_guard_mode,
    set_prices,
    set_traffic,
    shared_changes,
)
from banditroute.admin.erasure import erase
from banditroute.admin.explanation import (
    ExpectedOutcome,
    RecordedArm,
    RecordedExplanation,
    RecordedOutcome,
    explain,
)
from banditroute.admin.exports import export
from banditroute.admin.inspection import ArmRecord, EpochRecord, inspect
from banditroute.admin.pruning import prune
from banditroute.admin.rebuilding import rebuild
from banditroute.admin.rollback import roll_back, snapshot
from banditroute.admin.upgrading import upgrade
from banditroute.admin.verification import verify

__all__ = [
    "ArmAtKind",
    "ArmRecord",
    "Competence",
    "EpochRecord",
    "ExpectedOutcome",
    "ExpectedShares",
    "RecordedArm",
    "RecordedExplanation",
    "RecordedOutcome",
    "add_arm",
    "competence",
    "copy",
    "correct",
    "erase",
    "explain",
    "export",
    "inspect",
    "promote",
    "prune",
    "rebuild",
    "remove_arm",
    "roll_back",
    "set_budget",
    "set_guard_mode",
    "set_prices",
    "set_traffic",
    "shared_changes",
    "snapshot",
    "upgrade",
    "verify",
]
