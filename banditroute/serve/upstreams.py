"""The client of an upstream server: OpenAI's, without its models of what is asked and answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

from banditroute.core.optional_imports import optional


class AsyncUpstream:
    """Passes chat completions to a server and back as plain JSON.

    Retries, time limits, errors and streams are those of OpenAI's client. The objects that it would make of each body,
    to be taken apart again, take a third of its time.

    Parameters
    ----------
    client
        An ``openai.AsyncOpenAI``.
    """

    def __init__(self, client: Any) -> None:
        self.max_retries: int = client.max_retries
        self.chat = SimpleNamespace(completions=_AsyncCompletions(client))
        self._client = client

    def with_options(self, **options: Any) -> AsyncUpstream:
        """Return a client with other options, on the same connections."""
        return AsyncUpstream(self._client.with_options(**options))


class _AsyncCompletions:
    """The call of an upstream, where routed clients look for it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def create(
        self, *, stream: bool = False, extra_body: Mapping[str, Any] = MappingProxyType({}), **body: Any
    ) -> Any:
        """Return the body of the answer, or with ``stream`` an iterator over those of its chunks."""
        chunks = optional("openai", extra="serve").AsyncStream[object] if stream else None
        asked = {**body, **extra_body, **({"stream": True} if stream else {})}
        return await self._client.post(
            "/chat/completions", body=asked, cast_to=object, stream=stream, stream_cls=chunks
        )
