"""The time that the service adds to a call, at an open loop of requests against a server on this machine."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np

from benchmarks.chat_server import chat_server
from benchmarks.dashboard import cpu_seconds

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


_LITELLM_FILE = """
model_list:
  - {{model_name: small, litellm_params: {{model: openai/small, api_key: none, api_base: "{url}"}}}}
  - {{model_name: small, litellm_params: {{model: openai/small, api_key: none, api_base: "{url}"}}}}
"""
_WARM_UP = 5  # requests that open connections
_AT_ONCE = 32  # requests at saturation


@command(
    options=[
        click.option("--requests", default=400, show_default=True, type=click.IntRange(min=10)),
        click.option("--per-second", default=20.0, show_default=True, type=click.FloatRange(min=0.1)),
        click.option("--litellm", metavar="PYTHON", help="The Python that has litellm[proxy], to measure its proxy."),
    ],
    seeds=3,
)
def main(*, files: list[Path], seeds: int, requests: int, per_second: float, litellm: str | None) -> list[Row]:
    """Milliseconds that ``banditroute serve`` adds to a chat completion, over the same call to the server itself.

    Requests come at fixed times, whether or not earlier ones are answered. Direct calls and calls through each proxy
    take turns, request by request. The processor's time of a proxy is that of its whole process. Then 32 clients ask as
    fast as they are answered.
    """
    if files:
        raise click.UsageError("this benchmark takes no file")
    with chat_server() as upstream, tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        servers = {"banditroute": stack.enter_context(_banditroute(folder, upstream))}
        if litellm is not None:
            servers["litellm"] = stack.enter_context(_litellm(folder, upstream, litellm))
        urls = {"direct": upstream, **{name: url for name, (url, _) in servers.items()}}
        used: dict[str, list[float]] = {name: [] for name in servers}
        repeats = []
        for _ in range(seeds):
            before = {name: cpu_seconds(pid) for name, (_, pid) in servers.items()}
            repeats.append(asyncio.run(_measure(urls, requests, per_second)))
            for name, (_, pid) in servers.items():
                used[name].append((cpu_seconds(pid) - before[name]) / (requests + _WARM_UP) * 1e3)
        rates = [{name: asyncio.run(_saturate(url, requests)) for name, url in urls.items()} for _ in range(seeds)]
    rows = []
    for name in urls:
        for q in (50, 99):
            took = [np.percentile(times[name], q) for times in repeats]
            base = [0.0 if name == "direct" else np.percentile(times["direct"], q) for times in repeats]
            metric = f"p{q}_milliseconds" if name == "direct" else f"added_p{q}_milliseconds"
            rows.append(row("serve", name, metric, np.subtract(took, base).tolist(), higher_is_better=False))
        if name in used:
            rows.append(row("serve", name, "processor_milliseconds", used[name], higher_is_better=False))
        rows.append(row("serve", name, "requests_per_second", [rate[name] for rate in rates]))
    return rows


@contextmanager
def _banditroute(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    file = folder / "router.toml"
    file.write_text(_FILE.format(folder=folder, url=upstream))
    with _running([sys.executable, "-m", "banditroute", "serve", str(file)], folder, health="healthz") as running:
        yield running


@contextmanager
def _litellm(folder: Path, upstream: str, python: str) -> Iterator[tuple[str, int]]:
    file = folder / "litellm.yaml"
    file.write_text(_LITELLM_FILE.format(url=upstream))
    command = [python, "-c", "from litellm import run_server; run_server()", "--config", str(file)]
    with _running([*command, "--host", "127.0.0.1"], folder, health="health/liveliness") as running:
        yield running


@contextmanager
def _running(command: list[str], folder: Path, *, health: str) -> Iterator[tuple[str, int]]:
    """Start a server on a free port, and yield its base URL and process id once it answers."""
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, env=environment)
    try:
        end = time.monotonic() + 120
        while True:
            if time.monotonic() > end or process.poll() is not None:
                raise click.ClickException(f"a server did not start: {(folder / 'log').read_text()[-500:]}")
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/{health}").status_code == 200:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", process.pid
    finally:
        process.terminate()
        process.wait(60)


async def _measure(urls: Mapping[str, str], requests: int, per_second: float) -> dict[str, list[float]]:
    """Return the milliseconds of each call, by where it was sent."""
    import httpx

    times: dict[str, list[float]] = {name: [] for name in urls}
    async with httpx.AsyncClient(timeout=60) as client:

        async def ask(at: float, name: str) -> None:
            await asyncio.sleep(at)
            began = time.perf_counter()
            answer = await client.post(f"{urls[name]}/chat/completions", json=_BODY)
            answer.raise_for_status()
            times[name].append((time.perf_counter() - began) * 1e3)

        await asyncio.gather(*(ask(0.05, name) for name in urls for _ in range(_WARM_UP)))
        for each in times.values():
            each.clear()
        asks = [ask((k + i / len(urls)) / per_second, name) for k in range(requests) for i, name in enumerate(urls)]
        await asyncio.gather(*asks)
    return times


async def _saturate(url: str, requests: int) -> float:
    """Return the requests that are answered in a second when some clients never pause."""
    import httpx

    left = iter(range(requests))
    async with httpx.AsyncClient(timeout=60) as client:

        async def ask() -> None:
            for _ in left:
                (await client.post(f"{url}/chat/completions", json=_BODY)).raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
        return requests / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
