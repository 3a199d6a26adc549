"""Bounded calls to a server over HTTP: whatever it sends, a call ends in time, in little memory and with one error.

A conversation is written once, as a generator that yields calls and is sent the replies. A blocking and an awaiting
client can both run it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

from banditroute.core.optional_imports import optional
from banditroute.core.validation import number
from banditroute.errors import BackendUnavailableError, InvalidConfigurationError

if TYPE_CHECKING:
    import socket
    import ssl

    import httpx

_MAX_REPLY_BYTES = 8 * 2**20
_SILENCES_PER_CALL = 2.0  # time limit of a whole call, in limits of silence
_MAX_MESSAGE_CHARACTERS = 500


class Call(NamedTuple):
    """A request to the server."""

    method: str
    url: str
    json: Mapping[str, object] | None = None


class Reply(NamedTuple):
    """The answer to a call: status, body, and the seconds until it was complete."""

    status: int
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are not are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parse the body.

        Raises
        ------
        ValueError
            If it is not JSON, or is nested too deeply.
        """
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("the answer is nested too deeply") from None


Result = TypeVar("Result")
Flow: TypeAlias = Generator[Call, Reply, Result]


class Connection:
    """The way to one server.

    Parameters
    ----------
    server
        The server's kind, as messages name it.
    base_url
        Its address. A user and password in it are sent to the server and shown to nobody.
    api_key
        Sent as a bearer token; None: no key.
    timeout_seconds
        How long the server may be silent, above 0. A whole call may take twice as long.

    Raises
    ------
    InvalidConfigurationError
        If the address is not one of http or https, or the time limit is out of range.
    MissingDependencyError
        If ``httpx`` is not installed.
    """

    def __init__(self, *, server: str, base_url: str, api_key: str | None, timeout_seconds: float) -> None:
        self._httpx = optional("httpx", extra="adapters")
        url = _parse(self._httpx, base_url)
        if number(timeout_seconds, name="timeout_seconds", error=InvalidConfigurationError) <= 0.0:
            raise InvalidConfigurationError(f"timeout_seconds is {timeout_seconds!r}; give a number above 0")
        self.where: str = f"{server} at {url.scheme}://{url.netloc.decode()}"
        self._timeout_seconds = timeout_seconds
        secrets = [secret for secret in (api_key, url.password) if secret]
        self._hide = partial(_without, secrets=_Hidden(secrets))
        self._auth = None if api_key is None else partial(_with_key, api_key=_Hidden([api_key]))
        self._url = url

    def __repr__(self) -> str:
        return f"<{self.where}>"

    def words(self, reply: Reply) -> str:
        """Return the message in ``reply``, however it is wrapped, in at most 500 characters and without keys."""
        try:
            body = reply.json()
            body = body.get("error", body)
            words = body.get("message") or body.get("error_message") or body.get("detail")
        except (ValueError, AttributeError):
            words = None
        return self._hide(str(words or reply.text)[: 2 * _MAX_MESSAGE_CHARACTERS])[:_MAX_MESSAGE_CHARACTERS]

    def run(self, flow: Flow[Result]) -> Result:
        """Run a conversation, blocking.

        Raises
        ------
        BackendUnavailableError
            If the server cannot be reached, is too slow, or sends too much.
        """
        with self._failures():
            try:
                call = next(flow)
                with self._httpx.Client(**self._settings()) as client:
                    while True:
                        call = flow.send(self._ask(client, call))
            except StopIteration as done:
                return cast("Result", done.value)

    async def arun(self, flow: Flow[Result]) -> Result:
        """Run a conversation without blocking the event loop; see ``run``."""
        with self._failures():
            try:
                call = next(flow)
                async with self._httpx.AsyncClient(**self._settings()) as client:
                    while True:
                        call = flow.send(await self._aask(client, call))
            except StopIteration as done:
                return cast("Result", done.value)

    def _settings(self) -> dict[str, Any]:
        return {
            "base_url": self._url,
            "auth": self._auth,
            "timeout": self._timeout_seconds,
            "verify": _ssl_context(),
            "headers": {"Accept-Encoding": "identity"},
        }

    def _ask(self, client: httpx.Client, call: Call) -> Reply:
        started = time.monotonic()
        deadline = _Deadline(_SILENCES_PER_CALL * self._timeout_seconds)
        extensions = {"trace": deadline.follow}
        try:
            with client.stream(call.method, call.url, json=call.json, extensions=extensions) as response:
                body = _Body(response)
                for part in response.iter_raw():
                    body.add(part)
        except self._httpx.RequestError as error:
            if deadline.passed:
                raise TimeoutError from error
            raise
        finally:
            deadline.cancel()
        if deadline.passed:  # a body without a length just ends
            raise TimeoutError
        return Reply(response.status_code, body.bytes, time.monotonic() - started)

    async def _aask(self, client: httpx.AsyncClient, call: Call) -> Reply:
        import asyncio  # late: it takes a sixth of banditroute's import time

        started = time.monotonic()
        async with (
            asyncio.timeout(_SILENCES_PER_CALL * self._timeout_seconds),
            client.stream(call.method, call.url, json=call.json) as response,
        ):
            body = _Body(response)
            async for part in response.aiter_raw():
                body.add(part)
        return Reply(response.status_code, body.bytes, time.monotonic() - started)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise BackendUnavailableError(
                f"{self.where} has not finished its answer after {_SILENCES_PER_CALL * self._timeout_seconds:g} "
                "seconds; check it, or raise timeout_seconds"
            ) from error
        except self._httpx.RequestError as error:
            raise BackendUnavailableError(
                f"{self.where} does not answer ({type(error).__name__}: {self._hide(str(error)[:200])}); check that "
                f"it runs, or raise timeout_seconds, which is {self._timeout_seconds:g}"
            ) from error
        except (_UnusableBodyError, RecursionError, MemoryError, UnicodeError) as error:
            raise BackendUnavailableError(
                f"{self.where} gives an answer that cannot be read ({type(error).__name__}: {str(error)[:200]}); check "
                "that base_url leads to this server"
            ) from error


