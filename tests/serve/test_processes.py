"""The service as an operator runs it: a command, several workers on one database, and a signal that stops it."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from banditroute import InvalidConfigurationError, admin
from banditroute.config import ServeSettings
from banditroute.serve.running import listening_socket
from tests.support import wait_until

from .conftest import KEY

FILE = """
seed = 0
store = {{type = "SQLStore", url = "sqlite:///{folder}/routes.db"}}
[[arms]]
name = "small"
[[arms]]
name = "large"
[upstreams]
small = {{base_url = "{upstream}", api_key = "${{KEY}}"}}
large = {{base_url = "{upstream}", api_key = "${{KEY}}"}}
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(url):
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_connections_of_workers_send_small_packets_at_once():
    with (
        listening_socket(ServeSettings(port=free_port())) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidConfigurationError, match=f"port {port}: Address already in use; give another"):
            listening_socket(ServeSettings(port=port))


def test_workers_share_a_database_and_a_signal_loses_nothing(tmp_path, upstream):
    file, port = tmp_path / "router.toml", free_port()
    file.write_text(FILE.format(folder=tmp_path, upstream=upstream))
    url, database = f"http://127.0.0.1:{port}", f"sqlite:///{tmp_path}/routes.db"
    command = [sys.executable, "-m", "banditroute", "serve", str(file), "--port", str(port), "--workers", "2"]
    environment = {**os.environ, "KEY": KEY}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or answers(url), 90)

        def call(number):
            asked = {"messages": [{"role": "user", "content": f"Why {number}?"}]}
            answer = httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=60)
            assert answer.status_code == 200, answer.text
            report = {"decision_id": answer.json()["banditroute"]["decision_id"], "quality": 1.0}
            for _ in range(20):  # a decision of the other worker may not be written yet
                told = httpx.post(f"{url}/feedback", json=report, timeout=60)
                if told.status_code == 200 and told.json()["status"] == "accepted":
                    return report["decision_id"]
                assert told.status_code in (200, 404), told.text
                time.sleep(0.1)
            raise AssertionError(told.text)

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(call, range(60)))
            waiting = [pool.submit(httpx.post, f"{url}/route", json={"input": "Why?"}, timeout=60) for _ in range(8)]
            routed = [answer.result().json()["id"] for answer in waiting]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        errors = process.communicate()[1]
    assert KEY not in errors
    assert f"running on {url}" in errors
    (epoch,) = admin.inspect(database)
    assert len(set(ids + routed)) == epoch.decisions == 68
    assert admin.verify(database) == []
    assert epoch.answered == 60
