"""A local HTTP server that answers as a provider does; the tests of several rooms say what."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeServer(ThreadingHTTPServer):
    """A server in this process; its attributes are what a test gives."""

    daemon_threads = True
    request_queue_size = 128


class FakeProvider(BaseHTTPRequestHandler):
    """Reads JSON, and replies with JSON or with a stream of events."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def body(self) -> Any:
        """Return the JSON of the request; an empty table if there is none."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")

    def reply(self, status: int, body: object) -> None:
        """Send an answer."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, parts: Iterable[str], *, breaks_off_at: int | None = None) -> None:
        """Send parts of a stream, each when it is there; hang up before the part with this number."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, part in enumerate(parts):
            if number == breaks_off_at:
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(f"{len(part):x}\r\n{part}\r\n".encode())
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **attributes: Any) -> Iterator[Any]:
    """Serve with a handler, which finds ``attributes`` at ``self.server``; yield the server with its ``url``."""
    made = FakeServer(("127.0.0.1", 0), handler)
    vars(made).update(attributes, url=f"http://127.0.0.1:{made.server_address[1]}")
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join()
