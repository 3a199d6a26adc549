"""Servers on this machine that answer as vLLM and SGLang do, without a model: what they keep, and when they refuse."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, object]
BASE = "base"


class FakeServer:
    """Answers ``METHOD path`` by the method in ``routes``; anything may be told to fail or to be slow.

    Attributes
    ----------
    files
        Path -> rank of the adapters that the server finds.
    calls
        "METHOD path" of every request, in order.
    failures
        "METHOD path" -> what it answers instead.
    delay_seconds
        Before each answer.
    """

    max_rank = 16

    def __init__(self) -> None:
        self.files: dict[str, int] = {f"adapters/{name}": 8 for name in "abcdefgh"}
        self.calls: list[str] = []
        self.keys: list[str | None] = []
        self.failures: dict[str, Answer] = {}
        self.delay_seconds = 0.0
        self.lock = threading.Lock()
        self.routes: dict[str, Callable[[dict], Answer]] = {
            "GET /health": lambda body: (200, ""),
            "GET /v1/models": self.models,
        }

    def answer(self, call: str, body: dict) -> Answer:
        with self.lock:
            self.calls.append(call)
            time.sleep(self.delay_seconds)
            if call in self.failures:
                return self.failures[call]
            if call not in self.routes:
                return 404, {"detail": "Not Found"}
            return self.routes[call](body)

    def registered(self) -> dict[str, str]:
        raise NotImplementedError

    def models(self, body: dict) -> Answer:
        cards = [{"id": BASE, "root": BASE, "parent": None}]
        cards += [{"id": name, "root": path, "parent": BASE} for name, path in self.registered().items()]
        return 200, {"object": "list", "data": cards}


class FakeVLLM(FakeServer):
    """Slots and RAM by least recent use; ids, not names, are resident, so that an unloaded adapter may linger."""

    def __init__(self, *, max_loras: int, max_cpu_loras: int) -> None:
        super().__init__()
        self.limits = {"gpu": max_loras, "cpu": max_cpu_loras}
        self.names: dict[str, tuple[int, str]] = {}  # name -> (id, path)
        self.last_id = 0
        self.levels: dict[str, list[int]] = {"cpu": [], "gpu": []}  # ids, the least recently used first
        self.name_of: dict[int, str] = {}
        self.frees = False  # whether unloading frees the memory: releases differ
        self.has_metric = False
        self.routes |= {
            "POST /v1/load_lora_adapter": self.load,
            "POST /v1/unload_lora_adapter": self.unload,
            "POST /v1/completions": self.complete,
            "GET /metrics": self.metrics,
        }

    def registered(self) -> dict[str, str]:
        return {name: path for name, (_, path) in self.names.items()}

    @staticmethod
    def error(status: int, kind: str, message: str) -> Answer:
        return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}

    def load(self, body: dict) -> Answer:
        name, path = body.get("lora_name"), body.get("lora_path")
        if not name or not path:
            return self.error(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
        if name in self.names and not body.get("load_inplace"):
            message = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                "'load_inplace' to True."
            )
            return self.error(400, "InvalidUserInput", message)
        if path not in self.files:
            return self.error(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")
        if self.files[path] > self.max_rank:
            message = f"LoRA rank {self.files[path]} is greater than max_lora_rank {self.max_rank}."
            return self.error(500, "InternalServerError", f"Call to add_lora method failed: {message}")
        self.last_id += 1
        self.names[name] = (self.last_id, path)
        self.name_of[self.last_id] = name
        self.activate(self.last_id)
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def activate(self, identity: int) -> None:
        for level in ("cpu", "gpu"):
            ids = self.levels[level]
            if identity in ids:
                ids.remove(identity)
            elif len(ids) == self.limits[level]:
                gone = ids.pop(0)
                if level == "cpu" and gone in self.levels["gpu"]:
                    self.levels["gpu"].remove(gone)
            ids.append(identity)

    def unload(self, body: dict) -> Answer:
        name = body["lora_name"]
        if name not in self.names:
            return self.error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        identity, _ = self.names.pop(name)
        if self.frees:
            for ids in self.levels.values():
                if identity in ids:
                    ids.remove(identity)
        return 200, f"Success: LoRA adapter '{name}' removed successfully."

    def complete(self, body: dict) -> Answer:
        if body["model"] not in self.names:
            return self.error(404, "NotFoundError", f"The model `{body['model']}` does not exist.")
        self.activate(self.names[body["model"]][0])
        return 200, {"choices": [{"text": ""}]}

    def metrics(self, body: dict) -> Answer:
        lines = ["# TYPE vllm:num_requests_running gauge", 'vllm:num_requests_running{engine="0"} 0.0']
        if self.has_metric:
            lines.append("# TYPE vllm:lora_adapter_loaded gauge")
            for level, ids in self.levels.items():
                for identity, name in self.name_of.items():
                    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                    labels = f'adapter_name="{escaped}",level="{level}",pinned="false",rank="8"'
                    lines.append(f"vllm:lora_adapter_loaded{{{labels}}} {float(identity in ids)}")
        return 200, "\n".join(lines) + "\n"

    def truth(self) -> dict[str, str]:
        """Name -> level of what is resident."""
        return {self.name_of[i]: "ram" for i in self.levels["cpu"]} | {
            self.name_of[i]: "gpu" for i in self.levels["gpu"]
        }


class FakeSGLang(FakeServer):
    """A registry that is what is in RAM, and a pool of slots that is filled by requests."""

    def __init__(self, *, max_loras_per_batch: int, max_loaded_loras: int | None) -> None:
        super().__init__()
        self.slots, self.most = max_loras_per_batch - 1, max_loaded_loras
        self.registry: dict[str, tuple[str, bool]] = {}  # name -> (path, pinned), the least recently used first
        self.seen: dict[str, tuple[str, bool]] = {}  # what it loads again by itself
        self.pool: list[str] = []
        self.enabled = True
        self.routes |= {
            "POST /load_lora_adapter": self.load,
            "POST /unload_lora_adapter": self.unload,
            "POST /generate": self.generate,
        }

    def registered(self) -> dict[str, str]:
        return {name: path for name, (path, _) in self.registry.items()}

    def outcome(self, error: str | None = None) -> Answer:
        loaded = None if error else self.registered()
        return (400 if error else 200), {"success": not error, "error_message": error, "loaded_adapters": loaded}

    def load(self, body: dict) -> Answer:
        name, path, pinned = body["lora_name"], body["lora_path"], body.get("pinned", False)
        if not self.enabled:
            return self.outcome("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.")
        if name in self.registry:
            return self.outcome(f"LoRA with name {name} already exists. Loaded LoRAs: {self.registry.keys()}")
        if path not in self.files:
            return self.outcome(f"[Errno 2] No such file or directory: '{path}/adapter_config.json'")
        if self.files[path] > self.max_rank:
            return self.outcome(
                f"LoRA adapter {name} with rank {self.files[path]} is incompatible with the memory pool."
            )
        if pinned and sum(each for _, each in self.registry.values()) >= self.slots:
            return self.outcome(f"Failed to load LoRA adapter {name}. It is not allowed to pin all slots.")
        self.registry[name] = self.seen[name] = (path, pinned)
        self.trim()
        return self.outcome()

    def trim(self) -> None:
        while self.most is not None and len(self.registry) > self.most:
            gone = next(name for name, (_, pinned) in self.registry.items() if not pinned)
            del self.registry[gone]
            if gone in self.pool:
                self.pool.remove(gone)

    def unload(self, body: dict) -> Answer:
        name = body["lora_name"]
        if name not in self.registry:
            return self.outcome(f"LoRA with name {name} does not exist. Loaded LoRAs: {self.registry.keys()}")
        del self.registry[name], self.seen[name]
        if name in self.pool:
            self.pool.remove(name)
        return self.outcome()

    def generate(self, body: dict) -> Answer:
        name = body["lora_path"]
        if name not in self.seen:
            return 400, {"error": {"message": f"Got LoRA adapter that has never been loaded: {name}"}}
        self.registry.pop(name, None)
        self.registry[name] = self.seen[name]
        self.trim()
        if name in self.pool:
            self.pool.remove(name)
        elif len(self.pool) == self.slots:
            self.pool.remove(next(each for each in self.pool if not self.registry[each][1]))
        self.pool.append(name)
        return 200, {"text": ""}

    def truth(self) -> dict[str, str]:
        """Name -> tier of what is resident."""
        return dict.fromkeys(self.registry, "ram") | dict.fromkeys(self.pool, "gpu")


@contextmanager
def running(fake: FakeServer) -> Iterator[str]:
    """The address of ``fake``, while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fake.keys.append(self.headers.get("Authorization"))
            status, content = fake.answer(f"{self.command} {self.path}", json.loads(body or b"{}"))
            data = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = reply

        def log_message(self, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """Clients of a slow server hang up."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
