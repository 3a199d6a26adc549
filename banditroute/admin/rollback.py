"""Go back to what was learned earlier."""

from __future__ import annotations

from banditroute.admin._database import open_database, write


def roll_back(url: str, *, epoch: int, version: int) -> int:
    """Go back to the statistics that an epoch had at a version; ``inspect`` lists the versions with a snapshot.

    What was folded later, or is pending, stays in the log and counts for nothing from now on.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    epoch, version
        ``EpochRecord.id`` and one of its ``snapshots``.

    Returns
    -------
    int
        How many outcomes count for nothing from now on.

    Raises
    ------
    StoreError
        If there is no such snapshot.
    """
    from banditroute.store.sql import maintenance

    return write(open_database(url), lambda connection: maintenance.roll_back(connection, epoch, version))
