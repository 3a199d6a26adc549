"""The boundary of a service: request ids, tokens, the size of bodies, time limits, and errors as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException

from banditroute.serve.tokens import Scope, Tokens

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

SCOPES: tuple[tuple[str, Scope], ...] = (
    ("/v1/models", "read"),
    ("/status", "read"),
    ("/metrics", "read"),
    ("/explain", "read"),
    ("/dashboard", "read"),
    ("/openapi.json", "read"),
    ("/docs", "read"),
    ("/v1/chat/completions", "route"),
    ("/route", "route"),
    ("/next_step", "route"),
    ("/feedback", "feedback"),
    ("/compare", "feedback"),
)
"""Beginning of a path -> the scope that it needs; any other path needs ``admin``."""

_OPEN_PATH = "/healthz"
_REQUEST_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
_log = logging.getLogger("banditroute.serve")


class Boundary:
    """Wraps an ASGI app.

    Parameters
    ----------
    app
        The app inside.
    tokens
        Who may do what; None: everybody may do everything.
    max_body_bytes
        The longest body.
    timeout_seconds
        The longest time that an answer may take.
    """

    def __init__(self, app: App, *, tokens: Tokens | None, max_body_bytes: int, timeout_seconds: float) -> None:
        self._app = app
        self._tokens = tokens
        self._max_body_bytes = max_body_bytes
        self._timeout_seconds = timeout_seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        began = False

        async def send_with_id(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await _answer(send_with_id, *refusal)
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._app(scope, self._bounded(receive), send_with_id)
        except TimeoutError:
            failure = (504, f"no answer within {self._timeout_seconds:g} seconds; try again, or ask for less")
        except Exception:
            _log.exception("request %s failed", request_id)
            failure = (500, "the service failed; its log says why, under the request's id")
        else:
            return
        if began:  # it can only be cut off
            raise ConnectionError(failure[1])
        await _answer(send_with_id, *failure)

    def _refusal(self, path: str, headers: MutableMapping[bytes, str]) -> tuple[int, str] | None:
        length = headers.get(b"content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            return 400, "Content-Length is not a number"
        if len(length) > 15 or int(length) > self._max_body_bytes:
            return 413, f"the body is longer than {self._max_body_bytes} bytes; send less"
        if self._tokens is None or path == _OPEN_PATH:
            return None
        kind, _, token = headers.get(b"authorization", "").partition(" ")
        if kind.lower() != "bearer" or not self._tokens.knows(token):
            return 401, "give a token of this service: Authorization: Bearer TOKEN"
        needed = next((scope for begin, scope in SCOPES if path == begin or path.startswith(f"{begin}/")), "admin")
        if not self._tokens.allows(token, needed):  # type: ignore[arg-type]
            return 403, f"this token has no scope {needed!r}"
        return None

    def _bounded(self, receive: Receive) -> Receive:
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise HTTPException(413, f"the body is longer than {self._max_body_bytes} bytes; send less")
            return message

        return bounded


def error_body(message: str, *, status: int, code: str | None = None) -> dict[str, Any]:
    """Return an error in OpenAI's form.

    Examples
    --------
    >>> error_body("no such arm", status=404)
    {'error': {'message': 'no such arm', 'type': 'invalid_request_error', 'param': None, 'code': None}}
    """
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps(error_body(message, status=status)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
