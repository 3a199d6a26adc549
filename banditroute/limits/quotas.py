"""Quotas: how many requests and tokens a minute arms may get, shared by all processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from banditroute.budgets.slices import Slices
from banditroute.budgets.spend_forecast import most_input_tokens
from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.core.validation import labels, positive, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.limits.headroom import Headroom, Left

_SECONDS = 60.0
_PREFIX = "quota "


class _Counted(NamedTuple):
    """The unit of a quota: requests, or tokens of the input, of the output, or of both."""

    ending: str  # of the name that it is recorded under
    of_input: bool
    of_output: bool


_COUNTED = {
    "requests_per_minute": _Counted(" requests", of_input=False, of_output=False),
    "tokens_per_minute": _Counted(" tokens", of_input=True, of_output=True),
    "input_tokens_per_minute": _Counted(" input tokens", of_input=True, of_output=False),
    "output_tokens_per_minute": _Counted(" output tokens", of_input=False, of_output=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The requests and tokens that some arms may get in each minute, together.

    A provider's key often serves several arms: give them one quota. Within a minute of the clock the quota is never
    exceeded, whatever the number of processes on one database. An arm without room is not eligible.

    Parameters
    ----------
    arms
        Names of the arms that share the quota, at least one.
    requests_per_minute
        At least 1. Default: no limit.
    tokens_per_minute
        Input and output tokens together, above 0. A call reserves its input and ``max_output_tokens`` (of the request
        or of the arm), and gives back what it did not use. Default: no limit.
    input_tokens_per_minute, output_tokens_per_minute
        Input tokens and output tokens alone, above 0, for providers that count them apart. Default: no limit.

    Raises
    ------
    InvalidConfigurationError
        If a value is unusable, or no limit is given.

    Examples
    --------
    >>> Quota(arms=["gpt-4o"], requests_per_minute=500).name
    'gpt-4o'
    """

    arms: Sequence[str]
    requests_per_minute: int | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        error = InvalidConfigurationError
        object.__setattr__(self, "arms", labels(self.arms, name="arms of a quota", error=error))
        if not self.arms:
            raise error("a quota has no arms; name at least one")
        if all(getattr(self, limit) is None for limit in _COUNTED):
            raise error(f"a quota limits nothing; give {' or '.join(_COUNTED)}")
        if self.requests_per_minute is not None:
            whole(self.requests_per_minute, name="requests_per_minute", error=error)
        for limit in ("tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute"):
            if (tokens := getattr(self, limit)) is not None:
                positive(tokens, name=limit, error=error)

    @property
    def name(self) -> str:
        """The name that it is recorded under."""
        return " ".join(self.arms)


def check_quotas(quotas: Sequence[Quota], arms: Sequence[Arm]) -> None:
    """Raise InvalidConfigurationError unless all quotas are of known arms, and no two of the same."""
    if not isinstance(quotas, Sequence) or not all(isinstance(quota, Quota) for quota in quotas):
        raise InvalidConfigurationError(f"quotas is {quotas!r:.80}; give a list, [Quota(arms=['a'], ...)]")
    names = [arm.name for arm in arms]
    for quota in quotas:
        for arm in quota.arms:
            if arm not in names:
                raise InvalidConfigurationError(
                    f"a quota names the unknown arm {arm!r}; known arms: {', '.join(names)}"
                )
    if len({quota.name for quota in quotas}) < len(quotas):
        raise InvalidConfigurationError("two quotas are of the same arms; give one of them")


