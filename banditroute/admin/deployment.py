"""Change what all routers on a database do: shares, budgets, prices, the guard's mode, the arms, and the learner."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.admin._database import open_database, write
from banditroute.admin.rehearsal import Past, past, recorded_arms
from banditroute.budgets.book import recorded_budgets
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.validation import label, listed, plain_number, shown
from banditroute.errors import BanditRouteError, InvalidConfigurationError, StoreError
from banditroute.guard.guard import Mode, check_mode
from banditroute.limits.traffic import Share, shaped
from banditroute.router.learner_roles import ROLES, roles_blob, roles_of
from banditroute.router.shared_changes import CHANGES, SharedChange, as_blob, changes_of

if TYPE_CHECKING:
    from banditroute.store.sql.database import Database

_DECISIONS_LOOKED_AT = 1_000
_MOST_CHANGES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedShares:
    """The shares of the arms before and after a change.

    Attributes
    ----------
    decisions
        Number of recent decisions that they are computed from.
    before, after
        Arm -> mean of its probabilities. Empty where nothing can be said, as of a guard's mode.
    """

    decisions: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def shared_changes(url: str, *, router: str = "default") -> list[SharedChange]:
    """Return the changes that the routers of a name follow, oldest first: what, when, and who made it."""
    return open_database(url, writes=False).read(lambda connection: _stored(connection, router))


def set_traffic(
    url: str,
    arm: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    router: str = "default",
    who: str | None = None,
    dry_run: bool = False,
) -> ExpectedShares:
    """Give an arm a share of the traffic in all routers of a name; they follow within half a second.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    arm
        The arm.
    at_least, at_most
        Its least and greatest share, in [0, 1]; None leaves one as it is.
    router
        The routers' name.
    who
        Who makes the change, for the record. Default: user and machine.
    dry_run
        True to change nothing, and only return what would be expected.

    Returns
    -------
    ExpectedShares
        From recent decisions. Where an arm was held below a cap, its share above that cap is not known.

    Raises
    ------
    InvalidConfigurationError
        If a share is out of range, or neither is given.
    StoreError
        If the database has no such router.
    """
    values = {name: value for name, value in (("at_least", at_least), ("at_most", at_most)) if value is not None}
    if not values:
        raise InvalidConfigurationError(f"no share of {shown(arm)} is given; give at_least, at_most or both")
    label(arm, name="the name", error=InvalidConfigurationError)
    share = Share(**values)
    return _change(url, "traffic", arm, values, router=router, who=who, dry_run=dry_run, share=share)


def set_guard_mode(
    url: str, mode: Mode, *, router: str = "default", who: str | None = None, dry_run: bool = False
) -> ExpectedShares:
    """Restart the rollout in ``mode`` in all routers of a name; else as :func:`set_traffic`."""
    check_mode(mode)
    return _change(url, "guard", mode, {}, router=router, who=who, dry_run=dry_run)


def add_arm(
    url: str, arm: Arm, *, router: str = "default", who: str | None = None, dry_run: bool = False
) -> ExpectedShares:
    """Add an arm in all routers of a name; else as :func:`set_traffic`.

    Raises
    ------
    InvalidConfigurationError
        If the arm has an adapter, which only the router's own file can give.
    """
    if arm.adapter is not None:
        raise InvalidConfigurationError(f"arm {arm.name!r} has an adapter; add it to the router's file")
    names = [each for each in Arm.__dataclass_fields__ if getattr(arm, each) not in (None, (), {})]
    values = {name: getattr(arm, name) for name in names}
    return _change(url, "add_arm", arm.name, values, router=router, who=who, dry_run=dry_run)


def remove_arm(
    url: str, name: str, *, router: str = "default", who: str | None = None, dry_run: bool = False
) -> ExpectedShares:
    """Remove an arm in all routers of a name; what is learned of it is kept. Else as :func:`set_traffic`."""
    label(name, name="the name", error=InvalidConfigurationError)
    return _change(url, "remove_arm", name, {}, router=router, who=who, dry_run=dry_run)


def set_budget(
    url: str, name: str, amount: float, *, router: str = "default", who: str | None = None, dry_run: bool = False
) -> ExpectedShares:
    """Keep another amount of a budget in all routers of a name; else as :func:`set_traffic`.

    What was spent stays counted.

    Parameters
    ----------
    name
        The budget's name, as ``router.status()`` and ``banditroute inspect`` show it: ``"cost_usd per day"``.
    amount
        Above 0, in the budget's own unit: dollars, joules or grams.

    Returns
    -------
    ExpectedShares
        The shares if the latest requests came again, from now on, at today's belief of the default learner; limits,
        shares and the guard are left out. Empty for a budget with ``each``, whose keys are not recorded.

    Raises
    ------
    InvalidConfigurationError
        If the amount is not above 0, or the routers have recorded no budget of that name.
    StoreError
        If the database has no such router.
    """

    def rehearse(past: Past) -> Mapping[str, float]:
        return past.shares(budgets=[each.of(amount) if each.name == name else each for each in past.budgets])

    def check(connection: Any) -> bool:
        budgets = {each.name: each for each in recorded_budgets(_state(connection, router, "budgets") or b"{}")}
        if name not in budgets:
            known = listed(budgets) or "none; they are recorded with the first decision"
            raise InvalidConfigurationError(f"unknown budget {shown(name)}; known budgets: {known}")
        return budgets[name].of(amount).each is None

    return _rehearsed(url, "budget", name, {"amount": amount}, check, rehearse, router=router, who=who, dry_run=dry_run)


def set_prices(
    url: str,
    arm: str,
    *,
    input_usd_per_million_tokens: float | None = None,
    output_usd_per_million_tokens: float | None = None,
    cached_input_usd_per_million_tokens: float | None = None,
    cache_write_usd_per_million_tokens: float | None = None,
    router: str = "default",
    who: str | None = None,
    dry_run: bool = False,
) -> ExpectedShares:
    """Give an arm other token prices in all routers of a name; else as :func:`set_traffic`.

    What is learned of its tokens stays, so its expected cost follows at once.

    Parameters
    ----------
    arm
        The arm.
    input_usd_per_million_tokens, output_usd_per_million_tokens
    cached_input_usd_per_million_tokens, cache_write_usd_per_million_tokens
        As of :class:`~banditroute.Arm`; None leaves one as it is.

    Returns
    -------
    ExpectedShares
        As of :func:`set_budget`.

    Raises
    ------
    InvalidConfigurationError
        If no price is given, the routers have no such arm, or it cannot have these prices.
    StoreError
        If the database has no such router.
    """
    given = {
        "input_usd_per_million_tokens": input_usd_per_million_tokens,
        "output_usd_per_million_tokens": output_usd_per_million_tokens,
        "cached_input_usd_per_million_tokens": cached_input_usd_per_million_tokens,
        "cache_write_usd_per_million_tokens": cache_write_usd_per_million_tokens,
    }
    prices: dict[str, Any] = {name: price for name, price in given.items() if price is not None}

    def rehearse(past: Past) -> Mapping[str, float]:
        return past.shares(arms=[replace(each, **prices) if each.name == arm else each for each in past.arms])

    def check(connection: Any) -> bool:
        if not prices:
            raise InvalidConfigurationError(
                f"no price of {shown(arm)} is given; give one, such as input_usd_per_million_tokens"
            )
        arms = {each.name: each for each in recorded_arms(connection, router)}
        if arm not in arms:
            raise InvalidConfigurationError(f"unknown arm {shown(arm)}; known arms: {listed(arms)}")
        replace(arms[arm], **prices)
        return True

    return _rehearsed(url, "prices", arm, prices, check, rehearse, router=router, who=who, dry_run=dry_run)


def promote(url: str, *, router: str = "default", who: str | None = None, dry_run: bool = False) -> SharedChange:
    """Let the challenger serve in all routers of a name, without a cold start; they follow within half a second.

    The learner that served becomes the challenger, so a second call takes the promotion back. Judge the challenger
    first: ``evaluate(read_log(url), challenger, learning="progressive")``.

    Parameters
    ----------
    url, router, who, dry_run
        As in :func:`set_traffic`.

    Returns
    -------
    SharedChange
        The change that is recorded; with ``dry_run``, that would be.

    Raises
    ------
    StoreError
        If the database has no such router, or its routers have no challenger.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from banditroute import LinUCB, Router, SQLStore, admin
    >>> directory = tempfile.TemporaryDirectory()
    >>> url = f"sqlite:///{pathlib.Path(directory.name) / 'routes.db'}"
    >>> settings = {"arms": ["small", "large"], "features": 1, "challenger": LinUCB()}
    >>> with Router(**settings, store=SQLStore(url)) as router:
    ...     change = admin.promote(url, who="me")
    >>> with Router(**settings, store=SQLStore(url)) as router:
    ...     router.route([0.5]).policy
    'LinUCB(policy=UCB(alpha=2.0, delta=None, norm_bound=1.0, floor=0.005))'
    >>> directory.cleanup()
    """
    from banditroute.store.sql import folding

    database, by = open_database(url), _who(who)

    def put(connection: Any) -> SharedChange:
        _epochs(connection, router)
        if not dry_run:
            _announce(connection, router)
        roles = roles_of(_state(connection, router, ROLES))
        if roles is None:
            raise StoreError(
                f"the routers named {shown(router)} have no challenger; give them one: Router(challenger=LinUCB())"
            )
        serving, challenger = roles
        changes = _with_change(connection, router, "promote", challenger, {"over": serving}, by)
        if not dry_run:
            changed = {CHANGES: as_blob(changes), ROLES: roles_blob(challenger, serving)}
            folding.put_states(connection, router, {name: folding.Put(blob, None) for name, blob in changed.items()})
        return changes[-1]

    return write(database, put)


def _rehearsed(
    url: str,
    kind: Any,
    subject: str,
    values: Mapping[str, Any],
    check: Callable[[Any], bool],
    rehearse: Callable[[Past], Mapping[str, float]],
    *,
    router: str,
    who: str | None,
    dry_run: bool,
) -> ExpectedShares:
    """Make a change that ``check`` allows, and return the shares that ``rehearse`` gives, if ``check`` returns True."""

    def look(connection: Any) -> Past | None:
        _epochs(connection, router)
        return past(connection, router, requests=_DECISIONS_LOOKED_AT) if check(connection) else None

    database, by = open_database(url), _who(who)
    before = database.read(look)
    if not dry_run:
        _put(database, kind, subject, values, router, by)
    if before is not None:
        with suppress(BanditRouteError):  # such as a hard budget: the bounds of the arms are not recorded
            return ExpectedShares(decisions=len(before.requests), before=before.shares(), after=rehearse(before))
    return ExpectedShares(decisions=0, before={}, after={})


def _change(
    url: str,
    kind: Any,
    subject: str,
    values: Mapping[str, Any],
    *,
    router: str,
    who: str | None,
    dry_run: bool,
    share: Share | None = None,
) -> ExpectedShares:
    database, by = open_database(url), _who(who)
    expected = database.read(lambda connection: _expected(connection, router, kind, subject, share))
    if not dry_run:
        _put(database, kind, subject, values, router, by)
    return expected


def _put(database: Database, kind: Any, subject: str, values: Mapping[str, Any], router: str, who: str) -> None:
    from banditroute.store.sql import folding

    plain = {name: plain_number(value) for name, value in values.items()}  # JSON holds no Decimals

    def put(connection: Any) -> None:
        _announce(connection, router)
        changes = _with_change(connection, router, kind, subject, plain, who)
        folding.put_states(connection, router, {CHANGES: folding.Put(as_blob(changes), None)})

    write(database, put)


def _who(who: str | None) -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}" if who is None else label(who, name="who")


def _with_change(
    connection: Any, router: str, kind: Any, subject: str, values: Mapping[str, Any], who: str
) -> list[SharedChange]:
    """Return the changes that are kept once this one is made, as the last of them."""
    earlier = _stored(connection, router)
    number = earlier[-1].number + 1 if earlier else 1
    change = SharedChange(number=number, at=time.time(), who=who, kind=kind, subject=subject, values=values)
    return [*earlier, change][-_MOST_CHANGES:]


def _announce(connection: Any, router: str) -> None:
    """Let the routers look for changes, and keep other administrators out until the transaction ends."""
    from banditroute.store.sql import folding, inspection
    from banditroute.store.sql.schema import epoch

    for epoch_id in inspection.epoch_ids(connection, router):
        version = (folding.lock(connection, epoch_id) or 0) + 1  # the routers look when the version changes
        connection.execute(epoch.update().where(epoch.c.id == epoch_id).values(version=version))


def _stored(connection: Any, router: str) -> list[SharedChange]:
    return changes_of(_state(connection, router, CHANGES))


def _state(connection: Any, router: str, name: str) -> bytes | None:
    from sqlalchemy import select

    from banditroute.store.sql.schema import state

    blob: bytes | None = connection.scalar(select(state.c.blob).where(state.c.router == router, state.c.name == name))
    return blob


def _epochs(connection: Any, router: str) -> list[int]:
    """Return the epochs of a router; raise StoreError if the database has none."""
    from banditroute.store.sql import inspection

    epochs = list(inspection.epoch_ids(connection, router))
    if not epochs:
        raise StoreError(f"the database has no router {shown(router)}; name one that it has with router=")
    return epochs


def _expected(connection: Any, router: str, kind: str, subject: str, share: Share | None) -> ExpectedShares:
    from sqlalchemy import select

    from banditroute.store.sql.schema import decision

    epochs = _epochs(connection, router)
    rows = connection.execute(
        select(decision.c.arms, decision.c.probabilities)
        .where(decision.c.epoch_id.in_(epochs))
        .order_by(decision.c.id.desc())
        .limit(_DECISIONS_LOOKED_AT)
    ).all()
    if kind not in ("traffic", "remove_arm"):
        return ExpectedShares(decisions=len(rows), before={}, after={})
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for row in rows:
        arms, pmf = json.loads(row.arms), np.frombuffer(row.probabilities, dtype="<f8")
        changed = _without(pmf, arms, subject) if share is None else _with_share(pmf, arms, {subject: share})
        for sums, each in ((before, pmf), (after, changed)):
            for arm, probability in zip(arms, each.tolist(), strict=True):
                sums[arm] = sums.get(arm, 0.0) + probability / len(rows)
    return ExpectedShares(decisions=len(rows), before=before, after=after)


def _without(pmf: Vector, arms: list[str], gone: str) -> Vector:
    kept = np.where([arm == gone for arm in arms], 0.0, pmf)
    return kept / kept.sum() if kept.sum() > 0.0 else pmf


def _with_share(pmf: Vector, arms: list[str], traffic: Mapping[str, Share]) -> Vector:
    def redraw(positions: Any) -> Vector:
        some: Vector = pmf[list(positions)]
        return some / some.sum() if some.sum() > 0.0 else np.full(len(some), 1.0 / len(some))

    return shaped(pmf, traffic, arms, redraw)[0]
