"""The store contract finds the faults that stores have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import banditroute.testing
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.errors import ConflictingFeedbackError
from banditroute.store import MemoryStore, Recorded, Subscriber, Ticket
from banditroute.testing import StoreContract
from banditroute.testing.samples import Listener


class Forgetful(MemoryStore):
    def close(self) -> None:
        super().close()
        self._outcomes.clear()


class MixesEpochs(MemoryStore):
    def open(self, **arguments: Any) -> Any:
        return super().open(**{**arguments, "features_version": "1"})


class LearnsTwice(MemoryStore):
    def subscribe(self, subscriber: Subscriber) -> None:
        class Twice(Listener):
            def on_recorded(self, recorded: Recorded) -> None:
                subscriber.on_recorded(recorded)
                subscriber.on_recorded(recorded)

        super().subscribe(Twice())


class TakesHalfOfAConflict(MemoryStore):
    def add_feedback(self, feedback: Feedback) -> Ticket:
        ticket = super().add_feedback(feedback)
        try:
            ticket.result()
        except ConflictingFeedbackError:
            recorded = self._outcomes[feedback.decision_id]
            self._outcomes[feedback.decision_id] = {**feedback.values, **recorded}
        except Exception:
            return ticket
        return ticket


class LearnsUnderItsLock(MemoryStore):
    def subscribe(self, subscriber: Subscriber) -> None:
        store = self

        class Locked(Listener):
            def on_recorded(self, recorded: Recorded) -> None:
                if not store._lock.acquire(timeout=1):
                    raise TimeoutError
                try:
                    helper = threading.Thread(target=subscriber.on_recorded, args=(recorded,), daemon=True)
                    helper.start()
                    helper.join(1)
                    if helper.is_alive():
                        raise TimeoutError
                finally:
                    store._lock.release()

        super().subscribe(Locked())


class SilentWhenClosed(MemoryStore):
    @property
    def trouble(self) -> str | None:
        return None


class LosesDecisions(MemoryStore):
    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        if not decision.id.endswith("7"):
            super().add_decision(decision, prompt)


class OfMemory(StoreContract):
    def make_store(self) -> MemoryStore:
        return MemoryStore()


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Forgetful, "test_feedback_is_learned_once_and_remembered"),
        (LearnsTwice, "test_the_same_feedback_twice_is_learned_once"),
        (TakesHalfOfAConflict, "test_a_conflict_changes_nothing"),
        (LearnsUnderItsLock, "test_a_subscriber_may_use_the_store"),
        (SilentWhenClosed, "test_a_closed_store_says_so"),
        (LosesDecisions, "test_many_threads_lose_nothing"),
    ],
)
def test_a_faulty_store_fails(kind: Callable[[], MemoryStore], test: str) -> None:
    check = getattr(OfMemory(), test)
    check(MemoryStore())
    with pytest.raises((AssertionError, TimeoutError, ConflictingFeedbackError)):
        check(kind())


def test_mixed_epochs_fail() -> None:
    with pytest.raises(AssertionError):
        OfMemory().test_another_epoch_is_kept_apart(MixesEpochs(), {"features_version": "2"})


def test_the_public_names_are_there_and_sorted() -> None:
    assert sorted(banditroute.testing.__all__) == list(banditroute.testing.__all__)
    for name in banditroute.testing.__all__:
        assert getattr(banditroute.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        banditroute.testing.nothing  # noqa: B018
