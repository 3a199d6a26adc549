"""Attacks by what comes from outside: objectives, contexts, damaged rows, names, servers, folders and files."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import os
import pickle
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import click.testing
import numpy as np

from banditroute import AdapterSpec, Objective, Router, admin
from banditroute.adapters import VLLMBackend
from banditroute.cli import main as command_line
from banditroute.errors import BackendUnavailableError, BanditRouteError
from banditroute.logs import open_log
from banditroute.store import SQLStore
from banditroute.store.sql.database import parse
from benchmarks.attack import Outcome, execute, found, locked, watched_lock

X = [0.1, 0.2]
THUMBS = Objective(name="thumbs", low=0.0, high=1.0, higher_is_better=True)
_ACCEPTED_MESSAGE_CHARACTERS = 3_000
_LOG_LIMIT_MB = 64  # of a write-ahead log, as the guarantees say


def _router(url: str, **settings: object) -> Router:
    return Router(arms=["a", "b"], features=2, store=SQLStore(url), seed=0, **settings)  # type: ignore[arg-type]


def _serve(router: Router, n: int, outcomes: Mapping[str, float]) -> list[str]:
    """Serve requests; return the ids of those whose report was accepted."""
    ids = [router.route(X).id for _ in range(n)]
    return [id for id in ids if router.feedback_many([(id, outcomes)]) == ["accepted"]]


def objective_gone(url: str, n: int) -> Outcome:
    """Report an own objective, then open the database without it, and with it again; leaked counts what is unlike."""
    accepted = []
    for objectives in ([THUMBS], [], [THUMBS]):
        with _router(url, objectives=objectives) as router:
            accepted += _serve(router, n // 4, {"quality": 1.0, **({"thumbs": 0.5} if objectives else {})})
            reasons = {router.route(X).reason for _ in range(10)}
    return Outcome(
        asked=3 * (n // 4),
        acknowledged=len(accepted),
        found=found(url, accepted),
        leaked=len(reasons - {"policy"}) + len(admin.verify(url)),
    )


def context_too_large(url: str, n: int) -> Outcome:
    """Send one context that is 1e10 times too large; leaked counts wrong choices among the last 100, beyond ten."""
    rng = np.random.default_rng(0)
    with Router(arms=["a", "b"], features=4, store=SQLStore(url), seed=0) as router:
        wrong: list[bool] = []
        for number in range(500):
            x = rng.standard_normal(4)
            best = "a" if x[0] > 0.0 else "b"
            if number == 5:
                x[1] = 1e10
            with suppress(BanditRouteError):
                decision = router.route(x)
                router.feedback(decision.id, quality=float(rng.random() < (0.9 if decision.arm == best else 0.1)))
                wrong.append(decision.arm != best)
    return Outcome(asked=500, acknowledged=len(wrong), found=len(wrong), leaked=max(sum(wrong[-100:]) - 10, 0))


def outage_busy(url: str, n: int) -> Outcome:
    """Lock the database while reports wait; leaked counts percent of a processor beyond 5 that retries take."""
    router = _router(url)
    router.flush()
    with locked(url):
        for _ in range(2_000):
            router.route(X)
        time.sleep(1.0)
        begin, used = time.monotonic(), time.process_time()
        time.sleep(3.0)
        share = (time.process_time() - used) / (time.monotonic() - begin)
    router.close()
    return Outcome(leaked=max(round(100.0 * share) - 5, 0))


def damaged_rows(url: str, n: int) -> Outcome:
    """Write nonsense into columns of stored rows; leaked counts what raised anything but an error of ours."""
    with _router(url) as router:
        accepted = _serve(router, 20, {"quality": 1.0})
    damage = {"decision": ("x", "arm", "probabilities"), "statistics": ("blob",), "state": ("blob",)}
    columns = [(table, column) for table, some in damage.items() for column in some]
    leaked = 0
    for table, column in columns:
        rows = execute(url, f"SELECT {column} FROM banditroute_{table} LIMIT 1")
        if not rows:
            continue
        with suppress(Exception):  # a database may refuse the value
            execute(url, f"UPDATE banditroute_{table} SET {column} = '7'")
        for act in (lambda: _router(url), lambda: admin.verify(url), lambda: admin.inspect(url)):
            try:
                made = act()
                if isinstance(made, Router):
                    made.route(X)
                    made.close()
            except BanditRouteError:
                continue
            except Exception:
                leaked += 1
    return Outcome(asked=20, acknowledged=len(accepted), found=found(url, accepted), leaked=leaked)


def names_in_a_report(url: str, n: int) -> Outcome:
    """Ask for a report of arms that are paths and formulas; leaked counts files outside and cells that are formulas."""
    folder = Path(tempfile.mkdtemp())
    log, out = folder / "log.csv", folder / "deep" / "report"
    arms = ("=1+1", "@x", "+2", "../../up", "a/b", "{{sections}}")
    rows = [f"{arms[k % len(arms)]},0.2,{k % 2},0.1" for k in range(600)]
    log.write_text("\n".join(["arm,propensity,quality,cost_usd", *rows]))
    asked = click.testing.CliRunner().invoke(command_line, ["report", str(log), "--out", str(out), "--seeds", "1"])
    outside = [each for each in folder.rglob("*") if each.is_file() and out not in each.parents and each != log]
    cells = [
        cell for table in out.rglob("*.csv") for line in table.read_text().splitlines() for cell in line.split(",")
    ]
    formulas = [cell for cell in cells if cell[:1] in ("=", "@", "+")]
    return Outcome(leaked=len(outside) + len(formulas) + (asked.exit_code != 0))


def hostile_server(url: str, n: int) -> Outcome:
    """Let a server of adapters drip, send without end and send a bomb; leaked counts answers that last or count."""
    bomb = gzip.compress(bytes(50_000_000))
    answers = (b"", b"x" * 4_000_000, bomb)
    leaked = 0
    for number, body in enumerate(answers):
        listening = socket.create_server(("127.0.0.1", 0))

        def answer(number: int = number, body: bytes = body, listening: socket.socket = listening) -> None:
            with suppress(OSError):
                client, _ = listening.accept()
                client.recv(65536)
                kind = b"Content-Encoding: gzip\r\n" if number == 2 else b""
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n" + kind + b"\r\n")
                while True:
                    client.sendall(body or b"x")
                    time.sleep(0.2 if not body else 0.0)

        threading.Thread(target=answer, daemon=True).start()
        backend = VLLMBackend(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", max_loras=1, timeout_seconds=1)
        begin = time.monotonic()
        try:
            backend.resident()
            leaked += 1
        except BackendUnavailableError:
            leaked += time.monotonic() - begin > 5.0
        listening.close()
    return Outcome(leaked=leaked)


def long_messages(url: str, n: int) -> Outcome:
    """Give names and values of a megabyte; leaked counts messages that repeat them."""
    huge = "x" * 1_000_000
    router = _router(url)
    acts: list[Callable[[], object]] = [
        lambda: router.feedback(huge, quality=1.0),
        lambda: router.feedback(router.route(X).id, quality=huge),  # type: ignore[arg-type]
        lambda: router.feedback_many([(router.route(X).id, {huge: 1.0})])[0],
        lambda: router.route(X, arms=[huge]),
        lambda: router.route(X, session=huge),
        lambda: router.route(X, metadata={huge: object()}),  # type: ignore[dict-item]
        lambda: router.route_many(huge),
        lambda: router.warm_start([(huge, {"a": {"quality": 1.0}})]),
        lambda: SQLStore(huge),
        lambda: Router(arms=[huge]),
    ]
    leaked = 0
    for act in acts:
        try:
            answer = act()
        except BanditRouteError as refusal:
            answer = refusal
        leaked += len(str(answer)) > _ACCEPTED_MESSAGE_CHARACTERS
    router.close()
    return Outcome(leaked=leaked)


def hostile_adapter(url: str, n: int) -> Outcome:
    """Read adapters whose configuration is a pipe, a device, deep, or a slow pattern; leaked counts those that last."""
    leaked = 0
    deep = '{"r": 8, "alpha_pattern": ' + '{"a": ' * 50_000 + "1" + "}" * 50_000 + "}"
    slow = json.dumps({"r": 8, "lora_alpha": 8, "alpha_pattern": {"(a+)+$": 4}, "target_modules": ["a" * 40 + "!"]})
    for text in (None, "/dev/zero", deep, slow):
        folder = Path(tempfile.mkdtemp())
        config = folder / "adapter_config.json"
        if text is None:
            os.mkfifo(config)
        elif text.startswith("/dev"):
            config.symlink_to(text)
        else:
            config.write_text(text)
        begin = time.monotonic()
        with suppress(BanditRouteError):
            AdapterSpec.read(folder, name="x")
        leaked += time.monotonic() - begin > 2.0
    return Outcome(leaked=leaked)


def standing_reader(url: str, n: int) -> Outcome:
    """Keep a reader's transaction open while decisions come; leaked counts MB of the log beyond 64, SQLite alone."""
    path = str(parse(url).database)
    router = Router(arms=["a", "b"], features=64, store=SQLStore(url), seed=0)
    router.flush()
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM banditroute_decision").fetchone()
        for _ in range(10 * n):
            router.route([0.1] * 64)
        router.flush()
        size_mb = os.path.getsize(path + "-wal") / 2**20
    router.close()
    return Outcome(leaked=max(round(size_mb) - _LOG_LIMIT_MB, 0))


