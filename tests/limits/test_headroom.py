"""Headroom: what headers of an answer say is left, and arms that have no room for a request."""

import math

import numpy as np
import pytest

from banditroute import Arm, InvalidFeedbackError, Router
from banditroute.core.request import Request
from banditroute.limits import Quota
from banditroute.limits.headroom import Headroom, Left, read_headers
from banditroute.limits.quotas import Quotas

NOON = 1_796_126_400.0  # 2026-12-01T12:00:00Z


class TestHeaders:
    def test_openais_headers_are_read(self):
        headers = {
            "X-RateLimit-Limit-Requests": "5000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "1h6m0s",
        }
        expected = {"requests": Left(4999.0, 5000.0, 0.012), "tokens": Left(0.0, 160000.0, 3960.0)}
        assert read_headers(headers, NOON) == expected

    def test_anthropics_headers_are_read(self):
        headers = {
            "anthropic-ratelimit-input-tokens-limit": "80000",
            "anthropic-ratelimit-input-tokens-remaining": "40000",
            "anthropic-ratelimit-input-tokens-reset": "2026-12-01T12:00:30Z",
            "anthropic-ratelimit-output-tokens-remaining": "16000",
            "anthropic-ratelimit-output-tokens-reset": "2026-12-01T11:59:59Z",
        }
        expected = {"input_tokens": Left(40000.0, 80000.0, 30.0), "output_tokens": Left(16000.0, 16000.0, 0.0)}
        assert read_headers(headers, NOON) == expected

    @pytest.mark.parametrize(
        ("reset", "seconds"),
        [
            ("2", 2.0),
            (7.5, 7.5),
            (str(NOON + 9.0), 9.0),
            ("1.5s", 1.5),
            ("99d", 86400.0),
            ("1e400", 60.0),
            ("soon", 60.0),
            ("", 60.0),
            (None, 60.0),
            ("2026-13-01T00:00:00Z", 60.0),
        ],
    )
    def test_reset_is_a_duration_or_a_time_and_a_minute_where_it_is_unreadable(self, reset, seconds):
        headers = {"x-ratelimit-remaining-requests": 3, "x-ratelimit-reset-requests": reset}
        assert read_headers(headers, NOON)["requests"].full_seconds == pytest.approx(seconds)

    @pytest.mark.parametrize("rest", ["", "many", "nan", "inf", "-1", None, "1" * 5000])
    def test_an_unreadable_rest_says_nothing(self, rest):
        assert read_headers({"x-ratelimit-remaining-requests": rest, 7: b"\xff"}, NOON) == {}


class TestHeadroom:
    def test_headroom_grows_evenly_until_the_reset(self):
        headroom = Headroom()
        headroom.note("k", {"tokens": Left(10.0, 70.0, 30.0)}, now=100.0)
        assert [headroom.left("k", "tokens", now) for now in (90.0, 100.0, 115.0, 129.0)] == [10.0, 10.0, 40.0, 68.0]
        assert headroom.left("k", "tokens", 130.0) == math.inf
        assert not headroom.active

    def test_calls_take_their_part_until_the_provider_says_again(self):
        headroom = Headroom()
        headroom.note("k", {"requests": Left(2.0, 2.0, 60.0)}, now=0.0)
        headroom.take("k", "requests", 2.0, now=1.0)
        assert headroom.left("k", "requests", 59.0) == 0.0
        headroom.note("k", {"requests": Left(5.0, 5.0, 60.0)}, now=59.0)
        assert headroom.left("k", "requests", 59.0) == 5.0

    def test_other_keys_and_units_have_room(self):
        headroom = Headroom()
        headroom.note("k", {"requests": Left(0.0, 1.0, 60.0)}, now=0.0)
        headroom.take("other", "requests", 9.0, now=0.0)
        assert headroom.left("k", "tokens", 0.0) == headroom.left("other", "requests", 0.0) == math.inf


class TestQuotas:
    def make(self, *quotas):
        return Quotas(quotas=quotas, arms=[Arm(name="a", max_output_tokens=100), Arm(name="b")], add=lambda *_: None)

    def test_a_call_needs_room_for_its_input_and_its_longest_output(self):
        quotas, request = self.make(), Request(features=np.zeros(1), input_tokens=50)
        for tokens, expected in ((149.0, ["b"]), (150.0, ["a", "b"])):
            quotas.note_headroom("a", {"tokens": Left(tokens, tokens, 60.0)}, 0.0)
            assert quotas.with_room(["a", "b"], request, 0.0) == expected
        quotas.take("a", request, 0.0)
        assert quotas.with_room(["a", "b"], request, 0.0) == ["b"]
        assert quotas.with_room(["a", "b"], request, 60.0) == ["a", "b"]

    def test_arms_of_one_quota_share_what_is_left(self):
        quotas = self.make(Quota(arms=["a", "b"], tokens_per_minute=1e9))
        quotas.note_headroom("a", {"requests": Left(1.0, 1.0, 60.0)}, 0.0)
        quotas.take("b", Request(features=np.zeros(1)), 0.0)
        assert quotas.with_room(["a", "b"], Request(features=np.zeros(1), input_tokens=1), 0.0) == []


class TestRouter:
    def test_arm_without_headroom_waits_for_the_reset(self):
        now = [NOON]
        router = Router(arms=["small", "large"], features=1, seed=0, clock=lambda: now[0])
        router.report_headroom("large", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"})
        assert {router.route([0.5]).arm for _ in range(20)} == {"small"}
        now[0] += 20.0
        assert router.route([0.5]).arms == ("small", "large")

    def test_steady_traffic_uses_what_comes_back_and_no_more(self):
        """A bucket of 60 that fills by one a second; five requests a second want it."""
        rng, now = np.random.default_rng(0), [NOON]
        router = Router(arms=["small", "large"], features=1, seed=0, clock=lambda: now[0])
        bucket, served = 60.0, 0
        for seconds in rng.exponential(0.2, size=3000):
            now[0] += seconds
            bucket = min(bucket + seconds, 60.0)
            decision = router.route([0.5])
            if decision.arms == ("small", "large") and decision.arm == "small":  # the policy's choice: there is room
                decision = router.route([0.5], arms=["large"])
            if decision.arm == "small":
                continue
            assert bucket > 1.0 - 1e-6
            served, bucket = served + 1, bucket - 1.0
            left = {"remaining": int(bucket), "limit": 60, "reset": f"{60.0 - bucket:.3f}s"}
            router.report_headroom("large", {f"x-ratelimit-{name}-requests": each for name, each in left.items()})
        assert served >= 0.95 * (60.0 + now[0] - NOON)

    def test_unusable_reports_are_refused(self):
        router = Router(arms=["small", "large"], features=1, seed=0)
        with pytest.raises(InvalidFeedbackError, match="unknown arm 'huge'; known arms: large, small"):
            router.report_headroom("huge", {})
        with pytest.raises(InvalidFeedbackError, match="headers is None"):
            router.report_headroom("small", None)
        router.report_headroom("small", {})
        assert router.route([0.5]).arms == ("small", "large")
