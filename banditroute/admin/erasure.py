"""Erase a decision, a session or the feedback of a source."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from banditroute.admin._database import folds_of, open_database, write
from banditroute.errors import InvalidRequestError
from banditroute.learners import Learner

if TYPE_CHECKING:
    from sqlalchemy import Connection


def erase(
    url: str,
    *,
    decision_id: str | None = None,
    session: str | None = None,
    source: str | None = None,
    router: str | None = None,
    learner: Learner | None = None,
    dry_run: bool = False,
) -> int:
    """Delete one decision, a session, or all feedback of a source, and take back what was learned from it.

    What is deleted is overwritten in the files of SQLite, and vacuumed on PostgreSQL; backups, replicas and exports
    are yours to care for.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    decision_id, session, source
        What to erase; exactly one of them. Decisions go with their feedback; of a source only its feedback goes.
    router
        Only of this router. Default: of all in the database.
    learner
        The routers' learner, where an earlier version wrote the database. Default: as the routers have recorded.

    dry_run
        True to change nothing, and only count.

    Returns
    -------
    int
        How many decisions were erased, or lost feedback; with ``dry_run``, how many would be.

    Raises
    ------
    InvalidRequestError
        If not exactly one of them is given.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from banditroute import Router, SQLStore, admin
    >>> directory = tempfile.TemporaryDirectory()
    >>> url = f"sqlite:///{pathlib.Path(directory.name) / 'routes.db'}"
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(url)) as router:
    ...     decision = router.route([0.5], session="Ann")
    ...     _ = router.feedback(decision.id, quality=1.0)
    >>> admin.erase(url, session="Ann")
    1
    >>> [epoch.decisions for epoch in admin.inspect(url)]
    [0]
    >>> directory.cleanup()
    """
    from banditroute.store.sql import maintenance

    if [decision_id, session, source].count(None) != 2:
        raise InvalidRequestError("erase what? give exactly one of decision_id=, session= and source=")
    find = partial(maintenance.find, router=router, decision_id=decision_id, session=session, source=source)
    if dry_run:
        return len(open_database(url, writes=False).read(partial(find, limit=None)))
    database, folds = open_database(url), folds_of(learner)

    def erase_some(connection: Connection) -> int:
        ids = find(connection)
        if source is None:
            maintenance.erase_decisions(connection, folds, ids)
        else:
            maintenance.erase_feedback(connection, folds, ids, source)
        return len(ids)

    erased = 0
    while some := write(database, erase_some):
        erased += some
    if erased:
        database.scrub()
    return erased
