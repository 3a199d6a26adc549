"""Delete decisions that are too old to keep."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from banditroute.admin._database import folds_of, open_database, write
from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import Learner

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from banditroute.store.sql.database import Database
    from banditroute.store.sql.maintenance import Folds

_DECISIONS_PER_TRANSACTION = 1000
_DECISIONS_PER_FILE = 10_000


def prune(
    url: str,
    *,
    unanswered_seconds: float = 30 * 86_400.0,
    answered_seconds: float = 90 * 86_400.0,
    export: str | Path | None = None,
    router: str | None = None,
    now: float | None = None,
    learner: Learner | None = None,
) -> int:
    """Delete decisions that are too old to keep. What was learned from them stays; late feedback is refused.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    unanswered_seconds
        How long decisions without feedback are kept.
    answered_seconds
        How long those with feedback are kept; while some of it is not folded yet they stay longer.
    export
        Folder that gets them as Parquet, in the columns of ``export``, before they are deleted.
    router
        Only of this router. Default: of all in the database.
    now
        Unix time in seconds. Default: the machine's.
    learner
        The routers' learner, where an earlier version wrote the database. Default: as the routers have recorded.

    Returns
    -------
    int
        How many were deleted.
    """
    from banditroute.store.sql import inspection

    folder = None if export is None else Path(export)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    at = time.time() if now is None else now
    windows = {
        answered: at - number(seconds, name=name, low=0.0, error=InvalidConfigurationError)
        for answered, name, seconds in (
            (False, "unanswered_seconds", unanswered_seconds),
            (True, "answered_seconds", answered_seconds),
        )
    }
    database, folds = open_database(url), folds_of(learner)
    return sum(
        _prune(database, folds, epoch, answered, before, folder)
        for epoch in database.read(lambda connection: inspection.epoch_ids(connection, router))
        for answered, before in windows.items()
    )


def _prune(database: Database, folds: Folds, epoch: int, answered: bool, before: float, folder: Path | None) -> int:
    from banditroute.store.sql import maintenance, retention

    def old(connection: Connection) -> list[str]:
        return retention.old_decisions(connection, epoch, before=before, answered=answered, limit=_DECISIONS_PER_FILE)

    pruned = 0
    while ids := database.read(old):
        if folder is not None:  # first: a decision in two files is better than one in no file
            held = database.read(partial(retention.records, ids=ids))
            retention.write_durably(held, folder / f"{ids[0]}-{ids[-1]}.parquet")
        for start in range(0, len(ids), _DECISIONS_PER_TRANSACTION):
            some = ids[start : start + _DECISIONS_PER_TRANSACTION]

            def move(connection: Connection, ids: list[str] = some) -> None:
                maintenance.move_to_base(connection, epoch, folds(connection, epoch), ids)

            write(database, move)
        pruned += len(ids)
    return pruned