class Quotas:
    """The quotas of a router at work. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    quotas
        The settings.
    arms
        All arms.
    add
        Adds to the shared total of a name; returns the sum if it is known at once.
    """

    def __init__(
        self,
        *,
        quotas: Sequence[Quota],
        arms: Sequence[Arm],
        add: Callable[[str, SharedTotal], SharedTotal | None],
    ) -> None:
        self._add = add
        self._limits: dict[str, float] = {}
        self._counted: dict[str, _Counted] = {}
        self._of_arm: dict[str, list[str]] = {}
        for quota in quotas:
            for attribute, counted in _COUNTED.items():
                if (limit := getattr(quota, attribute)) is not None:
                    name = _PREFIX + quota.name + counted.ending
                    self._limits[name], self._counted[name] = float(limit), counted
                    for arm in quota.arms:
                        self._of_arm.setdefault(arm, []).append(name)
        self._slices: dict[tuple[str, int], Slices] = {}  # by name and minute
        self._keys = {arm: quota.name for quota in quotas for arm in quota.arms}
        self._headroom = Headroom()
        self.set_arms(arms)

    @property
    def active(self) -> bool:
        """True if there is any quota, or a provider has said what is left."""
        return bool(self._limits) or self._headroom.active

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Know these arms from now on."""
        self._max_output = {arm.name: arm.max_output_tokens for arm in arms}

    def prepare(self, now: float) -> bool:
        """Draw the first slices; return whether there are any."""
        for name in self._limits:
            self._present(name, now).draw(limit=self._limits[name], need=self._limits[name] / 100.0, now=now)
        return self.active

    def note_headroom(self, arm: str, left: Mapping[str, Left], now: float) -> None:
        """Take a provider's word for what is left to an arm, and to those that share a quota with it."""
        self._headroom.note(self._keys.get(arm, arm), left, now)

    def with_room(self, arms: Sequence[str], request: Request, now: float) -> list[str]:
        """Return those of ``arms`` whose quotas have room for the request, drawing more if needed."""
        return [
            arm
            for arm in arms
            if all(self._has_room(name, arm, request, now) for name in self._of_arm.get(arm, ()))
            and (not self._headroom.active or self._has_headroom(arm, request, now))
        ]

    def take(self, arm: str, request: Request, now: float) -> dict[str, tuple[float, ...]]:
        """Count a request that ``arm`` serves; return the tokens that it reserves of each quota, and its input's."""
        taken: dict[str, tuple[float, ...]] = {}
        if self._headroom.active:
            for limit, counted in _COUNTED.items():
                amount = self._amount(counted, arm, request)
                self._headroom.take(self._keys.get(arm, arm), _unit(limit), amount, now)
        for name in self._of_arm.get(arm, ()):
            amount = self._amount(self._counted[name], arm, request)
            self._present(name, now).use(amount)
            if self._counted[name].of_output:
                of_input = float(most_input_tokens(request) or 0.0) if self._counted[name].of_input else 0.0
                taken[name] = (amount, of_input)
        return taken

    def settle(
        self,
        reserved: Mapping[str, tuple[float, ...]],
        values: Mapping[str, float],
        known: Collection[str],
        decided_at: float,
        now: float,
    ) -> None:
        """Give back the tokens that a call reserved and did not use, within the minute in which it was decided."""
        if "output_tokens" not in values or "output_tokens" in known or _minute(decided_at) != _minute(now):
            return
        for name, amounts in reserved.items():
            if name in self._limits:
                amount, of_input = amounts
                self._present(name, now).use(of_input + values["output_tokens"] - amount)

    def merge(self, name: str, joint: SharedTotal, added: SharedTotal) -> bool:
        """Take over what all processes have drawn under ``name``; return whether that is a quota's."""
        slices = self._slices.get((name, joint.period))
        if slices is not None:
            slices.merge(joint, added)
        return name in self._limits

    def _has_room(self, name: str, arm: str, request: Request, now: float) -> bool:
        slices, amount = self._present(name, now), self._amount(self._counted[name], arm, request)
        slices.draw(limit=self._limits[name], need=2.0 * amount, now=now)
        return slices.stock >= amount

    def _has_headroom(self, arm: str, request: Request, now: float) -> bool:
        key = self._keys.get(arm, arm)
        return all(
            self._headroom.left(key, _unit(limit), now) >= self._amount(counted, arm, request)
            for limit, counted in _COUNTED.items()
        )

    def _amount(self, counted: _Counted, arm: str, request: Request) -> float:
        _, of_input, of_output = counted
        if not (of_input or of_output):
            return 1.0
        amount = float(most_input_tokens(request) or 0.0) if of_input else 0.0
        if of_output:
            limits = [each for each in (request.max_output_tokens, self._max_output.get(arm)) if each is not None]
            amount += min(limits, default=0)
        return amount

    def _present(self, name: str, now: float) -> Slices:
        """Return the slices of this minute; those of the next are drawn with them, so that it begins with a stock."""
        minute = _minute(now)
        if (name, minute) not in self._slices:
            self._slices[name, minute] = Slices(add=lambda total: self._add(name, total), period=minute)
            for old in [key for key in self._slices if key[0] == name and abs(key[1] - minute) > 1]:
                del self._slices[old]
        if (name, minute + 1) not in self._slices:
            following = Slices(add=lambda total: self._add(name, total), period=minute + 1)
            self._slices[name, minute + 1] = following
            following.draw(limit=self._limits[name], need=self._limits[name] / 100.0, now=now)
        return self._slices[name, minute]


def _unit(limit: str) -> str:
    """Return the unit of a limit of :class:`Quota`, as headers name it."""
    return limit.removesuffix("_per_minute")


def _minute(now: float) -> int:
    return int(now // _SECONDS)
