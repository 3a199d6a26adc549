"""Every promise under attack, on SQLite and PostgreSQL: what was asked, acknowledged, found, hung and leaked."""

from __future__ import annotations

import gc
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from banditroute import Router, admin
from banditroute.beliefs import Hybrid
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import BanditRouteError, StoreError
from banditroute.features import Complexity
from banditroute.learners import Learner
from banditroute.policies import Thompson, Uniform
from banditroute.store import SQLStore
from banditroute.store.outcomes import PAGING
from banditroute.store.sql import ticket, write_queue
from banditroute.store.sql.database import Database, parse
from banditroute.testing.samples import decision, feedback, fold, listen
from benchmarks import attacks_on_input, attacks_on_service
from benchmarks.attack import Outcome, execute, found, locked
from benchmarks.attacks_on_service import OF_POSTGRESQL, OF_ROOT
from benchmarks.server import server

LIMIT_SECONDS = 300.0  # an attack that takes longer hangs
ERASED = "Johanna-Mustermann-4711"


def opened(url: str, **options: str) -> SQLStore:
    """Return an open store."""
    store = SQLStore(url, **options)  # type: ignore[arg-type]
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    return store


def reports(store: SQLStore, numbers: Sequence[int]) -> list[str]:
    """Report on decisions; return the ids that were accepted."""
    accepted = []
    for number in numbers:
        store.add_decision(decision(number))
        try:
            if store.add_feedback(feedback(number, quality=1.0)).result() == "accepted":
                accepted.append(f"{number:032x}")
        except BanditRouteError:
            continue
    return accepted


def dropped(url: str, n: int) -> Outcome:
    """Report on decisions that were dropped from the full queue."""
    store = opened(url)
    write_queue.MAX_QUEUED_DECISIONS, bound = 100, write_queue.MAX_QUEUED_DECISIONS
    ids: list[str] = []
    try:
        with locked(url):
            for number in range(1_000):
                store.add_decision(decision(number))
            for number in range(20):
                with suppress(BanditRouteError):
                    if store.add_feedback(feedback(number, quality=1.0)).result(0.0) == "accepted":
                        ids.append(f"{number:032x}")
    finally:
        write_queue.MAX_QUEUED_DECISIONS = bound
        store.close()
    return Outcome(asked=20, acknowledged=len(ids), found=found(url, ids))


def emptied(url: str, n: int) -> Outcome:
    """Delete all rows while a process reports."""
    store = opened(url)
    reports(store, range(20))
    tables = ("feedback", "orphan", "decision", "statistics", "snapshot", "epoch", "arm", "state", "tally")
    execute(url, *(f"DELETE FROM banditroute_{table}" for table in tables))
    accepted = reports(store, range(20, 20 + n))
    store.close()
    return Outcome(asked=n, acknowledged=len(accepted), found=found(url, accepted))


def removed(url: str, n: int) -> Outcome:
    """Remove the file while a process reports; SQLite alone."""
    store = opened(url)
    reports(store, range(20))
    Path(str(parse(url).database)).unlink()
    accepted = reports(store, range(20, 20 + n))
    store.close()
    return Outcome(asked=n, acknowledged=len(accepted), found=found(url, accepted))


def hangs(url: str, n: int) -> Outcome:
    """Let the database hang while a process reports, flushes and closes."""
    store = opened(url)
    limit, ticket.ANSWER_SECONDS = ticket.ANSWER_SECONDS, 0.5
    try:
        with locked(url):
            accepted = reports(store, range(3))
            for ends in (store.flush, lambda: store.close(timeout=0.5)):
                try:
                    ends()
                except StoreError:
                    continue
    finally:
        ticket.ANSWER_SECONDS = limit
    return Outcome(asked=3, acknowledged=len(accepted), found=found(url, accepted))


