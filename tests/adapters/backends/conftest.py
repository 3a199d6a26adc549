"""Stand-ins for vLLM and SGLang, and calls of either kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.adapters.stand_ins import FakeServer, FakeSGLang, FakeVLLM, running


@pytest.fixture
def vllm() -> FakeVLLM:
    return FakeVLLM(max_loras=2, max_cpu_loras=4)


@pytest.fixture
def sglang() -> FakeSGLang:
    return FakeSGLang(max_loras_per_batch=3, max_loaded_loras=4)


@pytest.fixture
def served() -> Iterator[Callable[[FakeServer], str]]:
    """Run a fake for the length of the test."""
    with ExitStack() as stack:
        yield lambda fake: stack.enter_context(running(fake))


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., object]:
    """``ask(backend, "load", adapter)``: a call of either kind."""

    def call(backend: object, method: str, *arguments: object) -> object:
        if request.param == "sync":
            return getattr(backend, method)(*arguments)
        return asyncio.run(getattr(backend, f"a{method}")(*arguments))

    return call
