"""Upstream servers in processes of their own, and a service in this one."""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from banditroute.config import load_deployment
from banditroute.serve.running import app_of
from tests.fake_server import FakeProvider, serving

KEY = "sk-upstream-very-secret"


class Upstream(FakeProvider):
    """Answers chat completions, whole or streamed; what it does is in its model's name."""

    def do_POST(self):
        asked = self.body()
        model = asked["model"]
        if model.startswith(("4", "5")):
            return self.reply(int(model), {"error": {"message": f"no, {self.headers['Authorization']}", "code": None}})
        usage = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
        if asked.get("stream"):
            pieces = [{"role": "assistant", "content": ""}, {"content": "I am "}, {"content": f"{model}."}]
            chunks = [{"choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in pieces]
            chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if asked.get("stream_options"):
                chunks.append({"choices": [], "usage": usage})
            head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model}
            parts = [*(json.dumps(head | each) for each in chunks), "[DONE]"]
            events = (f"data: {part}\n\n" for part in parts)
            return self.stream(events, breaks_off_at=3 if model == "breaks off" else None)
        message = {"role": "assistant", "content": {"surrogate": "\ud800"}.get(model, f"I am {model}.")}
        if asked.get("tools"):
            call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "x"}'}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.reply(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "created": float("nan") if model == "nan" else 1,
                "model": model,
                "choices": [choice],
                "usage": usage,
            },
        )


def _serve(ready):
    with serving(Upstream) as server:
        ready.send(server.url)
        threading.Event().wait()


@contextmanager
def upstream_process():
    """Start an upstream server in its own process; yield the process and its base URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield process, f"{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def upstream():
    with upstream_process() as (_, url):
        yield url


@contextmanager
def service(tables):
    """Serve a deployment in a thread; yield its base URL."""
    app = app_of(load_deployment(tables, environment={"KEY": KEY}))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on", ws="none"))
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # by which asyncio knows to send small packets at once
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def tables_for(upstream, *arms, **more):
    """Return the tables of a deployment whose arms are served by one upstream."""
    arms = arms or ("small", "large")
    return {
        "arms": [
            {"name": arm, "input_usd_per_million_tokens": 1.0, "output_usd_per_million_tokens": 2.0} for arm in arms
        ],
        "seed": 0,
        "upstreams": {arm: {"base_url": upstream, "api_key": "${KEY}"} for arm in arms},
        **more,
    }


@pytest.fixture(scope="module")
def url(upstream):
    with service(tables_for(upstream)) as url:
        yield url


@pytest.fixture
def http(url):
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
