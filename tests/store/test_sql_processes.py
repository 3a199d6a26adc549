"""SQLStore where processes share a file, fork, end without closing, and are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from banditroute.errors import StoreError
from banditroute.store import SQLStore, StoredState
from banditroute.testing.samples import decision, event, feedback, fold, listen, remembered, summed

PRELUDE = """
import sys, threading
from banditroute.store import SQLStore
from banditroute.testing.samples import decision, feedback, fold
path, first = sys.argv[1], int(sys.argv[2])
store = SQLStore(f"sqlite:///{path}")
store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
print("open", flush=True)
"""

WRITE_FOR_EVER = """
numbers = iter(range(first, first + 1_000_000))
lock = threading.Lock()

def work():
    while True:
        with lock:
            number = next(numbers)
        store.add_decision(decision(number, arm="ab"[number % 2]))
        store.add_feedback(feedback(number, quality=1.0)).result()
        with lock:
            print(number, flush=True)

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
threading.Event().wait()
"""

WRITE_SOME = """
for number in range(first, first + 300):
    store.add_decision(decision(number))
    store.add_feedback(feedback(number, quality=1.0))
store.flush()
store.close()
"""


def start(script: str, path: Path, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRELUDE + script, str(path), str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def opened(path: Path) -> tuple[SQLStore, StoredState]:
    store = SQLStore(f"sqlite:///{path}")
    return store, store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)


def known(path: Path, numbers: Sequence[int]) -> set[int]:
    """Which of these decisions have feedback: for those, the same again is nothing new."""
    store, _ = opened(path)
    listener = listen(store)
    for number in numbers:
        store.add_feedback(feedback(number, quality=1.0)).result(30)
    store.close()
    return set(numbers) - {int(each.decision_id, 16) for each in listener.recorded}


def test_a_killed_process_loses_no_acknowledged_feedback(path: Path) -> None:
    acknowledged: list[int] = []
    for cycle, reports in enumerate([150, 300, 450]):  # so that it dies before, in and after a fold
        process = start(WRITE_FOR_EVER, path, cycle * 1_000_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        for _ in range(reports):
            acknowledged.append(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        store, memory = opened(path)
        store.close()
        total = {arm: sums["quality"][0] for arm, sums in remembered(memory).items()}
        assert sum(total.values()) == memory.feedback >= len(acknowledged)
    assert known(path, acknowledged) == set(acknowledged)


def test_processes_share_a_file_from_its_making(path: Path) -> None:
    processes = [start(WRITE_SOME, path, index * 1000) for index in range(4)]
    for process in processes:
        assert process.communicate()[0] == "open\n"
        assert process.returncode == 0
    store, memory = opened(path)
    store.close()
    assert memory.decisions == memory.feedback == 1200
    everything = [event(index * 1000 + n, quality=1.0) for index in range(4) for n in range(300)]
    assert remembered(memory) == summed(everything)


def test_a_process_that_ends_without_closing_writes_what_is_queued(path: Path) -> None:
    script = "for number in range(first, first + 50):\n    store.add_decision(decision(number))\n"
    process = start(script, path, 0)
    process.communicate()
    assert process.returncode == 0
    store, memory = opened(path)
    store.close()
    assert memory.decisions == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_records_by_itself_and_may_open_again(path: Path) -> None:
    script = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
store.add_decision(decision(1))
child = os.fork()
if child == 0:
    try:
        assert store.trouble is None
        store.add_decision(decision(2))
        store.flush()
        assert store.add_feedback(feedback(1, quality=1.0)).result(30) == "accepted"
        store.close()
        store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
        store.add_decision(decision(3))
        store.close()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
store.add_feedback(feedback(1, quality=1.0)).result(30)
store.close()
"""
    process = start(script, path, 0)
    process.communicate(timeout=60)
    assert process.returncode == 0
    store, memory = opened(path)
    store.close()
    assert (memory.decisions, memory.feedback) == (3, 1)


def test_a_store_that_is_dropped_writes_what_is_queued(path: Path) -> None:
    store, _ = opened(path)
    store.add_decision(decision(1))
    del store
    store, memory = opened(path)
    assert memory.decisions == 1
    store.close()
    with pytest.raises(StoreError):
        store.add_feedback(feedback(1, quality=1.0)).result(30)
