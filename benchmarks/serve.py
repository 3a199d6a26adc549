"""The time that the service adds to a call, at an open loop of requests against a server on this machine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np

from benchmarks.chat_server import chat_server

_BODY = {"model": "small", "messages": [{"role": "user", "content": "How many roads must a man walk down?"}]}
_FILE = """
seed = 0
store = {{type = "SQLStore", url = "sqlite:///{folder}/routes.db"}}
[[arms]]
name = "small"
[[arms]]
name = "large"
[upstreams]
small = {{base_url = "{url}", model = "small", api_key = "none"}}
large = {{base_url = "{url}", model = "small", api_key = "none"}}
"""


@command(
    options=[
        click.option("--requests", default=400, show_default=True, type=click.IntRange(min=10)),
        click.option("--per-second", default=20.0, show_default=True, type=click.FloatRange(min=0.1)),
    ],
    seeds=3,
)
def main(*, files: list[Path], seeds: int, requests: int, per_second: float) -> list[Row]:
    """Milliseconds that ``banditroute serve`` adds to a chat completion, over the same call to the server itself.

    Requests come at fixed times, whether or not earlier ones are answered. Direct calls and calls through the service
    take turns, request by request.
    """
    if files:
        raise click.UsageError("this benchmark takes no file")
    added: dict[str, list[float]] = {"p50": [], "p99": [], "direct_p50": [], "direct_p99": []}
    with chat_server() as upstream, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "router.toml"
        file.write_text(_FILE.format(folder=folder, url=upstream))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        service = subprocess.Popen([sys.executable, "-m", "banditroute", "serve", str(file), "--port", str(port)])
        try:
            base = f"http://127.0.0.1:{port}"
            _wait_for(base, service)
            for _ in range(seeds):
                direct, routed = asyncio.run(_measure(upstream, f"{base}/v1", requests, per_second))
                for name, q in (("p50", 50), ("p99", 99)):
                    added[name].append(float(np.percentile(routed, q) - np.percentile(direct, q)))
                    added[f"direct_{name}"].append(float(np.percentile(direct, q)))
        finally:
            service.terminate()
            service.wait(60)
    return [
        row(
            "serve",
            "banditroute" if name[0] == "p" else "direct",
            f"{name[-3:]}_milliseconds",
            values,
            higher_is_better=False,
        )
        for name, values in added.items()
    ]


def _wait_for(base: str, service: subprocess.Popen[bytes]) -> None:
    import httpx

    end = time.monotonic() + 60
    while time.monotonic() < end and service.poll() is None:
        try:
            if httpx.get(f"{base}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise click.ClickException("the service did not start")


async def _measure(direct: str, routed: str, requests: int, per_second: float) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each call, direct and through the service."""
    import httpx

    times: dict[str, list[float]] = {direct: [], routed: []}
    async with httpx.AsyncClient(timeout=60) as client:

        async def ask(at: float, url: str) -> None:
            await asyncio.sleep(at)
            began = time.perf_counter()
            answer = await client.post(f"{url}/chat/completions", json={**_BODY})
            answer.raise_for_status()
            times[url].append((time.perf_counter() - began) * 1e3)

        await asyncio.gather(*(ask(0.05, url) for url in times for _ in range(5)))  # connections
        for each in times.values():
            each.clear()
        half = 0.5 / per_second
        asks = [ask(k / per_second + half * (url == direct), url) for k in range(requests) for url in times]
        await asyncio.gather(*asks)
    return times[direct], times[routed]


if __name__ == "__main__":
    main()
