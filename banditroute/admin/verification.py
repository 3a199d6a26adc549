"""Check a database: look for damage, and for statistics that the log does not give."""

from __future__ import annotations

from banditroute.admin._database import folds_of, half_life_of, open_database
from banditroute.admin._sums import difference
from banditroute.learners import Learner

_TOLERANCE = 1e-9  # of statistics, relative: rounding is far below it


def verify(url: str, *, learner: Learner | None = None) -> list[str]:
    """Look for damage, and for statistics that differ from what the log gives.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    learner
        The routers' learner, where an earlier version wrote the database. Default: as the routers have recorded.

    Returns
    -------
    list of str
        One line for each finding; empty if all is well.
    """
    from banditroute.store.sql import inspection, maintenance

    database, folds = open_database(url, writes=False), folds_of(learner)
    found = database.read(lambda connection: inspection.damage(connection, database))
    if found:
        return found
    for epoch in database.read(lambda connection: inspection.epoch_ids(connection, None)):
        held, made, half_life = database.read(
            lambda connection, epoch=epoch: (  # type: ignore[misc]
                inspection.statistics_of(connection, epoch),
                maintenance.refolded(connection, epoch, folds(connection, epoch)),
                half_life_of(connection, epoch, learner),
            )
        )
        found += [
            f"epoch {epoch}: the statistics of arm {arm!r} differ by {apart:.2g} from what the log makes; run "
            f"banditroute db rebuild"
            for arm in sorted({*held, *made})
            if (apart := difference(held.get(arm), made.get(arm), half_life=half_life)) > _TOLERANCE
        ]
    return found
