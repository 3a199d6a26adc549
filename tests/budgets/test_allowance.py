"""Allowances: what the next requests may take, by hand."""

import pytest

from banditroute.budgets.allowance import PerPeriod, PerRequest
from banditroute.core.shared_total import SharedTotal


class TestPerRequest:
    def test_overspending_is_paid_back_within_a_hundred_requests(self):
        allowance = PerRequest(amount=1.0)
        allowance.enter(11.0, least=0.1, now=0.0)
        assert allowance.total.balance == -10.0
        assert allowance.target(0.0) == pytest.approx(1.0 - 0.1)

    def test_savings_are_used_later_and_are_bounded(self):
        allowance = PerRequest(amount=1.0)
        for _ in range(12):
            allowance.enter(0.5, least=0.1, now=0.0)
        assert allowance.total.balance == 6.0
        assert allowance.target(0.0) == pytest.approx(1.0 + 0.2)
        for _ in range(188):
            allowance.enter(0.5, least=0.1, now=0.0)
        assert allowance.total.balance == pytest.approx(8.4)  # 0.4 x (20 + 200 / 200) requests' worth, and not 100

    def test_a_single_request_may_put_it_twenty_requests_behind(self):
        allowance = PerRequest(amount=1.0)
        assert allowance.most(0.0) == 21.0
        allowance.enter(15.0, least=0.1, now=0.0)
        assert allowance.most(0.0) == pytest.approx(7.0 + 0.005)
        assert PerRequest(amount=1.0, total=SharedTotal(requests=20_000)).most(0.0) == 121.0

    def test_request_may_take_its_grant_while_in_debt(self):
        allowance = PerRequest(amount=1.0)
        allowance.enter(70.0, least=0.1, now=0.0)
        assert allowance.most(0.0) == 1.0

    def test_debt_that_no_choice_could_have_avoided_is_bounded(self):
        allowance = PerRequest(amount=1.0)
        for _ in range(1000):
            allowance.enter(3.0, least=3.0, now=0.0)
        assert -28.0 < allowance.total.balance < -20.0

    def test_a_report_corrects_what_was_expected(self):
        allowance = PerRequest(amount=1.0)
        allowance.enter(1.0, least=0.1, now=0.0)
        allowance.correct(2.5)
        assert allowance.total.balance == -2.5
        allowance.correct(-2.0)
        assert allowance.total.balance == -0.5

    def test_balance_is_never_reset(self):
        assert not PerRequest(amount=1.0).begin(1e9)

    def test_begins_again_where_it_was(self):
        allowance = PerRequest(amount=1.0)
        for spend in (0.3, 2.0, 0.7):
            allowance.enter(spend, least=0.1, now=0.0)
        again = PerRequest(amount=1.0, total=allowance.total)
        assert (again.target(0.0), again.most(0.0), again.granted(0.0)) == (
            allowance.target(0.0),
            allowance.most(0.0),
            3.0,
        )


class TestPerPeriod:
    def steady(self, *, gap=10.0, requests=50, spend=1.0, **settings):
        allowance = PerPeriod(amount=360.0, per="hour", **settings)
        for i in range(requests):
            allowance.begin(gap * i)
            allowance.enter(spend, least=0.1, now=gap * i)
        return allowance, gap * (requests - 1)

    def test_target_is_zero_while_the_request_rate_is_unknown(self):
        allowance = PerPeriod(amount=360.0, per="hour")
        assert allowance.target(0.0) == 0.0
        allowance.enter(1.0, least=0.1, now=0.0)
        assert allowance.target(0.0) == 0.0
        allowance.enter(1.0, least=0.1, now=10.0)
        assert allowance.target(10.0) == pytest.approx(358.0 / 359.0)

    def test_rest_of_the_amount_is_divided_by_the_expected_requests(self):
        allowance, now = self.steady()  # one request in 10 s, one dollar each
        assert allowance.target(now) == pytest.approx(310.0 / 311.0)
        allowance, now = self.steady(spend=2.0)
        assert allowance.target(now) == pytest.approx(260.0 / 311.0)

    def test_target_is_zero_when_the_amount_is_spent(self):
        allowance, now = self.steady(spend=8.0)
        assert allowance.target(now) == 0.0
        assert allowance.most(now) < 0.0

    def test_a_night_counts_as_ten_gaps(self):
        allowance, now = self.steady()
        later = now + 3000.0
        allowance.enter(1.0, least=0.1, now=later)
        assert allowance.gap == pytest.approx(10.0 + 90.0 / 30.0)

    def test_a_period_begins_with_the_whole_amount(self):
        allowance, now = self.steady()
        assert not allowance.begin(now)
        assert allowance.begin(3600.0)
        assert not allowance.begin(3600.0)
        assert allowance.target(3600.0) == pytest.approx(1.0)  # 360 dollars for 360 requests
        assert allowance.total == SharedTotal(period=1)

    def test_the_last_request_may_take_what_is_left(self):
        allowance, _ = self.steady()
        assert allowance.target(3599.0) == pytest.approx(310.0)

    def test_begins_again_where_it_was(self):
        allowance, now = self.steady()
        again = PerPeriod(amount=360.0, per="hour", totals=[allowance.total], state={"gap": allowance.gap})
        assert not again.begin(now)
        assert again.total == allowance.total
        assert again.target(now) == allowance.target(now)
        assert again.most(now) == allowance.most(now)
        assert again.granted(1800.0) == 180.0

    def test_requests_of_other_processes_are_expected_too(self):
        allowance = PerPeriod(amount=360.0, per="hour")
        for i in range(200):  # one in 10 s here, three elsewhere, which are heard of now and then
            added = allowance.enter(0.25, least=0.1, now=10.0 * i)
            assert added == SharedTotal(0, 1, 0.25)
            if i % 10 == 9:
                allowance.merge(SharedTotal(0, 4 * (i + 1), 1.0 * (i + 1)))
        assert allowance.target(1990.0) == pytest.approx((360.0 - 200.0) / (4 * 161.0), rel=0.2)
        allowance.merge(SharedTotal(7, 10, 100.0))  # of another period, by a clock that differs
        assert allowance.total.requests == 800

    def test_a_clock_that_goes_back_is_borne(self):
        allowance, now = self.steady()
        allowance.enter(1.0, least=0.1, now=now - 100.0)
        assert allowance.target(now) > 0.0
