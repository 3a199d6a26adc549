"""An arm: one thing that can be chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from banditroute.core.adapter import AdapterSpec
from banditroute.core.validation import (
    LARGEST,
    label,
    labels,
    mapping_copy,
    number,
    plain_numbers,
    positive,
    shown,
)
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
        error = InvalidConfigurationError
        for name in ("model", "effort"):
            if getattr(self, name) is not None:
                label(getattr(self, name), name=f"{name} of an arm", error=error)
        if self.effort is not None and self.model is None:
            raise error(f"arm {self.name!r} has the effort {self.effort!r} and no model; give model=..., too")
        if self.name == "" and self.model is not None:
            object.__setattr__(self, "name", ":".join(part for part in (self.model, self.effort) if part is not None))
        label(self.name, name="Arm(name=...)", error=error)
        names = labels(self.capabilities, name=f"capabilities of arm {self.name!r}", error=error)
        object.__setattr__(self, "capabilities", names)
        self._copy_statements()
        for name in ("replaces", "provider"):
            if getattr(self, name) is not None:
                label(getattr(self, name), name=f"{name} of arm {self.name!r}", error=error)
        if self.replaces == self.name:
            raise error(f"arm {self.name!r} replaces itself; name the arm that it succeeds, or leave it out")
        if self.adapter is not None and not isinstance(self.adapter, AdapterSpec):
            raise error(f"adapter of arm {self.name!r} is {shown(self.adapter)}; give AdapterSpec(name=..., path=...)")
        self._check_numbers()

    def _copy_statements(self) -> None:
        """Copy what the arm states about itself, as the caller may go on to change its own mappings."""
        for name in ("descriptors", "expected"):
            object.__setattr__(self, name, self._numbers(getattr(self, name), what=name))
        example = "{'quality': {'math': 0.9, 'code': 0.3}}"
        error = InvalidConfigurationError
        profile = mapping_copy(self.profile, name=f"profile of arm {self.name!r}", example=example, error=error)
        for objective, given in profile.items():
            profile[objective] = self._numbers(given, what=f"the profile for {objective!r}")
            if not given:
                raise error(f"the profile of arm {self.name!r} is empty for {objective!r}; give profile={example}")
        averages = {objective: sum(given.values()) / len(given) for objective, given in profile.items()}
        object.__setattr__(self, "expected", {**averages, **self.expected})
        object.__setattr__(self, "profile", profile)

    def _numbers(self, given: object, *, what: str) -> dict[str, float]:
        """Return a copy of a mapping from names to finite numbers, or raise."""
        name, error = f"{what} of arm {self.name!r}", InvalidConfigurationError
        copy = mapping_copy(given, name=name, example="{'math': 0.9}", error=error)
        for key, value in copy.items():
            number(value, name=f"{key!r} in {name}", low=-LARGEST, high=LARGEST, error=error)
        return {key: value if isinstance(value, int | float) else float(value) for key, value in copy.items()}

    def _check_numbers(self) -> None:
        """Raise InvalidConfigurationError if a price or a bound is unusable."""
        error = InvalidConfigurationError
        prices = (self.input_usd_per_million_tokens, self.output_usd_per_million_tokens)
        if (prices[0] is None) != (prices[1] is None):
            raise error(f"arm {self.name!r} has one token price of two; give both, or neither if they are not known")
        cached = (self.cached_input_usd_per_million_tokens, self.cache_write_usd_per_million_tokens)
        if not self.priced and any(price is not None for price in cached):
            raise error(
                f"arm {self.name!r} has a price of cached input and none of its other tokens; give "
                "input_usd_per_million_tokens and output_usd_per_million_tokens as well"
            )
        for price in (*prices, *cached):
            if price is not None:
                number(price, name=f"price of arm {self.name!r}", low=0.0, high=LARGEST, error=error)
        lowest = {"context_window_tokens": 1.0, "max_cost_usd": 0.0, "max_output_tokens": 1.0, "cache_min_tokens": 0.0}
        for name, low in lowest.items():
            if getattr(self, name) is not None:
                number(getattr(self, name), name=f"{name} of arm {self.name!r}", low=low, high=LARGEST, error=error)
        if self.cache_seconds is not None:
            positive(self.cache_seconds, name=f"cache_seconds of arm {self.name!r}", error=error)

    @property
    def priced(self) -> bool:
        """True if token prices are known."""
        return self.input_usd_per_million_tokens is not None
