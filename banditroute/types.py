"""The values that cross rooms: an arm, a request, a preference, a decision, feedback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute._validate import LARGEST, label, number
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError, InvalidRequestError

if TYPE_CHECKING:
    from banditroute.adapters.spec import AdapterSpec
    from banditroute.explanation import Explanation
    from banditroute.lease import Lease, Paging

Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One thing that can be chosen: a model, or a LoRA adapter on a base model.

    Parameters
    ----------
    name
        What the application calls it; unique within a router, 1 to 255 characters.
    input_usd_per_million_tokens, output_usd_per_million_tokens
        Token prices, at least 0. With both given, the router computes the expected cost from the tokens of the
        request and the output tokens that it expects, so a new price acts on the next request. None: not known.
    tags
        What it can do ("vision", "tools") or where it runs ("eu"): what a request may require.
    context_window_tokens
        The longest request that it takes, in tokens, at least 1; None: not known, and no limit.
    descriptors
        Numbers that describe it, such as ``{"size_billions": 70, "mmlu": 0.82}``: what an arm never tried is
        expected to do follows from them and from the other arms.
    expected
        What is expected of its outcomes on average, such as ``{"quality": 0.71, "latency_seconds": 2}`` from a public
        benchmark or from experience: what it begins with, until feedback says otherwise.
    replaces
        Name of the arm that it succeeds, a renamed or an older version: it begins with what was learned of that one,
        discounted. None: it begins anew.
    adapter
        The LoRA adapter that it is, for ``Router(adapters=...)``; None: it is always there.

    Raises
    ------
    InvalidConfigurationError
        For an unusable name, price, tag, window or descriptor, for one price without the other, and for an arm that
        replaces itself.

    Examples
    --------
    >>> Arm(name="small", input_usd_per_million_tokens=0.15, output_usd_per_million_tokens=0.6).priced
    True
    """

    name: str
    input_usd_per_million_tokens: float | None = None
    output_usd_per_million_tokens: float | None = None
    tags: tuple[str, ...] = ()
    context_window_tokens: int | None = None
    descriptors: Mapping[str, float] = field(default_factory=dict, hash=False)
    expected: Mapping[str, float] = field(default_factory=dict, hash=False)
    replaces: str | None = None
    adapter: AdapterSpec | None = None

    def __post_init__(self) -> None:
        label(self.name, name="Arm(name=...)", error=InvalidConfigurationError)
        if isinstance(self.tags, str):
            raise InvalidConfigurationError(
                f"tags of arm {self.name!r} is the string {self.tags!r}; give a tuple of strings, ({self.tags!r},)"
            )
        for tag in self.tags:
            label(tag, name=f"tag of arm {self.name!r}", error=InvalidConfigurationError)
        object.__setattr__(self, "tags", tuple(self.tags))
        if self.context_window_tokens is not None:
            number(
                self.context_window_tokens,
                name=f"context_window_tokens of arm {self.name!r}",
                low=1.0,
                error=InvalidConfigurationError,
            )
        for what in ("descriptors", "expected"):
            given = dict(getattr(self, what))  # the caller may go on to change its own
            for name, value in given.items():
                label(name, name=f"name in {what} of arm {self.name!r}", error=InvalidConfigurationError)
                number(value, name=f"{what} {name!r} of arm {self.name!r}", error=InvalidConfigurationError)
            object.__setattr__(self, what, given)
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
        for price in prices:
            if price is not None:
                number(price, name=f"price of arm {self.name!r}", low=0.0, error=InvalidConfigurationError)

    @property
    def priced(self) -> bool:
        """Whether token prices are known."""
        return self.input_usd_per_million_tokens is not None


