"""SQLStore where several processes learn together: each soon knows what all have learned, and nothing twice."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import pytest
from sqlalchemy import select, update

from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.errors import ConflictingFeedbackError, StoreError, UnknownDecisionError
from banditroute.router import Router
from banditroute.store import Recorded, SQLStore, StoredState
from banditroute.store.sql import folding, log, writer
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import snapshot
from banditroute.testing.samples import Listener, Sums, decision, event, feedback, fold, summed
from benchmarks.server import Server
from tests.support import engine_of

Until: TypeAlias = Callable[[Callable[[], bool]], None]


class Learner(Listener):
    """What a router does with a store: it learns what is recorded, and begins again when others have added to it."""

    def __init__(self, url: str, **settings: float) -> None:
        super().__init__()
        self.store = SQLStore(url, **settings)  # type: ignore[arg-type]
        self.blobs: dict[str, bytes] = {}
        self.follows = 0
        self.take(self.store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold))
        self.store.subscribe(self)

    @property
    def sums(self) -> Sums:
        return summed([], self.blobs)

    def take(self, memory: StoredState) -> None:
        blobs = dict(memory.statistics)
        for one in memory.pending:
            blobs[one.arm] = fold(blobs.get(one.arm), [one])
        self.blobs = blobs
        self.memory = memory

    def on_changed(self, state: StoredState) -> None:
        self.take(state)
        self.follows += 1

    def on_recorded(self, recorded: Recorded) -> None:
        event = recorded.event
        self.blobs = {**self.blobs, event.arm: fold(self.blobs.get(event.arm), [event])}

    def report(self, part: Feedback) -> None:
        self.store.add_feedback(part).result(30)


@pytest.fixture
def learners(url: str) -> Iterator[list[Learner]]:
    made = [Learner(url) for _ in range(3)]
    yield made
    for learner in made:
        learner.store.close()


def just_made(number: int) -> Decision:
    """A decision of this moment, with an id that says so."""
    now = 1_700_000_000.0 + number
    return dataclasses.replace(decision(number), id=f"{int(now * 1000):012x}{number:020x}", decided_at=now)


def soon(made: Decision, **values: float) -> Feedback:
    return Feedback(decision_id=made.id, values=values, received_at=made.decided_at + 1.0)


def test_each_process_learns_all_reports_once(learners: list[Learner], until: Until) -> None:
    rng = random.Random(0)
    for number in range(700):  # some are folded meanwhile, by one or another
        one = rng.choice(learners)
        one.store.add_decision(decision(number, arm=rng.choice("ab")))
        one.report(feedback(number, quality=1.0, cost_usd=float(number % 3)))
        if number % 100 == 0:
            time.sleep(0.1)
    until(lambda: all(sum(sums["quality"][0] for sums in one.sums.values()) == 700 for one in learners))
    assert learners[0].sums == learners[1].sums == learners[2].sums
    assert all(one.memory.feedback <= 700 for one in learners)


def test_a_reader_learns_and_is_told_how_much_there_is(learners: list[Learner], until: Until) -> None:
    writer_, reader, _ = learners
    for number in range(10):
        writer_.store.add_decision(decision(number))
        writer_.report(feedback(number, quality=1.0))
    until(lambda: reader.sums == writer_.sums)
    assert (reader.memory.decisions, reader.memory.feedback) == (10, 10)


def test_single_process_hears_only_of_its_own_folds(url: str, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FOLD_SECONDS", 1e9)  # so that only their number matters
    one = Learner(url)
    for number in range(200):
        one.store.add_decision(decision(number))
        one.report(feedback(number, quality=1.0))
    time.sleep(0.6)
    assert one.follows == 0
    for number in range(200, 600):
        one.store.add_decision(decision(number))
        one.report(feedback(number, quality=1.0))
    learned = one.sums
    until(lambda: one.follows > 0)
    assert one.sums == learned == summed(event(number, quality=1.0) for number in range(600))
    one.store.close()


def test_few_outcomes_are_folded_in_time(url: str, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setattr(writer, "FOLD_SECONDS", 0.1)
    one, two = Learner(url), Learner(url)
    one.store.add_decision(decision(1))
    one.report(feedback(1, quality=1.0))
    until(lambda: bool(two.memory.statistics))
    assert two.memory.pending == []
    one.store.close()
    two.store.close()


def test_states_of_others_are_told_with_the_rest(learners: list[Learner], until: Until) -> None:
    learners[0].store.save_state("budget", b"7")
    learners[0].store.add_decision(decision(1))
    learners[0].report(feedback(1, quality=1.0))
    until(lambda: learners[1].memory.states == {"budget": b"7"})


def plus(earlier: bytes, later: bytes) -> bytes:
    return str(int(earlier) + int(later)).encode()


def test_states_that_several_join_at_once_lose_nothing(learners: list[Learner], url: str) -> None:
    def put(one: Learner) -> None:
        for _ in range(50):
            one.store.save_state("sum", b"1", plus)
            one.store.flush()

    threads = [threading.Thread(target=put, args=(one,)) for one in learners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later = Learner(url)
    assert later.memory.states == {"sum": b"150"}
    later.store.close()


def test_recorded_state_includes_the_state_that_waits(url: str, until: Until) -> None:
    """As it holds the feedback that is learned, so that it may take the place of what was known."""

    class Puts(Learner):
        def on_recorded(self, recorded: Recorded) -> None:
            super().on_recorded(recorded)
            self.store.save_state("sum", b"10", plus)  # recorded with the next group

    one, two = Puts(url), Learner(url)
    two.store.save_state("sum", b"1", plus)
    two.store.add_decision(decision(1))
    two.store.flush()
    two.report(feedback(1, quality=1.0))
    one.store.add_decision(decision(2))
    one.report(feedback(2, quality=1.0))
    until(lambda: one.memory.states == {"sum": b"11"})
    one.store.close()
    two.store.close()


def test_failed_learning_is_logged_and_tried_again(
    learners: list[Learner], monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[StoredState] = []

    class Fails(Listener):
        def on_changed(self, state: StoredState) -> None:
            failures.append(state)
            raise ZeroDivisionError("following")

    one, two, _ = learners
    two.store.subscribe(Fails())
    with caplog.at_level(logging.ERROR):
        one.store.add_decision(decision(1))
        one.report(feedback(1, quality=1.0))
        until(lambda: len(failures) >= 2)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    two.store.subscribe(two)
    until(lambda: two.sums == one.sums)


class TestOrphans:
    """Feedback that comes before its decision can be seen."""

    @pytest.fixture
    def slow(self, url: str) -> Iterator[Learner]:
        made = Learner(url, linger_seconds=60.0)
        yield made
        made.store.close()

    def test_early_feedback_is_kept_and_learned_when_the_decision_appears(
        self, slow: Learner, learners: list[Learner], until: Until
    ) -> None:
        made = just_made(1)
        slow.store.add_decision(made)
        learners[0].report(soon(made, quality=1.0))
        learners[1].report(soon(made, cost_usd=2.0))
        learners[1].report(soon(made, cost_usd=2.0, quality=1.0))
        assert learners[0].sums == learners[1].sums == {}
        slow.store.flush()
        expected = {"a": {"quality": [1, 1, 1, 1], "cost_usd": [1, 2, 2, 2]}}
        for one in (*learners, slow):
            until(lambda one=one: one.sums == expected)  # type: ignore[misc]
            assert one.memory.feedback == 1

    def test_early_feedback_conflicts_like_any_other(
        self, slow: Learner, learners: list[Learner], until: Until
    ) -> None:
        made = just_made(1)
        slow.store.add_decision(made)
        learners[0].report(soon(made, quality=1.0))
        with pytest.raises(ConflictingFeedbackError):
            learners[1].report(soon(made, quality=0.0))
        slow.store.flush()
        with pytest.raises(ConflictingFeedbackError):
            slow.report(soon(made, quality=0.0))
        until(lambda: learners[2].sums == {"a": {"quality": [1, 1, 1, 1]}})

    @pytest.mark.parametrize("late", [-61.0, 62.0, 1e9])
    def test_an_id_of_another_time_is_unknown_at_once(self, learners: list[Learner], late: float) -> None:
        made = just_made(1)
        part = Feedback(decision_id=made.id, values={"quality": 1.0}, received_at=made.decided_at + late)
        with pytest.raises(UnknownDecisionError, match="not older than"):
            learners[0].report(part)

    @pytest.mark.parametrize("id", ["z" * 32, "0" * 31, "+" * 32])
    def test_id_of_another_form_is_unknown_at_once(self, learners: list[Learner], id: str) -> None:
        with pytest.raises(UnknownDecisionError):
            learners[0].report(Feedback(decision_id=id, values={"quality": 1.0}, received_at=0.0))

    def test_report_whose_decision_never_appears_is_dropped_and_logged(
        self, url: str, monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = Learner(url)
        made = just_made(1)
        with caplog.at_level(logging.ERROR):
            assert one.store.add_feedback(soon(made, quality=1.0)).result() == "pending"
            until(lambda: one.store.backlog.pending == 1)
            monkeypatch.setattr(log, "ORPHAN_SECONDS", -1.0)  # its time is over
            until(lambda: bool(caplog.records))
        assert f"1 decisions that never appeared is dropped, among them {made.id}" in caplog.text
        until(lambda: one.store.backlog.pending == 0)
        one.store.add_decision(made)
        one.report(soon(made, quality=0.0))  # no conflict: the other is gone
        one.store.close()
        assert one.sums == {"a": {"quality": [1, 0, 0, 0]}}


def fold_once(url: str, number: int) -> None:
    """Record and fold one outcome."""
    one = Learner(url)
    one.store.add_decision(decision(number))
    one.report(feedback(number, quality=1.0))
    one.store.close()


def test_snapshots_are_taken_as_it_folds_once_an_hour(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        fold_once(url, number)
    monkeypatch.setattr(folding, "SNAPSHOT_SECONDS", 0.0)
    for number in range(4, 6):
        fold_once(url, number)
    with database_at(parse(url)).engine.connect() as connection:
        rows = connection.execute(select(snapshot).order_by(snapshot.c.version)).all()
    assert [row.version for row in rows] == [1, 5, 6]
    assert summed([], {"a": rows[1].blob}) == summed(event(number, quality=1.0) for number in range(5))


def test_snapshots_are_kept_by_their_age(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "SNAPSHOT_SECONDS", 0.0)
    day, hour = 86_400.0, 3_600.0
    for number in range(8):
        fold_once(url, number)
    today = time.time() // day * day
    ages = {1: 20 * day, 2: 16 * day, 3: 5 * day, 4: 5 * day - hour, 5: 4 * day, 6: day, 7: day - hour}
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        for version, age in ages.items():
            taken = {"taken_at": today - age, "by_hand": version == 1}
            connection.execute(update(snapshot).where(snapshot.c.version == version).values(**taken))
    fold_once(url, 8)
    with database.engine.connect() as connection:
        times = {row.version: row.taken_at for row in connection.execute(select(snapshot).order_by(snapshot.c.version))}
    assert list(times) == [1, 4, 5, 6, 7, 8, 9]
    assert times[4] == today - 5 * day + hour


def test_routers_on_one_database_predict_the_same(url: str, until: Until) -> None:
    rng = np.random.default_rng(0)

    def router() -> Router:
        return Router(arms=["a", "b", "c"], features=4, store=SQLStore(url), seed=int(rng.integers(100)))

    def predictions(one: Router) -> np.ndarray:
        made = [one.route(probe) for probe in np.eye(4)]
        return np.array([each.means[each.objectives.index("quality")] for each in made])

    one, two, reader = (router() for _ in range(3))
    for _ in range(150):
        for each in (one, two):
            made = each.route(rng.normal(size=4))
            each.feedback(made.id, quality=float(rng.random()), cost_usd=float(rng.random()))
    until(lambda: one.status().learned == two.status().learned == reader.status().learned == 300)
    np.testing.assert_allclose(predictions(one), predictions(two), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(predictions(one), predictions(reader), rtol=1e-12, atol=1e-12)
    for each in (one, two, reader):
        each.close()


def test_a_router_that_starts_later_predicts_the_same(url: str, until: Until) -> None:
    """The default learner chooses from what was learned how much context matters; all choose the same."""
    rng = np.random.default_rng(0)
    slopes = rng.choice([-0.1, 0.1], size=(3, 4))

    def router() -> Router:
        return Router(arms=["a", "b", "c"], features=4, store=SQLStore(url))

    def predictions(one: Router) -> np.ndarray:
        made = [one.route(probe) for probe in np.eye(4)]
        return np.array([[each.means[j], each.stds[j]] for each in made for j in [each.objectives.index("quality")]])

    def serve(count: int, *routers: Router) -> None:
        for number in range(count):
            one = routers[number % len(routers)]
            x = rng.choice([-1.0, 1.0], size=4)
            made = one.route(x)
            one.feedback(made.id, quality=float(0.5 + slopes["abc".index(made.arm)] @ x))

    def agree(*routers: Router) -> None:
        until(
            lambda: all(
                np.allclose(predictions(routers[0]), predictions(one), rtol=1e-12, atol=1e-12) for one in routers[1:]
            )
        )
        relevance = [engine_of(one).models.belief.relevance for one in routers]  # type: ignore[attr-defined]
        assert all(some == relevance[0] for some in relevance)

    with router() as one:
        serve(400, one)  # some folded, some pending
        with router() as reader:
            agree(one, reader)
            with router() as two:
                serve(301, one, two)
                agree(one, two, reader)
                with router() as late:
                    agree(one, late)
                    assert engine_of(late).models.belief.relevance  # type: ignore[attr-defined]


def test_a_server_without_tables_says_what_to_do(postgresql: Server) -> None:
    url = postgresql.database(upgraded=False)
    store = SQLStore(url)
    with pytest.raises(StoreError, match=r"no tables of banditroute; run once: banditroute db upgrade"):
        store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
