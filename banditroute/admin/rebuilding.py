"""Make the statistics again from the log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from banditroute.admin._database import folds_of, open_database, write
from banditroute.learners import Learner
from banditroute.router.sources import fold_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection


def rebuild(url: str, *, router: str | None = None, learner: Learner | None = None) -> None:
    """Make the statistics of one router or of all again, from the log.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    router
        Only of this router. Default: of all in the database.
    learner
        The learner to fold with from now on, such as one with another half-life; give it to the routers as well.
        Default: as the routers have recorded.
    """
    from banditroute.store.sql import inspection, maintenance

    database = open_database(url)

    def rebuild_one(connection: Connection, epoch: int) -> None:
        if learner is not None:
            maintenance.set_fold_settings(connection, epoch, fold_settings(learner.belief))
        maintenance.rebuild(connection, epoch, folds_of(learner)(connection, epoch))

    for epoch in database.read(lambda connection: inspection.epoch_ids(connection, router)):
        write(database, partial(rebuild_one, epoch=epoch))