def forks(url: str, n: int) -> Outcome:
    """Fork children beside threads that report; each child reports, too."""
    store = opened(url)
    listen(store)
    stop = threading.Event()
    numbers = iter(range(1_000_000, 2_000_000))

    def work() -> None:
        while not stop.is_set():
            reports(store, [next(numbers)])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    children = max(n // 50, 2)
    good = 0
    for child in range(children):
        pid = os.fork()
        if pid == 0:
            done = len(reports(store, range(child * 10, child * 10 + 5)))
            store.close()
            os._exit(0 if done == 5 else 1)
        good += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    stop.set()
    for thread in threads:
        thread.join()
    store.close()
    ids = [f"{child * 10 + each:032x}" for child in range(children) for each in range(5)]
    return Outcome(asked=children * 5, acknowledged=good * 5, found=found(url, ids))


def router_forks(url: str, n: int) -> Outcome:
    """Fork children of a router beside four threads that route; each child routes, reports, and draws by itself."""
    learner = Learner(policy=Uniform())  # what is learned must not make the draws alike
    router = Router(arms=[f"arm {k}" for k in range(8)], features=2, learner=learner, store=SQLStore(url), seed=0)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            router.feedback(router.route([0.1, 0.2]).id, quality=0.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    children, answers = max(n // 2, 2), []
    for _ in range(children):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            decisions = [router.route([0.1, 0.2]) for _ in range(30)]
            accepted = router.feedback(decisions[0].id, quality=1.0) == "accepted" and not decisions[0].fell_back
            os.write(
                writing, f"{decisions[0].id if accepted else ''} {''.join(each.arm for each in decisions)}".encode()
            )
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            answers.append(answer.read().split(" ", 1))
        os.waitpid(pid, 0)
    stop.set()
    for thread in threads:
        thread.join()
    router.close()
    ids = [answer[0] for answer in answers if answer[0]]
    alike = children - len({answer[-1] for answer in answers})
    return Outcome(asked=children, acknowledged=len(ids), found=found(url, ids), leaked=alike)


def signals(url: str, n: int) -> Outcome:
    """Report in a signal handler that interrupts a decision."""
    router = Router(arms=["a", "b"], features=2, store=SQLStore(url), seed=0)
    ids: list[str] = []
    known = [router.route([0.1, 0.2]).id for _ in range(max(n // 10, 2))]
    waiting = iter(known)

    def handle(*_: object) -> None:
        ids.extend(id for id in [next(waiting)] if router.feedback(id, quality=1.0) == "accepted")

    signal.signal(signal.SIGALRM, handle)
    for number in range(len(known)):
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        while len(ids) <= number:
            router.route([0.1, 0.2])
    router.close()
    return Outcome(asked=len(known), acknowledged=len(ids), found=found(url, ids))


def dropped_routers(url: str, n: int) -> Outcome:
    """Drop routers without closing them; leaked counts threads that are left."""
    before, ids = threading.active_count(), []
    for number in range(max(n // 10, 2)):
        router = Router(arms=["a", "b"], features=2, store=SQLStore(url), name=f"router {number}")
        ids.append(router.route([0.1, 0.2]).id)
        router.feedback(ids[-1], quality=1.0)
        del router
    end = time.monotonic() + 10.0
    while threading.active_count() > before and time.monotonic() < end:
        gc.collect()
        time.sleep(0.05)
    leaked = threading.active_count() - before
    return Outcome(asked=len(ids), acknowledged=len(ids), found=found(url, ids), leaked=leaked)


def talking_featurizer(url: str, n: int) -> Outcome:
    """Route a text with a featurizer whose error quotes it, and look for it in the reason and the database."""

    class Talking(Complexity):
        def transform_one(self, request: Request) -> Vector:
            raise ValueError(f"cannot read {request.text!r}")

    with Router(arms=["a", "b"], features=Talking(), store=SQLStore(url)) as router:
        decision = router.route(f"the records of {ERASED}")
        router.flush()
        rows = execute(url, "SELECT * FROM banditroute_decision")
    return Outcome(asked=1, leaked=(ERASED in decision.reason) + (ERASED in repr(rows)))


def bad_clock(url: str, n: int) -> Outcome:
    """Route and report while the clock gives no time."""
    readings: list[object] = [float("nan"), float("inf"), None, "now", 1e300]
    reading: list[object] = [1.7e9]
    with Router(arms=["a", "b"], features=1, store=SQLStore(url), clock=lambda: reading[0]) as router:  # type: ignore[arg-type, return-value]
        ids = []
        for reading[0] in readings:
            decision = router.route([0.5])
            if decision.reason.startswith("fallback: the clock gave") and len(decision.id) == 32:
                ids.append(decision.id)
                router.feedback(decision.id, quality=1.0)
    return Outcome(asked=len(readings), acknowledged=len(ids), found=found(url, ids))


def clock_ahead(url: str, n: int) -> Outcome:
    """Count a budget in a period far ahead, then in the present one, in two processes."""
    stores = [opened(url), opened(url)]
    listeners = [listen(store) for store in stores]
    stores[0].add_total("usd per hour", SharedTotal(period=900_000, requests=1, spent=1.0))
    stores[0].flush()
    for store in stores:
        for _ in range(n):
            store.add_total("usd per hour", SharedTotal(period=500_000, requests=1, spent=0.01))
        store.flush()
    total = listeners[1].totals[-1][1].requests
    for store in stores:
        store.close()
    return Outcome(asked=2 * n, acknowledged=2 * n, found=total)


def forgetting(url: str, n: int) -> Outcome:
    """Erase, prune, rebuild and verify what a router with a half-life has learned."""
    learner = Learner(policy=Thompson(), belief=Hybrid(half_life_requests=20))
    with Router(arms=["a", "b"], features=1, learner=learner, store=SQLStore(url), seed=0) as router:
        for i in range(n):
            router.feedback(router.route([i % 3], session=str(i % 9)).id, quality=float(i % 2))
    wrong = len(admin.verify(url))
    admin.erase(url, session="3")
    wrong += len(admin.verify(url))
    admin.rebuild(url)
    wrong += len(admin.verify(url))
    return Outcome(asked=n, acknowledged=n, found=n, leaked=wrong)


def erased(url: str, n: int) -> Outcome:
    """Erase a session while a router runs, and look for its name in the files; SQLite alone."""
    folder = Path(str(parse(url).database)).parent
    with Router(arms=["a", "b"], features=1, store=SQLStore(url)) as router:
        for i in range(n):
            router.feedback(router.route([i % 3], session=ERASED if i % 3 else None).id, quality=1.0)
        router.flush()
        admin.erase(url, session=ERASED)
        leaked = sum(ERASED.encode() in path.read_bytes() for path in folder.iterdir() if path.is_file())
    return Outcome(asked=n, acknowledged=n, found=n, leaked=leaked)


def passwords(url: str, n: int) -> Outcome:
    """Give addresses that are nearly one, and look for the password in the messages."""
    heads = ["mysql://", "postgresql:/", "", " postgresql://", "'postgresql://", "postgres//"]
    leaked = 0
    for head in heads:
        try:
            SQLStore(f"{head}app:hunter2@host:port/db")
        except Exception as error:
            leaked += "hunter2" in f"{error}{error!r}{error.__cause__!r}"
    return Outcome(asked=len(heads), leaked=leaked)


def swallowed(url: str, n: int) -> Outcome:
    """Lose the answer to every third COMMIT, while reports come and a budget counts."""
    commits = itertools.count()
    writing = Database.writing

    @contextmanager
    def forgetful(self: Database, connection: Connection) -> Iterator[None]:
        with writing(self, connection):
            yield
        if threading.current_thread().name == "banditroute-store" and next(commits) % 3 == 0:
            raise OperationalError("COMMIT", None, Exception("cut"), connection_invalidated=True)

    store = opened(url)
    listener = listen(store)
    Database.writing = forgetful  # type: ignore[method-assign]
    accepted = []
    for number in range(n):
        store.add_total("usd", SharedTotal(period=0, requests=1, spent=0.01))
        for _ in range(5):  # a report whose outcome is unknown may be made again
            accepted += reports(store, [number])
            if accepted and accepted[-1] == f"{number:032x}":
                break
    Database.writing = writing  # type: ignore[method-assign]
    store.close()
    counted = int(str(execute(url, "SELECT requests FROM banditroute_tally")[0][0]))
    twice = len(listener.recorded) - len({each.decision_id for each in listener.recorded})
    return Outcome(asked=n, acknowledged=len(accepted), found=found(url, accepted), leaked=abs(counted - n) + twice)


def outage(url: str, n: int) -> Outcome:
    """Report, note what paging took and route with long prompts, without waiting, while nothing can be written."""
    store = opened(url)
    store.flush()
    write_queue.MAX_QUEUED_REPORTS, reports_bound = 100, write_queue.MAX_QUEUED_REPORTS
    write_queue.MAX_QUEUED_PROMPT_BYTES, bytes_bound = 2**20, write_queue.MAX_QUEUED_PROMPT_BYTES
    asked = max(10 * n, 1000)
    prompt = "x" * 10_000
    inner = store._writer
    assert inner is not None
    try:
        with locked(url):
            for number in range(asked):
                store.add_decision(decision(number), prompt)
            tickets = [store.add_feedback(feedback(number, quality=1.0)) for number in range(asked)]
            for number in range(asked):
                store.add_feedback(feedback(number, **{PAGING: 0.1}))
            queued = len(inner._queue.reports)
            kept = sum(len(text or "") for _, text in list(inner._queue.decisions.values()))
    finally:
        write_queue.MAX_QUEUED_REPORTS, write_queue.MAX_QUEUED_PROMPT_BYTES = reports_bound, bytes_bound
    accepted = []
    for number, each in enumerate(tickets):
        try:
            if each.result(30) == "accepted":
                accepted.append(f"{number:032x}")
        except BanditRouteError:
            continue
    store.close()
    over = max(queued - 100, 0) + max(kept - 2**20 - len(prompt), 0)
    return Outcome(asked=asked, acknowledged=len(accepted), found=found(url, accepted), leaked=over)


def signal_reports(url: str, n: int) -> Outcome:
    """Report from a signal handler that interrupts the thread that routes, and close there in the end."""
    router = Router(arms=["a", "b"], features=4, store=SQLStore(url), seed=0)
    made: list[str] = []
    accepted: list[str] = []
    asked = 0
    busy = False

    def report(number: int, frame: object) -> None:
        nonlocal asked, busy
        if busy or not made or asked >= n:
            return
        busy = True
        asked += 1
        id = made.pop()
        try:
            if router.feedback(id, quality=1.0) == "accepted":
                accepted.append(id)
            if asked == n:
                router.close()
        finally:
            busy = False

    signal.signal(signal.SIGALRM, report)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    while asked < n or busy:
        made.append(router.route([1.0, 2.0, 3.0, 4.0]).id)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    router.close()
    return Outcome(asked=asked, acknowledged=len(accepted), found=found(url, accepted))


def raising_handler(url: str, n: int) -> Outcome:
    """Interrupt decisions and reports at random moments by a handler that raises; all other calls must go on."""

    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code is not raising_handler.__code__:  # a call is going on
            raise Interrupted

    random = np.random.default_rng(0)
    accepted: list[str] = []
    signal.signal(signal.SIGALRM, interrupt)
    with Router(arms=["a", "b"], features=4, store=SQLStore(url), seed=0) as router:
        for _ in range(n):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(2e-5, 2e-2))
                id = router.route([1.0, 2.0, 3.0, 4.0]).id
                if router.feedback(id, quality=1.0) == "accepted":
                    accepted.append(id)
            except Interrupted:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
    return Outcome(asked=n, acknowledged=len(accepted), found=found(url, accepted), leaked=len(admin.verify(url)))


def clock_of_a_report(url: str, n: int) -> Outcome:
    """Decide once by a clock that is a year ahead, in a router that forgets: all later outcomes must still count."""
    learner = Learner(policy=Thompson(), belief=Hybrid(half_life_seconds=86_400.0))
    now = [time.time() + 365 * 86_400.0]
    with Router(
        arms=["a", "b"], features=1, learner=learner, store=SQLStore(url), seed=0, clock=lambda: now[0]
    ) as router:
        for _ in range(n):
            router.feedback(router.route([0.5]).id, quality=0.0)
            now[0] = time.time()
    (epoch,) = admin.inspect(url)
    learned = round(sum(arm.counts.get("quality", 0.0) for arm in epoch.arms) + 0.01 * n)
    return Outcome(asked=n, acknowledged=n, found=min(learned, n), leaked=len(admin.verify(url)))


ATTACKS: dict[str, Callable[[str, int], Outcome]] = {
    "decision dropped": dropped,
    "database emptied": emptied,
    "file removed": removed,
    "database hangs": hangs,
    "forked beside threads": forks,
    "clock ahead": clock_ahead,
    "clock ahead, half-life": clock_of_a_report,
    "clock without a time": bad_clock,
    "router forked beside threads": router_forks,
    "signal within a decision": signals,
    "routers dropped": dropped_routers,
    "featurizer quotes the text": talking_featurizer,
    "half-life": forgetting,
    "answer to COMMIT lost": swallowed,
    "outage with full queues": outage,
    "signal handler reports": signal_reports,
    "signal handler raises": raising_handler,
    "name erased": erased,
    "password in messages": passwords,
    **attacks_on_service.ATTACKS,
    **attacks_on_input.ATTACKS,
}
OF_SQLITE = {"file removed", "name erased", *attacks_on_service.OF_SQLITE, *attacks_on_input.OF_SQLITE}


def attack(name: str, url: str, n: int) -> list[Row]:
    """Run an attack in a process of its own, which is killed where it hangs."""
    begin = time.monotonic()
    script = (
        f"import benchmarks.promises as p; o = p.ATTACKS[{name!r}]({url!r}, {n}); "
        "print(o.asked, o.acknowledged, o.found, o.leaked, p.megabytes(), o.route_p99_ms, o.route_max_ms)"
    )
    hung, figures = 0, [*["0"] * 5, "None", "None"]
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        if done.returncode:
            raise click.ClickException(f"{name}: {done.stderr[-2000:]}")
        figures = done.stdout.split()[-7:]
    except subprocess.TimeoutExpired:
        hung = 1
    asked, acknowledged, found_, leaked, size = map(float, figures[:5])
    waits = [float("nan") if each == "None" else float(each) for each in figures[5:]]
    measured = {
        "asked": asked,
        "acknowledged": acknowledged,
        "found": found_,
        "lost": max(acknowledged - found_, 0.0),
        "hung": hung,
        "leaked": leaked,
        "seconds": time.monotonic() - begin,
        "MB": size,
        **{name: ms for name, ms in zip(("route p99 ms", "route max ms"), waits, strict=True) if ms == ms},
    }
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    higher = {"asked", "acknowledged", "found"}
    return [row(name, kind, metric, [value], higher_is_better=metric in higher) for metric, value in measured.items()]


def megabytes() -> float:
    """Return the most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def _line(case: str, policy: str, rows: Sequence[Row]) -> str:
    """Return the figures of one attack as a row of a table in Markdown."""
    figures = {each.metric: each.mean for each in rows if (each.case, each.policy) == (case, policy)}
    waits = [figures.get(f"route {name} ms") for name in ("p99", "max")]
    cells = [f"{figures[name]:.0f}" for name in ("asked", "acknowledged", "found", "lost", "hung", "leaked")]
    times = ["" if each is None else f"{each:.2g}" for each in waits]
    cells = [case, policy, *cells, f"{figures['seconds']:.1f}", f"{figures['MB']:.0f}", *times]
    return f"| {' | '.join(cells)} |"


@command(
    seeds=1,
    options=[
        click.option("--short", is_flag=True, help="A tenth of the reports, for a check in passing."),
        click.option("--attack", "names", multiple=True, type=click.Choice(list(ATTACKS)), help="Only these."),
    ],
)
def main(files: Sequence[Path], seeds: int, short: bool, names: tuple[str, ...]) -> list[Row]:
    """Attack every promise on both databases; no row may have hung or leaked, and all acknowledged must be found."""
    n = 40 if short else 400
    rows: list[Row] = []
    folder = Path(tempfile.mkdtemp())
    try:
        with server() as running:
            for number, name in enumerate(names or ATTACKS):
                if name in OF_ROOT and os.geteuid() != 0:
                    click.echo(f"{name}: left out, as root alone may mount a file system", err=True)
                    continue
                place = folder / str(number)
                place.mkdir()
                urls = [] if name in OF_POSTGRESQL else [f"sqlite:///{place / 'routes.db'}"]
                for url in [*urls, *([] if name in OF_SQLITE else [running.database()])]:
                    rows += attack(name, url, n)
                    click.echo(_line(rows[-1].case, rows[-1].policy, rows), err=True)
    finally:
        shutil.rmtree(folder)
    return rows


if __name__ == "__main__":
    main()
