"""Clients behind a router: route, call, report what the call took, go on to the next arm where it fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from banditroute.core.decision import Decision
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations.answer import Answer
from banditroute.integrations.call import (
    AnswerStream,
    AsyncAnswerStream,
    Call,
    Target,
    areport,
    is_the_arms,
    report,
    took,
)
from banditroute.integrations.providers import Messages, dialect_of, is_asynchronous
from banditroute.pricing.model_price import ModelPrice
from banditroute.router import Router
from banditroute.router.requests import RouteOptions


class _Clients:
    """What the clients of both kinds of calls have in common."""

    def __init__(
        self, *, router: Router, clients: Mapping[str, Any], prices: Mapping[str, ModelPrice], asynchronous: bool
    ) -> None:
        self._router = router
        arms = {arm.name: arm for arm in router.arms}
        if set(clients) != set(arms):
            raise InvalidConfigurationError(
                f"clients are given for {', '.join(sorted(clients)) or 'no arm'}; give one for each arm of the router: "
                f"{', '.join(sorted(arms))}"
            )
        self._targets: dict[str, Target] = {}
        for name, given in clients.items():
            client, model = given if isinstance(given, tuple) else (given, name)
            dialect = dialect_of(client, arm=name)
            if is_asynchronous(client) != asynchronous:
                raise InvalidConfigurationError(
                    f"the client of arm {name!r} is a {type(client).__name__}, and others are not of its kind; give "
                    "clients that are all synchronous, or all asynchronous"
                )
            price = prices.get(name)
            if price is None and arms[name].priced:
                price = ModelPrice(
                    input_usd_per_million_tokens=arms[name].input_usd_per_million_tokens,
                    output_usd_per_million_tokens=arms[name].output_usd_per_million_tokens,
                )
            self._targets[name] = Target(client, model, dialect, price)

    def _call(self, decision: Decision, failures: tuple[tuple[str, Exception], ...]) -> Call:
        target = self._targets[decision.arm]
        return Call(decision=decision, target=target, failures=failures, begun=time.perf_counter())


def _next_arm(decision: Decision, failures: tuple[tuple[str, Exception], ...]) -> str | None:
    """The best ranked arm of the first decision's that has not failed."""
    failed = {arm for arm, _ in failures}
    return next((arm for arm in decision.ranking if arm not in failed), None)


class Routed(_Clients):
    """Synchronous clients behind a router; made by :func:`routed`."""

    def create(
        self, messages: Messages, *, route: RouteOptions | None = None, stream: bool = False, **options: Any
    ) -> Answer | AnswerStream:
        """Route a conversation, call the arm's client, and report what the call took.

        A call that fails is reported as failed, and the next arm of the decision's ranking is called, by a decision of
        its own. A request that the server refuses as it is (400, 413, 422) is the caller's: it is raised as it came.

        Parameters
        ----------
        messages
            As the clients take them; of an Anthropic client, those of the role "system" become its ``system``.
        route
            Options of ``router.route()``, such as ``{"session": "ticket 7"}``.
        stream
            Whether to give the answer as it comes.
        options
            Passed on to the client: ``temperature=0``.

        Returns
        -------
        Answer or AnswerStream
            The answer; or with ``stream`` an iterator over the client's chunks, whose ``answer`` is there at its end.

        Raises
        ------
        Exception
            The last arm's error, as its client raised it, where none of them answers.
        """
        how: RouteOptions = route or {}
        chosen = first = self._router.route(messages, **how)
        failures: tuple[tuple[str, Exception], ...] = ()
        while True:
            call = self._call(chosen, failures)
            target = call.target
            try:
                response = target.dialect.create(target.client, target.model, messages, stream=stream, options=options)
                if stream:
                    return AnswerStream(router=self._router, call=call, response=response).begin()
                answer = call.answer(
                    response=response, text=target.dialect.text(response), usage=target.dialect.usage(response)
                )
            except Exception as error:
                if not is_the_arms(error):
                    raise
                failures = (*failures, (chosen.arm, error))
                report(self._router, chosen, failed=True)
                following = _next_arm(first, failures)
                if following is None:
                    raise
                how = {**how, "arms": [following]}
                chosen = self._router.route(messages, **how)
            else:
                report(self._router, chosen, **took(answer))
                return answer


class AsyncRouted(_Clients):
    """Asynchronous clients behind a router; made by :func:`routed`."""

    async def create(
        self, messages: Messages, *, route: RouteOptions | None = None, stream: bool = False, **options: Any
    ) -> Answer | AsyncAnswerStream:
        """As :meth:`Routed.create`; a stream is an asynchronous iterator."""
        how: RouteOptions = route or {}
        chosen = first = await self._router.aroute(messages, **how)
        failures: tuple[tuple[str, Exception], ...] = ()
        while True:
            call = self._call(chosen, failures)
            target = call.target
            try:
                response = await target.dialect.create(
                    target.client, target.model, messages, stream=stream, options=options
                )
                if stream:
                    return await AsyncAnswerStream(router=self._router, call=call, response=response).begin()
                answer = call.answer(
                    response=response, text=target.dialect.text(response), usage=target.dialect.usage(response)
                )
            except Exception as error:
                if not is_the_arms(error):
                    raise
                failures = (*failures, (chosen.arm, error))
                await areport(self._router, chosen, failed=True)
                following = _next_arm(first, failures)
                if following is None:
                    raise
                how = {**how, "arms": [following]}
                chosen = await self._router.aroute(messages, **how)
            else:
                await areport(self._router, chosen, **took(answer))
                return answer


def routed(
    router: Router, clients: Mapping[str, Any], *, prices: Mapping[str, ModelPrice] | None = None
) -> Routed | AsyncRouted:
    """Clients behind a router, whose ``create(messages)`` routes, calls, and reports what the call took.

    Reported are dollars and output tokens where the server says how many tokens there were (and prices are known), the
    latency, and whether the call failed. Quality is yours to report, under ``answer.decision_id``.

    Parameters
    ----------
    router
        Its arms are called.
    clients
        Arm -> its client, or client and name of the model where that is another than the arm's:
        ``{"small": (OpenAI(), "gpt-4o-mini"), "large": (Anthropic(), "claude-opus-4")}``. Those of ``openai`` and
        ``anthropic`` and what is like them; all synchronous, or all asynchronous.
    prices
        Arm -> its price, where it is more than the arm itself says: cached and reasoning tokens priced apart.

    Returns
    -------
    Routed or AsyncRouted
        As the clients are.

    Raises
    ------
    InvalidConfigurationError
        For arms without a client and clients without an arm, for a client of neither kind, and for both kinds at once.
    """
    kinds = [is_asynchronous(given[0] if isinstance(given, tuple) else given) for given in clients.values()]
    kind = AsyncRouted if kinds and kinds[0] else Routed
    return kind(router=router, clients=clients, prices=prices or {}, asynchronous=kind is AsyncRouted)
