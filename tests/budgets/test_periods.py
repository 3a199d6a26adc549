"""Periods of the calendar, against the calendar."""

from datetime import UTC, datetime, timedelta

import pytest

from banditroute.budgets.periods import PERIODS, period_bounds, period_number

AT = [datetime(2026, 11, 30, 17, 20, tzinfo=UTC) + timedelta(hours=37 * n) for n in range(400)]


@pytest.mark.parametrize("per", PERIODS)
def test_every_time_lies_in_its_period(per):
    for at in AT:
        start, end = period_bounds(per, period_number(per, at.timestamp()))
        assert start <= at.timestamp() < end


@pytest.mark.parametrize("per", PERIODS)
def test_periods_follow_each_other(per):
    for number in range(700):
        assert period_bounds(per, number)[1] == period_bounds(per, number + 1)[0]


def test_weeks_begin_on_monday_and_months_on_the_first():
    for at in AT:
        week = datetime.fromtimestamp(period_bounds("week", period_number("week", at.timestamp()))[0], UTC)
        month = datetime.fromtimestamp(period_bounds("month", period_number("month", at.timestamp()))[0], UTC)
        assert (week.weekday(), week.hour) == (0, 0)
        assert month == at.replace(day=1, hour=0, minute=0)


@pytest.mark.parametrize("now", [-1e12, -1.0, 0.0, 1e15])
@pytest.mark.parametrize("per", PERIODS)
def test_a_clock_far_away_has_a_period_too(per, now):
    assert isinstance(period_number(per, now), int)
