"""Chat completions in OpenAI's form, by a routed client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import Response, StreamingResponse

from banditroute.core.decision import Decision
from banditroute.core.failure import Failure
from banditroute.errors import BanditRouteError, InvalidResponseError
from banditroute.integrations import AsyncAnswerStream, AsyncRoutedClient
from banditroute.integrations.failures import failure_of
from banditroute.integrations.fields import field
from banditroute.serve.bodies import ChatBody
from banditroute.serve.boundary import error_body

DECISION_HEADER = "x-banditroute-decision-id"
ARM_HEADER = "x-banditroute-arm"

_OWN_NAMES = frozenset({"self", "options", "extra_body"})  # of the routed client, and no options of the server


async def complete(client: AsyncRoutedClient, body: ChatBody) -> tuple[Decision, Response]:
    """Return the decision for a chat completion, and the response: a whole answer, or a stream of chunks.

    Raises
    ------
    Exception
        The error of the arm's client, if every arm fails or would refuse the request.
    """
    route = body.route.options()
    if body.model != "auto":
        route["arms"] = [body.model]
    given = body.model_extra or {}
    options = {name: value for name, value in given.items() if name not in _OWN_NAMES}
    if len(options) < len(given):
        options["extra_body"] = {name: value for name, value in given.items() if name in _OWN_NAMES}
    if not body.stream:
        answer = await client.create(body.messages, route=route, **options)
        content = _json(answer.response | _facts(answer.decision), answer.decision.arm)
        return answer.decision, Response(content, media_type="application/json", headers=headers(answer.decision))
    wants_usage = bool((body.stream_options or {}).get("include_usage"))
    stream = await client.create(body.messages, stream=True, route=route, **options)
    media = "text/event-stream"
    decision = stream.decision
    return decision, StreamingResponse(
        _events(stream, wants_usage=wants_usage), media_type=media, headers=headers(decision)
    )


def headers(decision: Decision) -> dict[str, str]:
    """Return the headers that name a decision; an arm whose name no header can hold is in the body alone."""
    named = {DECISION_HEADER: decision.id}
    if decision.arm.isascii() and decision.arm.isprintable():
        named[ARM_HEADER] = decision.arm
    return named


def refusal(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return the status and body for the error of an arm's server. What the server says of keys is not passed on."""
    status, failure = getattr(error, "status_code", None), failure_of(error)
    if failure is None:  # every arm would refuse the request
        status = status if isinstance(status, int) and 400 <= status < 500 else 422
        message = getattr(error, "message", None) or f"the request cannot be sent to the arm ({type(error).__name__})"
        return status, error_body(_without_key(str(message), error), status=status)
    status = {"rate_limit": 429, "timeout": 504}.get(str(failure), 502)
    return status, error_body(f"the last arm that was asked failed: {failure}", status=status, code="arm")


def _without_key(message: str, error: Exception) -> str:
    """Return a server's message without the key that it was sent."""
    headers_sent = getattr(getattr(error, "request", None), "headers", {})
    key = headers_sent.get("authorization", "").removeprefix("Bearer ")
    return message.replace(key, "...") if key else message


def _facts(decision: Decision) -> dict[str, Any]:
    return {"banditroute": {"decision_id": decision.id, "arm": decision.arm}}


async def _events(stream: AsyncAnswerStream, *, wants_usage: bool) -> AsyncIterator[str]:
    """Yield the chunks as server-sent events. A stream that breaks off ends with an event that says so."""
    facts = _facts(stream.decision)
    try:
        async for chunk in stream:
            if field(chunk, "choices") or wants_usage:  # the routed client alone may have asked for the usage
                sent = _json(chunk | facts if isinstance(chunk, dict) else chunk, stream.decision.arm)
                yield f"data: {sent}\n\n"
        yield "data: [DONE]\n\n"
    except BanditRouteError as error:
        yield _event(error_body(str(error), status=502))
    except Exception as error:
        yield _event(refusal(error)[1])
    finally:
        await stream.aclose()


def _json(answer: object, arm: str) -> str:
    """Return an arm's answer as JSON; raise InvalidResponseError if JSON cannot hold it, as NaN."""
    try:
        return json.dumps(answer, allow_nan=False)
    except (ValueError, RecursionError) as error:
        message = f"arm {arm!r}: the answer cannot be passed on ({type(error).__name__})"
        raise InvalidResponseError(message, failure=str(Failure.INVALID_RESPONSE)) from error


def _event(value: object) -> str:
    return f"data: {json.dumps(value)}\n\n"
