"""Upstream servers in processes of their own, and a service in this one."""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import uvicorn

from banditroute.config import load_deployment
from banditroute.serve.running import app_of

KEY = "sk-upstream-very-secret"


class Upstream(BaseHTTPRequestHandler):
    """Answers chat completions, whole or streamed; what it does is in its model's name."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = asked["model"]
        if model.startswith(("4", "5")):
            return self.send(int(model), {"error": {"message": f"no, {self.headers['Authorization']}", "code": None}})
        usage = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
        if asked.get("stream"):
            pieces = [{"role": "assistant", "content": ""}, {"content": "I am "}, {"content": f"{model}."}]
            chunks = [{"choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in pieces]
            chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if asked.get("stream_options"):
                chunks.append({"choices": [], "usage": usage})
            return self.stream(
                [
                    {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model} | each
                    for each in chunks
                ],
                model,
            )
        message = {"role": "assistant", "content": f"I am {model}."}
        if asked.get("tools"):
            call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "x"}'}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.send(
            200,
            {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage},
        )

    def send(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, chunks, model):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate([*map(json.dumps, chunks), "[DONE]"]):
            if model == "breaks off" and number == 3:
                self.close_connection = True
                return self.connection.close()
            part = f"data: {chunk}\n\n"
            self.wfile.write(f"{len(part):x}\r\n{part}\r\n".encode())
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _serve(ready):
    with Server(("127.0.0.1", 0), Upstream) as server:
        ready.send(server.server_address[1])
        server.serve_forever()


@contextmanager
def upstream_process():
    """Start an upstream server in its own process; yield the process and its base URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield process, f"http://127.0.0.1:{ours.recv()}/v1"
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
    with socket.socket() as listening:
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