class _UnusableBodyError(Exception):
    """A body that is too large, or compressed although the request forbade it."""


class _Body:
    """The body of a response as it comes, up to the limit."""

    def __init__(self, response: httpx.Response) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise _UnusableBodyError(f"it is compressed with {encoding[:20]!r}, which was not asked for")
        self._parts: list[bytes] = []
        self._left = _MAX_REPLY_BYTES

    def add(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise _UnusableBodyError(f"it has more than {_MAX_REPLY_BYTES} bytes")
        self._parts.append(part)

    @property
    def bytes(self) -> bytes:
        return b"".join(self._parts)


class _Deadline:
    """Ends a blocking call: a server that sends a byte now and then never breaks the limit of silence."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def follow(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of the call's socket: httpx reports the steps of a request."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
        if event == "connection.connect_tcp.complete":
            self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):  # the call may have ended by itself
                self._socket.shutdown(2)  # wakes the thread that reads from it


def _parse(httpx_module: Any, base_url: str) -> httpx.URL:
    advice = "give an address such as http://localhost:8000"
    try:
        url: httpx.URL = httpx_module.URL(base_url)
    except (TypeError, httpx_module.InvalidURL):
        raise InvalidConfigurationError(f"base_url is {_shown(base_url)}; {advice}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidConfigurationError(f"base_url is {_shown(base_url)}; {advice}")
    return url


def _shown(base_url: object) -> str:
    """Return an address for a message: without user, password and query, which may hold a key."""
    if not isinstance(base_url, str):
        return repr(base_url)[:80]
    scheme, mark, rest = base_url.rpartition("//")
    return repr((scheme + mark + rest.rpartition("@")[2].partition("?")[0])[:80])


class _Hidden(tuple[str, ...]):
    """Strings that no ``repr`` shows."""

    def __repr__(self) -> str:
        return "***"


def _without(text: str, *, secrets: _Hidden) -> str:
    """Return ``text`` without the secrets: a server may send back what it was sent."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _with_key(request: httpx.Request, *, api_key: _Hidden) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {api_key[0]}"
    return request


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return the certificates that are trusted: to read them takes longer than a call."""
    context: ssl.SSLContext = optional("httpx", extra="adapters").create_ssl_context()
    return context
