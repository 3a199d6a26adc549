"""Make the statistics again from the log."""

from __future__ import annotations

from functools import partial

from banditroute.admin._database import fold_of, open_database, write
from banditroute.learners import Learner


def rebuild(url: str, *, router: str | None = None, learner: Learner | None = None) -> None:
    """Make the statistics of one router or of all again, from the log.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    router
        Only of this router. Default: of all in the database.
    learner
        The learner of the routers. Default: ``ThompsonSampling()``.
    """
    from banditroute.store.sql import inspection, maintenance

    database = open_database(url)
    for epoch in database.read(lambda connection: inspection.epoch_ids(connection, router)):
        write(database, partial(maintenance.rebuild, epoch_id=epoch, fold=fold_of(learner)))
