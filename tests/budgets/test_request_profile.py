"""The profile of requests over the week, on traffic whose profile is known."""

import pytest

from banditroute.budgets.request_profile import RequestProfile

DAY = 86_400.0
MONDAY = 4 * DAY  # 5 January 1970


def send(profile, days, per_hour, *, first=0):
    for hour in range(24 * first, 24 * (first + days)):
        for i in range(per_hour(hour)):
            profile.add(MONDAY + (hour + i / max(per_hour(hour), 1)) * 3600.0)


def busy_at_noon(hour):
    return 100 if hour % 24 in (12, 13) else 5


def test_a_day_is_expected_to_be_as_the_days_before():
    profile = RequestProfile()
    send(profile, 10, busy_at_noon)
    midnight = MONDAY + 10 * DAY
    assert profile.fits(midnight)
    assert profile.expected(midnight, midnight + DAY) == pytest.approx(22 * 5 + 200, rel=0.2)
    after = midnight + 14 * 3600.0
    assert profile.expected(after, midnight + DAY) == pytest.approx(10 * 5, rel=0.3)


def test_one_day_of_bursts_says_most_of_the_next():
    profile = RequestProfile()
    send(profile, 1, busy_at_noon)
    profile.add(MONDAY + DAY)
    noon = MONDAY + DAY + 12 * 3600.0
    assert profile.expected(noon, noon + 7200.0) == pytest.approx(200, rel=0.1)


def test_a_weekend_without_requests_is_learned():
    profile = RequestProfile()
    for week in range(4):
        send(profile, 5, lambda hour: 10, first=7 * week)
    saturday = MONDAY + 26 * DAY
    assert profile.expected(saturday, saturday + DAY) < 0.5 * profile.expected(saturday - DAY, saturday)


def test_profile_is_unknown_before_a_whole_day():
    profile = RequestProfile()
    send(profile, 0, busy_at_noon)
    assert not profile.fits(MONDAY)
    for hour in range(12):
        profile.add(MONDAY + hour * 3600.0)
    assert not profile.fits(MONDAY + 12 * 3600.0)


def test_traffic_unlike_the_profile_does_not_fit():
    profile = RequestProfile()
    send(profile, 5, busy_at_noon)
    send(profile, 1, lambda hour: 200 if hour % 24 < 6 else 0, first=5)
    assert not profile.fits(MONDAY + 5 * DAY + 6 * 3600.0)


def test_a_clock_that_leaps_changes_nothing():
    profile, same = RequestProfile(), RequestProfile()
    for each in (profile, same):
        send(each, 5, busy_at_noon)
    profile.add(MONDAY + 3650 * DAY)
    midnight = MONDAY + 5 * DAY
    profile.add(midnight)
    assert profile.expected(midnight, midnight + DAY) == pytest.approx(same.expected(midnight, midnight + DAY), rel=0.3)


def test_a_restart_keeps_the_profile():
    profile = RequestProfile()
    send(profile, 3, busy_at_noon)
    again = RequestProfile(profile.state())
    noon = MONDAY + 3 * DAY + 12 * 3600.0
    assert again.expected(noon, noon + 3600.0) > 50.0
    with pytest.raises(ValueError, match="24 hours"):
        RequestProfile({"day": [1.0]})
