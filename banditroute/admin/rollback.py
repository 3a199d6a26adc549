"""Take a snapshot of what was learned, and go back to one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from banditroute.admin._database import folds_of, open_database, write
from banditroute.core.validation import number
from banditroute.errors import InvalidRequestError
from banditroute.learners import Learner

if TYPE_CHECKING:
    from sqlalchemy import Connection


def snapshot(url: str, *, router: str | None = None, learner: Learner | None = None) -> dict[int, int]:
    """Copy what was learned, to go back to it with ``roll_back``; such a copy is kept however old it is.

    Routers take snapshots by themselves: one an hour is kept for two days, and one a day for two weeks.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    router
        Only of this router. Default: of all in the database.
    learner
        The routers' learner, where an earlier version wrote the database. Default: as the routers have recorded.

    Returns
    -------
    dict
        Epoch -> the version of the copy; without epochs that have learned nothing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from banditroute import Router, SQLStore, admin
    >>> directory = tempfile.TemporaryDirectory()
    >>> url = f"sqlite:///{pathlib.Path(directory.name) / 'routes.db'}"
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(url)) as router:
    ...     _ = router.feedback(router.route([0.5]).id, quality=1.0)
    ...     taken = admin.snapshot(url)
    ...     _ = router.feedback(router.route([0.5]).id, quality=0.0)
    >>> admin.roll_back(url, epoch=1, version=taken[1])
    1
    >>> directory.cleanup()
    """
    from banditroute.store.sql import inspection, maintenance

    database, folds = open_database(url), folds_of(learner)

    def take(connection: Connection) -> dict[int, int]:
        taken = {
            epoch: maintenance.take_snapshot(connection, folds, epoch)
            for epoch in inspection.epoch_ids(connection, router)
        }
        return {epoch: version for epoch, version in taken.items() if version is not None}

    return write(database, take)


def roll_back(
    url: str,
    *,
    to: datetime | float | None = None,
    router: str | None = None,
    epoch: int | None = None,
    version: int | None = None,
) -> int:
    """Go back to what was learned earlier: at a moment, or at a version; ``inspect`` lists the snapshots.

    What was folded later, or is pending, stays in the log and counts for nothing from now on.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    to
        The moment: a datetime, in UTC where it has no time zone, or Unix time in seconds. Each epoch goes back to its
        last snapshot of then or earlier; one without feedback since stays as it is.
    router
        With ``to``: only of this router. Default: of all in the database.
    epoch, version
        In place of ``to``: ``EpochRecord.id`` and one of its ``snapshots``.

    Returns
    -------
    int
        How many outcomes count for nothing from now on.

    Raises
    ------
    InvalidRequestError
        If neither ``to`` nor ``epoch`` and ``version`` are given, or both.
    StoreError
        If there is no such snapshot; nothing is changed.
    """
    from banditroute.store.sql import inspection, maintenance

    if to is not None and epoch is None and version is None:
        moment = _moment(to)
        return write(
            open_database(url),
            lambda connection: sum(
                maintenance.roll_back_to(connection, each, moment) for each in inspection.epoch_ids(connection, router)
            ),
        )
    if to is not None or epoch is None or version is None or router is not None:
        raise InvalidRequestError("roll back to what? give to=, or else epoch= and version=")
    return write(open_database(url), lambda connection: maintenance.roll_back(connection, epoch, version))


def _moment(to: datetime | float) -> float:
    if isinstance(to, datetime):
        return (to if to.tzinfo is not None else to.replace(tzinfo=UTC)).timestamp()
    return number(to, name="to", low=0.0, error=InvalidRequestError)
