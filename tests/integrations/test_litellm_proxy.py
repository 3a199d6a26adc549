"""LiteLLM's proxy, started from YAML as its users start it, with ``BanditPlugin`` named in the file."""

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("litellm", reason="pip install 'banditroute[litellm]'")
pytest.importorskip("litellm.proxy._types", reason="pip install 'litellm[proxy]'")
pytest.importorskip("apscheduler", reason="pip install 'litellm[proxy]'")

from banditroute.integrations.litellm import HEADER
from banditroute.logs import read_log
from tests.support import wait_until

KEY = f"sk-{secrets.token_hex(24)}"
CONFIG = """
model_list:
  - model_name: auto
    litellm_params: {model: openai/gpt-4o-mini, api_key: x, mock_response: "I am small."}
  - model_name: auto
    litellm_params: {model: openai/gpt-4o, api_key: x, mock_response: "I am large."}
litellm_settings:
  callbacks: [routing.plugin]
router_settings:
  plugins: [routing.plugin]
  disable_cooldowns: true
"""
ROUTING = """
from banditroute import Router, SQLStore
from banditroute.integrations.litellm import BanditPlugin

router = Router(arms=["openai/gpt-4o-mini", "openai/gpt-4o"], store=SQLStore("sqlite:///routes.db"))
plugin = BanditPlugin(router)
"""


@pytest.fixture
def proxy(tmp_path):
    """Start the proxy on a free port, and return its address."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "routing.py").write_text(ROUTING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from litellm import run_server; run_server()", "--config", "config.yaml"]
    here = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": KEY,
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _is_up(url, process, tmp_path / "log"), seconds=300.0)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_up(url, process, log):
    assert process.poll() is None, log.read_text()[-2000:]
    try:
        return httpx.get(f"{url}/health/liveliness", timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_proxy_routes_names_the_decision_and_reports_it(proxy, tmp_path):
    body = {"model": "auto", "messages": [{"role": "user", "content": "Who are you?"}]}
    ids = []
    for _ in range(5):
        answer = httpx.post(
            f"{proxy}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60.0
        )
        assert answer.status_code == 200, answer.text
        ids.append(answer.headers[HEADER])
    assert len(set(ids)) == 5
    wait_until(
        lambda: np.isfinite(read_log(f"sqlite:///{tmp_path}/routes.db").outcomes.get("latency_seconds", [])).sum() == 5
    )