class Preference(Mapping[str, float]):
    """What one unit of each objective is worth: weights that turn objectives into one utility.

    ``utility = sum of weight x value over what is better when higher - sum of weight x value over what is better
    when lower``. Weights are exchange rates in the objectives' own units: ``Preference(quality=1, cost_usd=50)``
    says that one dollar is worth 50 points of quality, so that .01 of quality is worth $0.0002.

    Parameters
    ----------
    weights
        Objective name = weight, 0 to 1e50, at least one above 0. What is not named weighs 0.

    Raises
    ------
    InvalidConfigurationError
        For a weight that is out of range or not a number, and where no weight is above 0.

    Examples
    --------
    >>> cheap = Preference(quality=1.0, cost_usd=50.0)
    >>> cheap["cost_usd"]
    50.0
    >>> cheap == {"quality": 1.0, "cost_usd": 50.0}
    True
    """

    __slots__ = ("_hash", "_weights")

    def __init__(self, **weights: float) -> None:
        self._weights = {
            key: number(value, name=f"preference {key}", low=0.0, high=LARGEST, error=InvalidConfigurationError)
            for key, value in weights.items()
        }
        if not any(self._weights.values()):
            raise InvalidConfigurationError(
                f"a preference needs a weight above 0, got {self._weights}; for example Preference(quality=1.0)"
            )
        self._hash = hash(frozenset(self._weights.items()))

    def __getitem__(self, key: str) -> float:
        return self._weights[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Preference({', '.join(f'{key}={value:g}' for key, value in self._weights.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be routed: text or ready features, and what is known about it.

    Parameters
    ----------
    text
        The prompt, or None where ready features are given.
    features
        Ready features ``(d - 1,)``, without the bias entry; None where a featurizer computes them from the text.
    session, tags
        Labels that the application gives; stored with the decision.
    input_tokens
        Tokens of the prompt, at least 0; None if not counted.
    template
        Names the place in the application that made the prompt, for the featurizer ``Template``; None if not known.
    metadata
        Name -> number or string, for the featurizer ``Metadata``.
    messages
        Role and text of each message of a conversation, of which ``text`` is the part that featurizers read.
    again
        Whether it was decided before: a further call of one request, for which no budget grants anything more.

    Raises
    ------
    InvalidRequestError
        For both text and features, and for neither.

    Examples
    --------
    >>> Request(text="Why is the sky blue?", tags=("physics",)).tags
    ('physics',)
    """

    text: str | None = None
    features: Vector | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    input_tokens: int | None = None
    template: str | None = None
    metadata: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    messages: tuple[tuple[str, str], ...] = ()
    again: bool = False

    def __post_init__(self) -> None:
        if (self.text is None) == (self.features is None):
            raise InvalidRequestError("a request has either text or ready features; give exactly one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the application reports for one decision: any subset of the objectives.

    Parameters
    ----------
    decision_id
        The ``id`` of the decision.
    values
        Objective name -> observed value, in the objective's own unit; checked by the router.
    received_at
        Unix time in seconds.
    source
        Who reports it, where the application says so: all that one source reported can be taken back.

    Raises
    ------
    InvalidFeedbackError
        For no outcome at all.

    Examples
    --------
    >>> Feedback(decision_id="0f", values={"quality": 1.0, "cost_usd": 0.002}, received_at=0.0).values["cost_usd"]
    0.002
    """

    decision_id: str
    values: Mapping[str, float]
    received_at: float
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidFeedbackError(
                f"feedback for decision {self.decision_id!r} has no outcome; give at least one, for example quality=1.0"
            )


class Tally(NamedTuple):
    """What is counted for a budget: by all processes together, or what one of them adds.

    Attributes
    ----------
    period
        Number of the hour or day since 1970; 0 for what has no period.
    requests
        How many requests were counted in it.
    spent
        What they took or are expected to take, in dollars or joules.
    balance
        What is left of their allowance, below 0 for a debt.

    Examples
    --------
    >>> Tally(requests=1, spent=0.5) + Tally(requests=1, spent=0.25)
    Tally(period=0, requests=2, spent=0.75, balance=0.0)
    >>> Tally(period=8, requests=3, spent=0.5) + Tally(period=9, requests=1, spent=0.25)
    Tally(period=9, requests=1, spent=0.25, balance=0.0)
    """

    period: int = 0
    requests: int = 0
    spent: float = 0.0
    balance: float = 0.0

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        """Both together; only the later period counts."""
        if self.period != other.period:
            return max(self, other)
        return Tally(
            self.period, self.requests + other.requests, self.spent + other.spent, self.balance + other.balance
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """What ``route()`` returns: the arm to use, and why.

    Arrays run over ``arms``, the K eligible arms, in the router's order; objective arrays over ``objectives``.

    Attributes
    ----------
    id
        Names the decision in ``feedback()``: 32 hexadecimal digits, the first 12 its time in milliseconds.
    arm
        The arm to use.
    propensity
        The probability with which ``arm`` was chosen, in (0, 1]; exact.
    reason
        ``"policy"``; or ``"limits: ..."``, ``"breaker: ..."``, ``"traffic: ..."``, ``"guard: ..."`` with what limited
        the policy; or ``"fallback: ..."`` with what kept it from choosing.
    decided_at
        Unix time in seconds.
    arms, probabilities
        The eligible arms, and the probability of each ``(K,)``, summing to 1.
    objectives, means, spreads
        What was believed of each arm: expected outcome and standard deviation of that expectation ``(m, K)``.
    utilities, utility_spreads
        Expected utility less penalty, and its standard deviation ``(K,)``.
    penalties
        What the present state takes off each arm's utility ``(K,)``.
    x
        The context ``(d,)``, last entry 1.0 (bias); None if the features could not be computed.
    preference, policy
        The weights that were used, and the policy's description.
    session, tags, input_tokens
        As given to ``route()``.
    ordinal
        How many decisions the router had made before it, those of earlier processes included.
    paging
        Whether the arm's adapter is resident, and what paging it in is expected to take; None for an arm without one.
    reserved
        What it is expected to take, in dollars or joules, for each budget that counts it; where the arm has token
        prices, then what its input costs, and each token of its output.

    Examples
    --------
    >>> from banditroute import Router
    >>> decision = Router(arms=["small", "large"], features=1).route([0.5], exclude=["large"])
    >>> decision.arm, decision.propensity, decision.ranking
    ('small', 1.0, ('small',))
    >>> decision.x
    array([0.5, 1. ])
    """

    id: str
    arm: str
    propensity: float
    reason: str
    decided_at: float
    arms: tuple[str, ...]
    probabilities: Vector
    objectives: tuple[str, ...]
    means: Vector
    spreads: Vector
    utilities: Vector
    utility_spreads: Vector
    penalties: Vector
    x: Vector | None
    preference: Preference
    policy: str
    session: str | None = None
    tags: tuple[str, ...] = ()
    input_tokens: int | None = None
    ordinal: int = 0
    paging: Paging | None = None
    reserved: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def fell_back(self) -> bool:
        """Whether the fallback arm was given because the policy could not choose."""
        return self.reason.startswith("fallback")

    @property
    def ranking(self) -> tuple[str, ...]:
        """The chosen arm, then the other eligible arms by expected utility: the order for a retry."""
        order = np.argsort(-self.utilities, kind="stable")
        return (self.arm, *(self.arms[k] for k in order if self.arms[k] != self.arm))

    def lease(self) -> Lease:
        """Have the arm's adapter resident while the request is served: ``with decision.lease() as decision: ...``.

        Also ``async with``. What it gives is the decision that is served: another one, with an id of its own, where
        the adapter cannot be loaded (``decision.reason`` says why). For an arm without an adapter nothing is done.

        Raises
        ------
        AdapterError
            On entering, if the adapter cannot be loaded and no other arm is ready.
        """
        from banditroute.lease import Lease  # here: a lease holds its decision

        return Lease(self)

    def explain(self) -> Explanation:
        """Per arm: predicted objectives with spread, utility, penalty and probability; ``print()`` shows a table."""
        from banditroute.explanation import explain  # here: an explanation holds its decision

        return explain(self)
