"""Routers from files, and files from routers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tomli_w

from banditroute.config.deployment import Source, load_deployment
from banditroute.config.parts import PARTS
from banditroute.core.schema import Mistake, MistakesError, parameters
from banditroute.errors import BanditRouteError
from banditroute.features.given import GivenFeatures
from banditroute.objectives.objective import STANDARD_OBJECTIVES
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.router.settings import RouterSettings


def load_router(source: Source, *, environment: Mapping[str, str] | None = None) -> Router:
    """Make the router that a TOML file describes, or the tables that it would hold.

    The tables have the names of the parameters: those of :class:`banditroute.Router` at the top, and those of each part
    in its own table, with ``type`` where several classes fit. ``${NAME}`` in a text is an environment variable, and
    ``BANDITROUTE__LEARNER__ALPHA=1.5`` replaces a value. What belongs to a service, ``upstreams`` and ``serve``, is
    checked and not used.

    Parameters
    ----------
    source, environment
        As in :func:`load_deployment`.

    Raises
    ------
    BanditRouteError
        As :func:`load_deployment` and :class:`banditroute.Router`.

    Examples
    --------
    >>> tables = {"arms": ["small", "large"], "features": 1, "learner": {"type": "LinUCB", "alpha": 1.5}, "seed": 0}
    >>> load_router(tables).route([0.5]).policy
    'LinUCB(policy=UCB(alpha=1.5, delta=None, norm_bound=1.0, floor=0.005))'
    """
    return Router(**load_deployment(source, environment=environment).router)


def check_router(source: Source, *, environment: Mapping[str, str] | None = None) -> tuple[Mistake, ...]:
    """Return the mistakes in a configuration, each with its path; no store is opened.

    Where every part is right, the parts are checked against each other. The first contradiction is returned then.

    Examples
    --------
    >>> for mistake in check_router({"arms": [], "learner": {"type": "LinUBC"}, "sed": 3}, environment={}):
    ...     print(mistake)
    learner.type: unknown 'LinUBC'; did you mean 'LinUCB'?
    sed: unknown; did you mean 'seed'?
    """
    try:
        RouterSettings.checked(**load_deployment(source, environment=environment).router)
    except MistakesError as error:
        return error.mistakes
    except BanditRouteError as error:
        return (Mistake("", str(error)),)
    return ()


def dump_router(router: Router) -> str:
    """Return the TOML text from which ``load_router`` makes a router like this one.

    Arms and traffic are those of now; the other parts are as the router was made, without the arms that are gone.
    Values that are defaults are left out. A secret is written as a variable, ``${API_KEY}``, and never itself. A
    generator given as ``seed``, and a ``clock``, are left out.

    Raises
    ------
    InvalidConfigurationError
        If a part is of a class of your own, or holds a function.

    Examples
    --------
    >>> print(dump_router(Router(arms=["small", "large"], features=1, seed=0)))
    arms = [
        { name = "small" },
        { name = "large" },
    ]
    features = 1
    seed = 0
    <BLANKLINE>
    """
    parts = parts_of(router)
    settings = parts.settings.narrowed(router.arms, parts.registry.traffic)
    defaults = replace(
        RouterSettings.checked(arms=settings.arms, adapters=settings.adapters, features=0), adapters=None
    )
    tables = {}
    for parameter in parameters(Router):
        value = _value(settings, parameter.name)
        if parameter.name == "clock" or (parameter.name == "seed" and not isinstance(value, int)):
            continue
        written = PARTS.write(value)
        default = _value(defaults, parameter.name) if parameter.default is None else parameter.default
        if parameter.required or written != PARTS.write(default):
            tables[parameter.name] = False if written is None else written
    return tomli_w.dumps(tables)


def _value(settings: RouterSettings, name: str) -> Any:
    """Return the value of a router's parameter, as it can be given to the router again."""
    value = getattr(settings, name)
    if name == "features" and isinstance(value, GivenFeatures):
        return value.dimension
    if name == "objectives":
        return [each for each in value.values() if each not in STANDARD_OBJECTIVES]
    return value
