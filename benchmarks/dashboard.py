"""First paint, whole history and refresh of the live page: python -m benchmarks.dashboard [--json OUT]."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import uvicorn
from sqlalchemy import insert

from banditroute import Router, admin
from banditroute.core.decision_ids import DecisionIds
from banditroute.dashboard import dashboard_app
from banditroute.store import SQLStore
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import decision, feedback
from benchmarks.server import server

ARMS = {"small": (0.62, 0.0004), "medium": (0.74, 0.002), "large": (0.83, 0.011), "gpt-4o": (0.88, 0.018)}
TAGS = (["chat"], ["code"], ["summary"], ["chat", "team-a"], ["code", "team-b"], [])
DAYS = 30.0
_DIMENSION = 32
_ROWS = 20_000  # written together


def fill(url: str, decisions: int, *, days: float = DAYS, seed: int = 0) -> None:
    """Write a log of ``decisions`` over the last ``days``, whose shares move from the large arms to the small."""
    with Router(arms=list(ARMS), features=_DIMENSION - 1, store=SQLStore(url), name="support", seed=seed) as router:
        if decisions:
            router.route(np.zeros(_DIMENSION - 1))
    rng, ids, names = np.random.default_rng(seed), DecisionIds(), list(ARMS)
    database = database_at(parse(url), relaxed=True)
    now = time.time()
    times = np.sort(now - days * 86_400.0 * rng.random(decisions))
    with database.engine.connect() as connection, database.writing(connection):
        for start in range(0, decisions, _ROWS):
            rows, outcomes = [], []
            for at in times[start : start + _ROWS].tolist():
                age = (now - at) / (days * 86_400.0)
                p = np.array([0.55 - 0.4 * age, 0.2, 0.15 + 0.1 * age, 0.1 + 0.3 * age])
                k = int(rng.choice(len(names), p=p))
                id = ids.make(at)
                rows.append(
                    {
                        "id": id,
                        "epoch_id": 1,
                        "decided_at": at,
                        "arm": names[k],
                        "propensity": float(p[k]),
                        "reason": "fallback (benchmark)" if rng.random() < 0.001 else "policy",
                        "policy": "ThompsonSampling()",
                        "preference": '{"quality": 1.0, "cost_usd": 20.0}',
                        "arms": json.dumps(names),
                        "probabilities": p.astype("<f8").tobytes(),
                        "x": np.append(rng.normal(size=_DIMENSION - 1), 1.0).astype("<f8").tobytes(),
                        "tags": json.dumps(TAGS[int(rng.integers(len(TAGS)))]),
                    }
                )
                quality, cost = ARMS[names[k]]
                values = {"cost_usd": cost * rng.uniform(0.5, 1.5), "latency_seconds": rng.gamma(2.0, 0.4)}
                if rng.random() < 0.7:
                    values["quality"] = float(rng.random() < quality)
                outcomes += [
                    {
                        "decision_id": id,
                        "objective": name,
                        "value": value,
                        "received_at": at + rng.exponential(600.0),
                        "epoch_id": 1,
                        "folded_version": 1,
                    }
                    for name, value in values.items()
                ]
            connection.execute(insert(decision), rows)
            connection.execute(insert(feedback), outcomes)


def measure(url: str, decisions: int, seconds: float) -> list[dict[str, object]]:
    """Return the times of the page over a filled database, and the memory that it takes."""
    code = [sys.executable, "-m", "benchmarks.dashboard", "--serve", url]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            base = server.stdout.readline().strip()
            rows = _times(base, server.pid, decisions, seconds)
            rows.append(("largest_memory_mb", _memory_mb(server.pid)))
        finally:
            server.kill()
    kind = url.partition(":")[0]
    return [
        {"case": f"{kind}, {decisions:,} decisions", "policy": "dashboard", "metric": metric, "mean": value, "n": 1}
        for metric, value in rows
    ]


def _times(base: str, pid: int, decisions: int, patience: float) -> list[tuple[str, float]]:
    """Return the times in a browser and of the app's answers, in seconds."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    rows = []
    with sync_playwright() as playwright, httpx.Client(base_url=base, timeout=patience) as client:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        begun = time.perf_counter()
        tab.goto(base)
        read = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        while (paint := tab.evaluate(read)) is None:
            time.sleep(0.02)
        rows.append(("first_paint_seconds", paint / 1000.0))
        if decisions:
            tab.wait_for_selector("[data-chart=shares] .main-svg", timeout=1000.0 * patience)
            rows.append(("first_charts_seconds", time.perf_counter() - begun))
        while "<progress" in client.get("live").json()["html"]:
            time.sleep(1.0)
        rows.append(("whole_history_seconds", time.perf_counter() - begun))
        rows.append(("cpu_of_server_until_then_seconds", cpu_seconds(pid)))
        browser.close()
        for name, query in (("refresh", ""), ("filtered_all_time", "?range=all&tag=chat&arm=small")):
            times = []
            for _ in range(20):
                begun = time.perf_counter()
                client.get(f"live{query}").raise_for_status()
                times.append(time.perf_counter() - begun)
            rows.append((f"{name}_seconds", float(np.median(times))))
            rows.append((f"{name}_worst_seconds", max(times)))
    return rows


def cpu_seconds(pid: int) -> float:
    """Return the processor's time that a process has used: what it takes on a machine that does nothing else."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    """Return the largest resident memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024.0


def serve(url: str) -> None:
    """Serve the page on a free port, whose address is printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = dashboard_app(url)
    print(f"http://127.0.0.1:{port}/", flush=True)
    uvicorn.run(app, port=port, log_level="error")


def main() -> None:
    """Measure each size on SQLite and on a PostgreSQL server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, nargs="*", default=[0, 10_000, 1_000_000])
    parser.add_argument("--databases", nargs="*", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--keep", help="folder of the filled SQLite files, used again if they are there")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds that nothing should take")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--json")
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
        return
    rows = []
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        running = stack.enter_context(server()) if "postgresql" in asked.databases else None
        for kind, decisions in itertools.product(asked.databases, asked.decisions):
            file = Path(asked.keep or temporary).absolute() / f"{decisions}.db"
            url = f"sqlite:///{file}" if running is None or kind == "sqlite" else running.database()
            if kind == "postgresql":
                admin.upgrade(url)
            if kind == "postgresql" or not file.exists():
                fill(url, decisions)
            found = measure(url, decisions, asked.patience)
            for row in found:
                print(f"{row['case']:32} {row['metric']:34} {row['mean']:10.3f}", flush=True)
            rows += found
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
