"""A local server that speaks the APIs of OpenAI and Anthropic, and can fail as they do."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest

from tests.fake_server import FakeProvider, serving

OPENAI_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 800},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
ANTHROPIC_USAGE = {
    "input_tokens": 150,
    "output_tokens": 100,
    "cache_read_input_tokens": 800,
    "cache_creation_input_tokens": 50,
}


class Provider(FakeProvider):
    """What a model does is in its name: "500 ..." answers with that status, "slow" waits, "breaks off" stops midway."""

    def do_POST(self):
        asked = self.body()
        self.server.asked.append((self.path, asked))
        model = asked["model"]
        if model[:3].isdigit():
            body = {"error": {"message": f"the model says {model}", "type": "error", "code": None}}
            return self.reply(int(model[:3]), body)
        if model.startswith("slow"):
            time.sleep(0.5)
        openai = self.path.endswith("/chat/completions")
        if asked.get("stream"):
            events = openai_chunks(asked) if openai else anthropic_events()
            return self.stream(map(event_text, events), breaks_off_at=2 if model == "breaks off" else None)
        return self.reply(200, openai_answer(model) if openai else anthropic_answer(model))


def event_text(event):
    """Return an event, a pair of its name and its content, as a stream sends it."""
    name, content = event
    data = content if isinstance(content, str) else json.dumps(content)
    return (f"event: {name}\n" if name else "") + f"data: {data}\n\n"


def openai_answer(model):
    message = {"role": "assistant", "content": f"I am {model}."}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return body if model == "without usage" else {**body, "usage": OPENAI_USAGE}


def openai_chunks(asked):
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
    for text in ("", "I am ", asked["model"], "."):
        yield None, {**head, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    yield None, {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if asked.get("stream_options", {}).get("include_usage") and asked["model"] != "without usage":
        yield None, {**head, "choices": [], "usage": OPENAI_USAGE}
    yield None, "[DONE]"


def anthropic_answer(model):
    return {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": f"I am {model}."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }


def anthropic_events():
    start = {**anthropic_answer("claude"), "content": [], "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
            for text in ("I am ", "claude.")
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 100},
        },
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


@pytest.fixture
def server():
    """The server; ``asked`` is what it was asked, ``url`` where it is."""
    with serving(Provider, asked=[]) as made:
        yield made


class Scripted(FakeProvider):
    """Answers as the test's function says: status, then a dict, a text or a list of events, then headers."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(self.body())

    def _answer(self, asked):
        status, given, *headers = self.server.answer(self.path, asked)
        kind, content = "application/json", given
        if isinstance(given, list):
            kind = "text/event-stream"
            content = "".join(event_text((event.get("type"), event)) for event in given)
        elif isinstance(given, dict):
            content = json.dumps(given)
        elif not given.startswith("{"):
            kind = "text/html"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())


@pytest.fixture
def serve():
    """Start servers that answer by ``answer(path, body)``; the address of each is returned."""
    with ExitStack() as running:

        def start(answer):
            made = running.enter_context(serving(Scripted, answer=answer))
            made.handle_error = lambda request, address: None  # a client that hangs up
            return made.url

        yield start
