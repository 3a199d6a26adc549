"""Clocks that are wrong do not age what was learned."""

from __future__ import annotations

import logging
import time

import pytest

from banditroute import Learner, Router, SQLStore, admin
from banditroute.beliefs import Hybrid
from banditroute.policies import Thompson
from banditroute.store.sql.latest_time import BELIEVED_AFTER_SECONDS, TOLERANCE_SECONDS, LatestTime

NOW = 1_700_000_000.0
DAY = 86_400.0
YEAR = 365 * DAY


@pytest.mark.parametrize("ahead", [50 * YEAR, 1e12], ids=["years", "a clock in milliseconds"])
def test_decision_of_a_clock_that_is_ahead_does_not_end_learning(
    url: str, ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    learner = Learner(policy=Thompson(), belief=Hybrid(half_life_seconds=DAY))
    times = [0.0]
    with Router(
        arms=["a", "b"],
        features=1,
        learner=learner,
        store=SQLStore(url),
        seed=0,
        clock=lambda: times[0],
    ) as router:
        for times[0] in (time.time() + ahead, *[time.time()] * 60):
            router.feedback(router.route([0.5]).id, quality=0.0)
    (epoch,) = admin.inspect(url)
    assert sum(arm.counts.get("quality", 0.0) for arm in epoch.arms) == pytest.approx(61.0, rel=0.01)
    assert admin.verify(url) == []
    assert [record.message for record in caplog.records if "ahead of the clock of" in record.message]


class TestLatestTime:
    @pytest.fixture
    def boot(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def latest(self, boot: list[float]) -> LatestTime:
        made = LatestTime(monotonic=lambda: boot[0])
        made.read(NOW)
        return made

    def test_clock_advances_as_the_monotonic_clock_does(self, latest: LatestTime, boot: list[float]) -> None:
        boot[0] += 5.0
        assert latest.bound() == NOW + 5.0 + TOLERANCE_SECONDS

    def test_a_leap_is_not_followed_and_logged_once(
        self, latest: LatestTime, boot: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                boot[0] += 1.0
                latest.read(NOW + DAY)
        assert latest.bound() == NOW + 3.0 + TOLERANCE_SECONDS
        assert len(caplog.records) == 1

    def test_a_leap_that_lasts_is_followed(self, latest: LatestTime, boot: list[float]) -> None:
        latest.read(NOW + DAY)
        boot[0] += BELIEVED_AFTER_SECONDS
        latest.read(NOW + DAY + BELIEVED_AFTER_SECONDS)
        assert latest.bound() == NOW + DAY + BELIEVED_AFTER_SECONDS + TOLERANCE_SECONDS

    def test_a_clock_that_was_set_back_is_followed(self, latest: LatestTime) -> None:
        latest.read(NOW - DAY)
        assert latest.bound() == NOW - DAY + TOLERANCE_SECONDS
