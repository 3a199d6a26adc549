"""A routing plugin for LiteLLM: it narrows the candidate models to the router's choice, and reports what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from banditroute.core.optional_imports import optional

optional("litellm", extra="litellm")  # before it is imported by name

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.types.router import RoutingContext

from banditroute.core.arm import Arm
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations.failures import failure_of, retry_after_seconds
from banditroute.integrations.fields import count, field
from banditroute.integrations.tokens import estimated_tokens
from banditroute.router import Router

HEADER = "x-banditroute-decision-id"
"""The header in which LiteLLM's proxy names the decision."""

_log = logging.getLogger("banditroute")


class BanditPlugin(CustomLogger):
    """A routing plugin and a callback for LiteLLM's router or proxy; give one object as both.

    LiteLLM asks the plugin before each attempt, also of retries and fallbacks. The plugin leaves the arm that the
    router chooses. Arms that failed for the same request are left out while others can be asked. Tokens, cost, latency
    and failures are reported to the router once for each attempt.

    Only LiteLLM's asynchronous methods run plugins, such as ``acompletion``. Set ``disable_cooldowns=True``: LiteLLM
    does not say which models it cools down, and the router's circuit breaker does the same work.

    Parameters
    ----------
    router
        The router that chooses. Its arms are named as ``litellm_params.model``; :meth:`arms` makes them from a model
        list.
    name
        Name of the plugin in ``metadata["routing_plugin_signals"]``. Two plugins of one process need two names.

    Examples
    --------
    >>> models = [
    ...     {"model_name": "chat", "litellm_params": {"model": "openai/gpt-4o-mini"}},
    ...     {"model_name": "chat", "litellm_params": {"model": "openai/gpt-4o"}},
    ... ]
    >>> plugin = BanditPlugin(Router(arms=BanditPlugin.arms(models), seed=0))
    >>> [arm.name for arm in plugin.router.arms]
    ['openai/gpt-4o-mini', 'openai/gpt-4o']
    """

    def __init__(self, router: Router, *, name: str = "banditroute") -> None:
        super().__init__()
        self.router = router
        self.name = name

    @staticmethod
    def arms(model_list: Iterable[Mapping[str, Any]], *, group: str | None = None) -> tuple[Arm, ...]:
        """Return an arm for each model of a LiteLLM model list, with the prices that LiteLLM knows.

        Deployments of the same model are one arm, among which LiteLLM chooses.

        Parameters
        ----------
        model_list
            The list, as ``litellm.Router(model_list=...)`` takes it.
        group
            The ``model_name`` whose models are taken; None: all.

        Raises
        ------
        InvalidConfigurationError
            If no model is left.
        """
        taken = [each["litellm_params"] for each in model_list if group in (None, each.get("model_name"))]
        if not taken:
            raise InvalidConfigurationError(f"the model list has no model of the group {group!r}; name another group")
        return tuple({each["model"]: _arm(each) for each in taken}.values())

    def decision_id(self, metadata: Mapping[str, Any]) -> str | None:
        """Return the id of the decision from the ``metadata`` that was given to LiteLLM; None if nothing was routed.

        Examples
        --------
        >>> plugin = BanditPlugin(Router(arms=["openai/gpt-4o"]))
        >>> plugin.decision_id({"routing_plugin_signals": {"banditroute": {"decision_id": "d1"}}})
        'd1'
        """
        found = field(metadata, "routing_plugin_signals", self.name, "decision_id")
        return found if isinstance(found, str) else None

    async def run(self, context: RoutingContext) -> RoutingContext:
        """Leave the chosen arm of the candidate models; all of them if routing fails."""
        attempts = dict(field(context.metadata, "routing_plugin_signals", self.name, "attempts") or {})
        known = {arm.name for arm in self.router.arms}
        candidates = [model for model in dict.fromkeys(context.candidate_models) if model in known]
        candidates = [model for model in candidates if model not in attempts] or candidates
        if not candidates:
            return context
        session = context.metadata.get("session_id")
        try:
            decision = await self.router.aroute(
                context.structured_messages,
                arms=candidates,
                session=session if isinstance(session, str) and session else None,
                input_tokens=estimated_tokens(context.structured_messages, {}),
            )
        except Exception:
            _log.exception("a request of LiteLLM cannot be routed; LiteLLM chooses among all of its models")
            return context
        context.candidate_models = [decision.arm]
        attempts[decision.arm] = decision.id
        context.signals[self.name] = {
            "decision_id": decision.id,
            "arm": decision.arm,
            "attempts": attempts,
        }
        return context

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Report an answer; LiteLLM calls this once it is whole, also for a stream."""
        await self._report(
            kwargs,
            latency_seconds=(end_time - start_time).total_seconds(),
            output_tokens=count(field(response_obj, "usage", "completion_tokens")),
            cost_usd=count(kwargs.get("response_cost")) or None,  # LiteLLM says 0 if it knows no price
        )

    async def async_log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Report how an attempt failed; nothing for a mistake of the caller."""
        error = kwargs.get("exception")
        failure = failure_of(error) if isinstance(error, BaseException) else None
        if failure is not None and error is not None:
            await self._report(kwargs, failure=failure, retry_after_seconds=retry_after_seconds(error))

    async def async_post_call_response_headers_hook(
        self, data: Mapping[str, Any], *unread: Any, **also_unread: Any
    ) -> dict[str, str] | None:
        """Return the header that names the decision in answers of LiteLLM's proxy."""
        ids = [self.decision_id(metadata) for metadata in _metadata_of(data)]
        return next(({HEADER: id} for id in ids if id is not None), None)

    async def _report(self, kwargs: Mapping[str, Any], **outcomes: Any) -> None:
        id = _attempt(kwargs, self.name)
        if id is None:
            return
        try:
            await self.router.afeedback(id, **outcomes)
        except Exception as error:
            _log.error("the outcome of decision %s could not be recorded: %s", id, error)


def _arm(params: Mapping[str, Any]) -> Arm:
    """Return the arm of a deployment: its prices from the list itself, or from LiteLLM's price map."""
    model = params["model"]
    try:
        listed: Mapping[str, Any] = litellm.get_model_info(model)
    except Exception:  # a model that LiteLLM's price map does not know
        listed = {}
    prices = [count(params.get(name, listed.get(name))) for name in ("input_cost_per_token", "output_cost_per_token")]
    window = listed.get("max_input_tokens")
    if prices[0] is None or prices[1] is None:
        return Arm(name=model, context_window_tokens=window)
    return Arm(
        name=model,
        input_usd_per_million_tokens=prices[0] * 1e6,
        output_usd_per_million_tokens=prices[1] * 1e6,
        context_window_tokens=window,
    )


def _metadata_of(request: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the metadata of a request, under either of LiteLLM's two names for it."""
    found = (field(request, name) for name in ("litellm_metadata", "metadata"))
    return [each for each in found if isinstance(each, Mapping)]


def _attempt(kwargs: Mapping[str, Any], plugin: str) -> str | None:
    """Return the id of the decision for the attempt that a callback is about; None if this plugin did not route it."""
    names = {kwargs.get("model"), f"{kwargs.get('custom_llm_provider')}/{kwargs.get('model')}"}
    for metadata in _metadata_of(kwargs.get("litellm_params") or {}):
        attempts = field(metadata, "routing_plugin_signals", plugin, "attempts") or {}
        arm = next((arm for arm in attempts if arm in names), metadata.get("deployment"))
        if arm in attempts:
            return str(attempts[arm])
    return None
