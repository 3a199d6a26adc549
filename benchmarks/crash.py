"""Processes that are forked to work and killed, and what their database must hold afterwards."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from banditroute.store import SQLStore
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.log import events_of, outcomes_with_decisions
from banditroute.store.sql.schema import feedback as feedbacks
from banditroute.testing.samples import decision, feedback, fold, remembered, summed

_NUMBER = struct.Struct("<Q")


@dataclass
class Child:
    """A forked process, and the pipe through which it tells what was acknowledged."""

    pid: int
    pipe: int

    def kill(self) -> list[int]:
        """Kill it with signal 9; the numbers that it has told."""
        os.kill(self.pid, signal.SIGKILL)
        told = b""
        while some := os.read(self.pipe, 1 << 16):
            told += some
        os.close(self.pipe)
        os.waitpid(self.pid, 0)
        return [number for (number,) in _NUMBER.iter_unpack(told[: len(told) // _NUMBER.size * _NUMBER.size])]


def fork(work: Callable[[Callable[[int], None]], None]) -> Child:
    """A child that does ``work(tell)`` and never returns; a number told is told although it is killed at once."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writes)
        return Child(pid, reads)
    try:
        os.close(reads)
        work(lambda number: os.write(writes, _NUMBER.pack(number)) and None)
    finally:
        os._exit(1)


def opened(url: str) -> SQLStore:
    """A store with whole numbers, so that sums are exact."""
    store = SQLStore(url)
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    return store


def write_for_ever(url: str, first: int) -> Callable[[Callable[[int], None]], None]:
    """Work: decide and report, several at a time, and tell what is acknowledged."""

    def work(tell: Callable[[int], None]) -> None:
        store = opened(url)
        number = first
        while True:
            numbers = range(number, number + random.randint(1, 40))
            number = numbers.stop
            for each in numbers:
                store.add_decision(decision(each, arm="ab"[each % 2]))
            tickets = [(each, store.add_feedback(feedback(each, quality=1.0))) for each in numbers]
            for each, ticket in tickets:
                try:
                    ticket.result()
                except Exception:  # the server is gone: it was not acknowledged
                    time.sleep(0.01)
                else:
                    tell(each)

    return work


def fold_for_ever(url: str) -> Callable[[Callable[[int], None]], None]:
    """Work: fold what is pending, over and over."""

    def work(tell: Callable[[int], None]) -> None:
        while True:
            try:
                opened(url).close()
            except Exception:
                time.sleep(0.01)

    return work


@dataclass(frozen=True)
class Finding:
    """What a database lacks or has too much."""

    lost: int
    twice: int
    wrong: int


def examine(url: str, acknowledged: Sequence[int]) -> Finding:
    """Whether all that was acknowledged is there, and what was learned is what the log makes, each outcome once."""
    store = SQLStore(url)
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    with database_at(parse(url)).engine.connect() as connection:
        held = [int(id, 16) for id in connection.scalars(select(feedbacks.c.decision_id))]
        replay = summed(events_of(connection.execute(outcomes_with_decisions()).all()).values())
    store.close()
    learned = sum(sums["quality"][0] for sums in remembered(memory).values())
    return Finding(
        lost=len(set(acknowledged) - set(held)),
        twice=max(0, learned - len(set(held))) + len(held) - len(set(held)),
        wrong=int(remembered(memory) != replay),
    )


def kill_cycle(url: str, cycle: int, rng: random.Random, writers: int = 2) -> list[int]:
    """Writers and a folder, all killed at a random moment; what was acknowledged."""
    works = [write_for_ever(url, (cycle * writers + each) * 1_000_000) for each in range(writers)]
    children = [fork(work) for work in (*works, fold_for_ever(url))]
    time.sleep(rng.uniform(0.05, 0.4))
    rng.shuffle(children)
    return [number for child in children for number in child.kill()]
