"""An arm: one thing that can be chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from banditroute.core.adapter import AdapterSpec
from banditroute.core.validation import LARGEST, label, labels, non_negative, number, plain_numbers, positive
from banditroute.errors import InvalidConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One thing that can be chosen: a model, or a LoRA adapter on a base model.

    Parameters
    ----------
    name
        The application's name for it; unique within a router, 1 to 255 characters. Default: its ``model``, and its
        ``effort`` after a colon.
    input_usd_per_million_tokens, output_usd_per_million_tokens
        Token prices, at least 0. With both given, the router computes the expected cost from the tokens of the
        request and the output tokens that it expects, so a new price acts on the next request. None: not known.
    cached_input_usd_per_million_tokens, cache_write_usd_per_million_tokens
        Prices of input tokens that the provider reads from its prompt cache, and writes to it; None: as all input. With
        the first, turns of a session are priced by what the cache still holds.
    cache_seconds, cache_min_tokens
        How long the provider keeps a prompt after its last use, above 0, and the shortest prefix that it keeps.
    provider
        Whose prompt cache it is: what is learned of one arm's cache holds for the others of that provider. None: its
        own.
    capabilities
        Names of what it can do ("vision", "tools") or where it runs ("zone:eu"): what a request may require.
    context_window_tokens
        The longest request that it takes, in tokens, at least 1. None: no limit is known.
    max_cost_usd, max_output_tokens
        The most that one call costs in dollars, and the most tokens that it answers with: what a hard budget reserves
        for an open decision. At least 0, and at least 1; None: not known.
    descriptors
        Numbers that describe it, such as ``{"size_billions": 70, "mmlu": 0.82}``. Predictions for an arm never tried
        follow from them and from the other arms.
    expected
        Its expected outcomes on average, such as ``{"quality": 0.71, "latency_seconds": 2}``, from a public benchmark
        or from experience. Predictions begin with them, until feedback says otherwise. The router knows the objectives,
        and refuses what lies outside their ranges.
    profile
        Its expected outcomes at single entries of the features, such as ``{"quality": {"math": 0.9, "code": 0.3}}``:
        objective -> name of an entry, or its end after a dot -> expected outcome there. Where ``expected`` lacks the
        objective, it becomes their mean. :func:`banditroute.learners.profile` makes it from evaluated prompts.
    replaces
        Name of the arm that it succeeds, such as an older version. It begins with what was learned of that arm, at a
        discount. None: it begins from nothing.
    adapter
        Its LoRA adapter, for ``Router(adapters=...)``; None: it needs no loading.
    model, effort
        The two factors of an arm that is a model at an effort: arms of one model learn from each other, and so do arms
        of one effort. None: it is an arm by itself.

    Raises
    ------
    InvalidConfigurationError
        If a name, price, tag, window or descriptor is unusable, one price is given without the other, an effort is
        given without a model, or the arm replaces itself.

    Examples
    --------
    >>> Arm(name="small", input_usd_per_million_tokens=0.15, output_usd_per_million_tokens=0.6).priced
    True
    >>> Arm(model="o4", effort="high").name
    'o4:high'
    """

    name: str = ""
    input_usd_per_million_tokens: float | None = None
    output_usd_per_million_tokens: float | None = None
    cached_input_usd_per_million_tokens: float | None = None
    cache_write_usd_per_million_tokens: float | None = None
    cache_seconds: float | None = None
    cache_min_tokens: int | None = None
    provider: str | None = None
    capabilities: Collection[str] = ()
    context_window_tokens: int | None = None
    max_cost_usd: float | None = None
    max_output_tokens: int | None = None
    descriptors: Mapping[str, float] = field(default_factory=dict, hash=False)
    expected: Mapping[str, float] = field(default_factory=dict, hash=False)
    profile: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    replaces: str | None = None
    adapter: AdapterSpec | None = None
    model: str | None = None
    effort: str | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        for what in ("model", "effort"):
            if getattr(self, what) is not None:
                label(getattr(self, what), name=f"{what} of an arm", error=InvalidConfigurationError)
        if self.effort is not None and self.model is None:
            raise InvalidConfigurationError(
                f"arm {self.name!r} has the effort {self.effort!r} and no model; give model=..., too"
            )
        if self.name == "" and self.model is not None:
            object.__setattr__(self, "name", ":".join(part for part in (self.model, self.effort) if part is not None))
        label(self.name, name="Arm(name=...)", error=InvalidConfigurationError)
        names = labels(self.capabilities, name=f"capabilities of arm {self.name!r}", error=InvalidConfigurationError)
        object.__setattr__(self, "capabilities", names)
        if self.context_window_tokens is not None:
            number(
                self.context_window_tokens,
                name=f"context_window_tokens of arm {self.name!r}",
                low=1.0,
                error=InvalidConfigurationError,
            )
        for name, low in (("max_cost_usd", 0.0), ("max_output_tokens", 1.0)):
            if getattr(self, name) is not None:
                number(
                    getattr(self, name),
                    name=f"{name} of arm {self.name!r}",
                    low=low,
                    high=LARGEST,
                    error=InvalidConfigurationError,
                )
        for what in ("descriptors", "expected"):  # copies: the caller may go on to change its own
            object.__setattr__(self, what, self._numbers(getattr(self, what), what=what))
        profile = {}
        for objective, given in dict(self.profile).items():
            label(objective, name=f"objective in the profile of arm {self.name!r}", error=InvalidConfigurationError)
            if not isinstance(given, Mapping) or not given:
                raise InvalidConfigurationError(
                    f"the profile of arm {self.name!r} has {given!r:.80} for {objective!r}; give entries of the "
                    'features with what to expect there, such as profile={"quality": {"math": 0.9, "code": 0.3}}'
                )
            profile[objective] = self._numbers(given, what="profile")
        averages = {objective: sum(given.values()) / len(given) for objective, given in profile.items()}
        object.__setattr__(self, "expected", {**averages, **self.expected})
        object.__setattr__(self, "profile", profile)
        if self.replaces == self.name:
            raise InvalidConfigurationError(
                f"arm {self.name!r} replaces itself; name the arm that it succeeds, or leave it out"
            )
        if self.replaces is not None:
            label(self.replaces, name=f"replaces of arm {self.name!r}", error=InvalidConfigurationError)
        prices = (self.input_usd_per_million_tokens, self.output_usd_per_million_tokens)
        if (prices[0] is None) != (prices[1] is None):
            raise InvalidConfigurationError(
                f"arm {self.name!r} has one token price of two; give both, or neither if they are not known"
            )
        cached = (self.cached_input_usd_per_million_tokens, self.cache_write_usd_per_million_tokens)
        if not self.priced and any(price is not None for price in cached):
            raise InvalidConfigurationError(
                f"arm {self.name!r} has a price of cached input and none of its other tokens; give "
                "input_usd_per_million_tokens and output_usd_per_million_tokens as well"
            )
        if self.cache_seconds is not None:
            positive(self.cache_seconds, name=f"cache_seconds of arm {self.name!r}", error=InvalidConfigurationError)
        if self.cache_min_tokens is not None:
            non_negative(
                self.cache_min_tokens, name=f"cache_min_tokens of arm {self.name!r}", error=InvalidConfigurationError
            )
        if self.provider is not None:
            label(self.provider, name=f"provider of arm {self.name!r}", error=InvalidConfigurationError)
        for price in (*prices, *cached):
            if price is not None:
                number(
                    price, name=f"price of arm {self.name!r}", low=0.0, high=LARGEST, error=InvalidConfigurationError
                )

    def _numbers(self, given: Mapping[str, float], *, what: str) -> dict[str, float]:
        """Return a copy of a mapping from names to numbers of a usual size, or raise."""
        for name, value in dict(given).items():
            label(name, name=f"name in {what} of arm {self.name!r}", error=InvalidConfigurationError)
            number(
                value,
                name=f"{what} {name!r} of arm {self.name!r}",
                low=-LARGEST,
                high=LARGEST,
                error=InvalidConfigurationError,
            )
        return {name: value if isinstance(value, int | float) else float(value) for name, value in given.items()}

    @property
    def priced(self) -> bool:
        """True if token prices are known."""
        return self.input_usd_per_million_tokens is not None
