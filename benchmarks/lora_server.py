"""A loopback server in the place of vLLM: a small real model with real LoRA adapters behind vLLM's endpoints."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import torch

from banditroute.adapters import AdapterSpec, PeftBackend
from banditroute.errors import AdapterError

_Reply = tuple[int, Any]


class LoraServer:
    """Answers letters by letters, through the adapter that the request names as its model.

    It keeps ``slots`` adapters in the model and the others in RAM, and evicts the least recently used one, as vLLM
    does. ``loads`` counts the copies into a slot.
    """

    def __init__(self, base: torch.nn.Module, *, slots: int, max_rank: int) -> None:
        self.loads = 0
        self._slots = slots
        self._model: Any = copy.deepcopy(base)
        self._backend = PeftBackend(model=self._model, slots=slots, max_rank=max_rank)
        self._specs: dict[str, AdapterSpec] = {}
        self._recent: list[str] = []  # resident adapters, the least recently used first
        self._lock = threading.Lock()
        self._routes: dict[str, Callable[[dict[str, Any]], _Reply]] = {
            "GET /health": lambda body: (200, ""),
            "GET /v1/models": lambda body: (200, {"object": "list", "data": self._cards()}),
            "POST /v1/load_lora_adapter": self._load,
            "POST /v1/unload_lora_adapter": self._unload,
            "POST /v1/chat/completions": self._complete,
        }

    def answer(self, call: str, body: dict[str, Any]) -> _Reply:
        """Return status and content for "METHOD path" and a body."""
        with self._lock:
            route = self._routes.get(call)
            return (404, {"detail": "Not Found"}) if route is None else route(body)

    def _cards(self) -> list[dict[str, str | None]]:
        adapters = [{"id": name, "root": spec.path, "parent": "base"} for name, spec in self._specs.items()]
        return [{"id": "base", "root": "base", "parent": None}, *adapters]

    def _load(self, body: dict[str, Any]) -> _Reply:
        name = body["lora_name"]
        if name in self._specs:
            return _error(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.")
        try:
            self._specs[name] = AdapterSpec.read(body["lora_path"], name=name)
        except AdapterError as error:
            return _error(404, "NotFoundError", f"Loading lora {name} failed: {error}")
        self._use(name)
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, body: dict[str, Any]) -> _Reply:
        name = body["lora_name"]
        if self._specs.pop(name, None) is None:
            return _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        if name in self._recent:
            self._recent.remove(name)
            self._backend.unload(name)
        return 200, f"Success: LoRA adapter '{name}' removed successfully."

    def _use(self, name: str) -> None:
        if name in self._recent:
            self._recent.remove(name)
        else:
            if len(self._recent) == self._slots:
                self._backend.unload(self._recent.pop(0))
            self._backend.load(self._specs[name])
            self.loads += 1
        self._recent.append(name)

    def _complete(self, body: dict[str, Any]) -> _Reply:
        name = body["model"]
        if name != "base" and name not in self._specs:
            return _error(404, "NotFoundError", f"The model `{name}` does not exist.")
        if name != "base":
            self._use(name)
        letters = [int(each) for each in body["messages"][-1]["content"].split()]
        with torch.no_grad(), self._backend.serving([None if name == "base" else name]):
            said = self._model(torch.as_tensor([letters])).logits[0].argmax(dim=1).tolist()
        count = len(letters)
        return 200, {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": name,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": " ".join(map(str, said))},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count},
        }


def _error(status: int, kind: str, message: str) -> _Reply:
    return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lora: ClassVar[LoraServer]

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(f"GET {self.path}", {})

    def do_POST(self) -> None:
        self._reply(f"POST {self.path}", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, call: str, body: dict[str, Any]) -> None:
        status, content = self.lora.answer(call, body)
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(server: LoraServer) -> Iterator[str]:
    """Answer on a port of the loopback, yield the address, and stop afterwards."""
    handler = type("Handler", (_Handler,), {"lora": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()
