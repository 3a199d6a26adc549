"""The bodies of the service's requests."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from banditroute.config.parts import PARTS
from banditroute.limits import Limits
from banditroute.router.requests import RouteOptions


class _Body(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


class Terms(_Body):
    """Options of ``router.route()``."""

    preference: dict[str, float] | None = Field(default=None, description="Weights of the objectives for this request.")
    arms: list[str] | None = Field(default=None, description="The arms that may be chosen. Default: all.")
    exclude: list[str] = Field(default=[], description="Arms that may not be chosen.")
    limits: dict[str, Any] | None = Field(default=None, description="Limits that tighten the router's.")
    requires: list[str] = Field(default=[], description="Capabilities that the arm must have.")
    deadline_seconds: float | None = Field(default=None, description="The longest expected latency, above 0.")
    session: str | None = Field(default=None, description="The session of the request.")
    tags: list[str] = Field(default=[], description="Labels, recorded with the decision.")
    input_tokens: int | None = Field(default=None, description="Tokens of all messages.")
    max_output_tokens: int | None = Field(default=None, description="The most tokens that the answer may have.")
    template: str | None = Field(default=None, description="The place in the application that made the prompt.")
    metadata: dict[str, float | str | None] | None = Field(default=None, description="What featurizers and rules read.")

    def options(self) -> RouteOptions:
        """Return the options that were given."""
        given: Any = {name: getattr(self, name) for name in self.model_fields_set & set(Terms.model_fields)}
        if given.get("limits") is not None:
            given["limits"] = PARTS.read(Limits, self.limits, source="limits")
        options: RouteOptions = given
        return options


class RouteBody(Terms):
    """A request to route."""

    input: str | list[dict[str, Any]] | list[float] = Field(
        description="The prompt, messages of role and content, or ready features."
    )
    dry_run: bool = Field(default=False, description="Show the decision that would be made, and make none.")


class ChatBody(BaseModel):
    """A chat completion in OpenAI's form. What is not named here is passed on to the arm's server."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", allow_inf_nan=False)

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str = Field(default="auto", description="'auto', or the name of an arm.")
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    route: Terms = Field(default_factory=Terms, description="Options of the router for this request.")


class FeedbackBody(_Body):
    """Outcomes of a decision; all but the id may be left out, and one must be given."""

    decision_id: str
    quality: float | None = None
    cost_usd: float | None = None
    energy_joules: float | None = None
    latency_seconds: float | None = None
    output_tokens: float | None = None
    failed: bool | None = None
    failure: str | None = None
    retry_after_seconds: float | None = None
    source: str | None = None
    objectives: dict[str, float] = Field(default={}, description="The router's own objectives, by name.")


class StepBody(_Body):
    """An answer that is there, and how good it looks."""

    decision_id: str
    signals: dict[str, float] = Field(description="Name -> how good the answer looks, in [0, 1].")


class CompareBody(_Body):
    """Ids of several answers, the best first; those that tie in a list."""

    ranking: list[str | list[str]]
    source: str | None = None