def log_bombs(url: str, n: int) -> Outcome:
    """Read a log of blank lines and one of a gigabyte in one line; leaked counts those that last."""
    leaked = 0
    for unit, times in ((b"\n" * 2**20, 50), (b"x" * 2**20, 100)):
        path = Path(tempfile.mkdtemp()) / "log.csv.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(b"arm,propensity,quality\na,0.5,1\n")
            for _ in range(times):
                file.write(unit)
        begin = time.monotonic()
        with suppress(BanditRouteError):
            for _ in open_log(path, skip_bad=True).tables():
                pass
        leaked += time.monotonic() - begin > 30.0
    return Outcome(leaked=leaked)


def sent_elsewhere(url: str, n: int) -> Outcome:
    """Pickle and copy a router; leaked counts ways that do not refuse with a remedy."""
    leaked = 0
    with _router(url) as router:
        for send in (pickle.dumps, copy.copy, copy.deepcopy):
            try:
                send(router)
                leaked += 1
            except BanditRouteError as refusal:
                leaked += "make a router in each process" not in str(refusal)
    return Outcome(leaked=leaked)


def first_reports(url: str, n: int) -> Outcome:
    """Report and weigh a new objective among 2,000 arms; the longest hold of the lock, in time of the processor."""
    router = Router(arms=[f"arm{k}" for k in range(2_000)], features=16, store=SQLStore(url), seed=0)
    x = np.random.default_rng(0).standard_normal(16)
    for _ in range(20):
        router.feedback(router.route(x).id, quality=1.0)
    lock = watched_lock(router)
    accepted = [id for id in (router.route(x).id,) if router.feedback(id, cost_usd=0.01) == "accepted"]
    router.route(x, preference={"quality": 1.0, "latency_seconds": 0.1})
    router.close()
    return Outcome(
        asked=1,
        acknowledged=len(accepted),
        found=found(url, accepted),
        route_p99_ms=lock.longest_ms,
        route_max_ms=lock.longest_ms,
    )


ATTACKS: dict[str, Callable[[str, int], Outcome]] = {
    "objective no longer declared": objective_gone,
    "context too large": context_too_large,
    "retries in an outage": outage_busy,
    "rows damaged": damaged_rows,
    "names in a report": names_in_a_report,
    "server of adapters hostile": hostile_server,
    "messages of a megabyte": long_messages,
    "adapter hostile": hostile_adapter,
    "reader that stays": standing_reader,
    "log that is a bomb": log_bombs,
    "router sent to another process": sent_elsewhere,
    "route: first report of 2,000 arms": first_reports,
}
OF_SQLITE = {
    "names in a report",
    "server of adapters hostile",
    "adapter hostile",
    "reader that stays",
    "log that is a bomb",
}
