"""The expectations of a router that a database holds, for requests that were never made; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, select

from banditroute.admin._database import open_database
from banditroute.beliefs.base import Belief, Prior
from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.validation import listed
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.features import Featurizer
from banditroute.learners import ThompsonSampling
from banditroute.objectives.objective import STANDARD_OBJECTIVES
from banditroute.store.sql import inspection
from banditroute.store.sql.rows import decision_of
from banditroute.store.sql.schema import arm, decision, epoch

_KNOWN = {each.name: each for each in STANDARD_OBJECTIVES}


def stored_utilities(
    url: str, *, features: Featurizer, router: str | None
) -> tuple[tuple[str, ...], Callable[[Sequence[str]], Vector]]:
    """Return the arms of a stored router, and a function from prompts to their expected utilities ``(n, K)``.

    Expectations are the default belief's, from the statistics that the database holds. The preference is that of the
    latest decision; objectives of the user's own are left out of it.

    Raises
    ------
    InvalidConfigurationError
        If the router has learned from other features.
    StoreError
        If the database cannot be read, or holds no such router, or several and none is named.
    """
    arms, belief, preference = open_database(url, writes=False, read_only=True).read(
        lambda connection: _of(connection, features, router)
    )
    signed = np.array([_KNOWN[name].sign * preference[name] for name in belief.objectives])

    def utilities(prompts: Sequence[str]) -> Vector:
        x = features.transform([Request(text=prompt) for prompt in prompts])
        return np.array([signed @ belief.predict(np.append(row, 1.0)).means for row in x])

    return arms, utilities


def _of(connection: Connection, features: Featurizer, router: str | None) -> tuple[tuple[str, ...], Belief, Preference]:
    latest = _latest_decision(connection, router)
    if latest.features_version != features.version or latest.dimension != features.dimension + 1:
        raise InvalidConfigurationError(
            f"router {latest.router!r} learned from the features {latest.features_version:.80}, not from "
            f"{features.version:.80}; give its featurizer as features=, or its file"
        )
    active = select(arm.c.name).where(arm.c.router == latest.router, arm.c.active).order_by(arm.c.name)
    arms = tuple(connection.scalars(active)) or decision_of(latest).arms
    preference = decision_of(latest).preference
    names = [name for name in preference if name in _KNOWN and preference[name]]
    if not names:
        raise InvalidConfigurationError("the router's preference has objectives of your own only; give a function")
    belief = ThompsonSampling().belief.start(
        arms=list(arms),
        dimension=latest.dimension,
        priors={name: Prior(mean=_KNOWN[name].prior_mean, noise=_KNOWN[name].prior_noise) for name in names},
        statistics=inspection.statistics_of(connection, latest.epoch_id),
    )
    belief.watch(names)
    return arms, belief, preference


def _latest_decision(connection: Connection, router: str | None) -> Row[Any]:
    routers = [*connection.scalars(select(epoch.c.router).distinct().order_by(epoch.c.router))]
    if router is None and len(routers) > 1:
        raise StoreError(f"the database has the routers {listed(routers)}; name one of them")
    found = (
        select(decision, epoch.c.router, epoch.c.features_version, epoch.c.dimension)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(epoch.c.router == (router or next(iter(routers), "")))
        .order_by(decision.c.id.desc())
        .limit(1)
    )
    row = connection.execute(found).one_or_none()
    if row is None:
        raise StoreError(f"the database holds no decision of router {router or 'default'!r}; it has {listed(routers)}")
    return row
