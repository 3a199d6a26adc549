"""Quotas of requests and tokens: never exceeded, and nearly all used under load."""

import heapq

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import InvalidConfigurationError
from banditroute.limits.quotas import Quota, Quotas, check_quotas

ARMS = [Arm(name="a", max_output_tokens=100), Arm(name="b")]
REQUEST = Request(features=np.zeros(1), input_tokens=50)


class SharedStore:
    """A database that several processes add to; each learns the sum ``lag`` seconds later."""

    def __init__(self, lag):
        self.lag, self.now, self.totals, self.queue, self.n = lag, 0.0, {}, [], 0
        self.processes = []

    def process(self, quotas):
        k = len(self.processes)
        self.processes.append(Quotas(quotas=quotas, arms=ARMS, add=lambda name, total: self.add(k, name, total)))
        return self.processes[-1]

    def add(self, k, name, total):
        self.n += 1
        heapq.heappush(self.queue, (self.now + self.lag, self.n, k, name, total))

    def advance(self, now):
        while self.queue and self.queue[0][0] <= now:
            self.now, _, k, name, total = heapq.heappop(self.queue)
            key = (name, total.period)
            self.totals[key] = self.totals.get(key, SharedTotal(period=total.period)) + total
            self.processes[k].merge(name, self.totals[key], total)
        self.now = now


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("limit", "per_minute"), [(600, 700), (600, 2000), (60, 120)])
def test_four_processes_never_exceed_it_and_leave_at_most_a_twentieth(seed, limit, per_minute):
    rng = np.random.default_rng(seed)
    store = SharedStore(lag=0.05)
    processes = [store.process([Quota(arms=["a"], requests_per_minute=limit)]) for _ in range(4)]
    for each in processes:
        each.prepare(0.0)
    served = np.zeros(5)
    for now in np.sort(rng.random(5 * per_minute) * 300.0):
        store.advance(now)
        process = processes[rng.integers(4)]
        if process.with_room(["a"], REQUEST, now):
            process.take("a", REQUEST, now)
            served[int(now // 60.0)] += 1
    assert (served <= limit).all()
    assert (served[1:] >= 0.95 * limit).all()


def alone(quota):
    total = {}

    def add(name, added):
        key = (name, added.period)
        total[key] = total.get(key, SharedTotal(period=added.period)) + added
        return total[key]

    return Quotas(quotas=[quota], arms=ARMS, add=add)


def test_an_arm_without_room_is_not_eligible_until_the_next_minute():
    quotas = alone(Quota(arms=["a"], requests_per_minute=2))
    for _ in range(2):
        assert quotas.with_room(["a", "b"], REQUEST, 10.0) == ["a", "b"]
        quotas.take("a", REQUEST, 10.0)
    assert quotas.with_room(["a", "b"], REQUEST, 10.0) == ["b"]
    assert quotas.with_room(["a", "b"], REQUEST, 60.0) == ["a", "b"]


def test_arms_of_one_key_share_a_quota():
    quotas = alone(Quota(arms=["a", "b"], requests_per_minute=2))
    for arm in ("a", "b"):
        assert quotas.with_room([arm], REQUEST, 10.0) == [arm]
        quotas.take(arm, REQUEST, 10.0)
    assert quotas.with_room(["a", "b"], REQUEST, 10.0) == []


def test_unused_tokens_are_given_back():
    quotas = alone(Quota(arms=["a"], tokens_per_minute=300.0))
    for _ in range(2):  # 50 + 100 each
        assert quotas.with_room(["a"], REQUEST, 10.0) == ["a"]
        reserved = quotas.take("a", REQUEST, 10.0)
    assert quotas.with_room(["a"], REQUEST, 10.0) == []
    quotas.settle(reserved, {"output_tokens": 10.0}, (), 10.0, 11.0)
    assert quotas.with_room(["a"], Request(features=np.zeros(1), input_tokens=20, max_output_tokens=70), 11.0) == ["a"]
    assert quotas.with_room(["a"], REQUEST, 11.0) == []


def test_input_and_output_tokens_are_counted_apart():
    quotas = alone(Quota(arms=["a"], input_tokens_per_minute=120.0, output_tokens_per_minute=250.0))
    short, long = (Request(features=np.zeros(1), input_tokens=tokens) for tokens in (20, 50))
    for request in (long, long):  # 50 of the input and 100 of the output each
        assert quotas.with_room(["a"], request, 10.0) == ["a"]
        reserved = quotas.take("a", request, 10.0)
    assert quotas.with_room(["a"], short, 10.0) == []  # of the output, 50 are left
    quotas.settle(reserved, {"output_tokens": 10.0}, (), 10.0, 11.0)
    assert quotas.with_room(["a"], long, 11.0) == []  # of the input, 20 are left
    assert quotas.with_room(["a"], short, 11.0) == ["a"]
    quotas.take("a", short, 11.0)
    assert quotas.with_room(["a"], Request(features=np.zeros(1), input_tokens=1), 11.0) == []
    assert quotas.with_room(["a"], short, 60.0) == ["a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arms": ["a"], "output_tokens_per_minute": -1.0}, "output_tokens_per_minute is -1.0; give a number above 0"),
        ({"arms": "a", "requests_per_minute": 1}, "arms of a quota is the string 'a'"),
        ({"arms": [], "requests_per_minute": 1}, "a quota has no arms"),
        ({"arms": ["a"]}, "a quota limits nothing"),
        ({"arms": ["a"], "requests_per_minute": 0}, "requests_per_minute is 0; give a whole number of at least 1"),
        ({"arms": ["a"], "tokens_per_minute": 0.0}, "tokens_per_minute is 0.0; give a number above 0"),
    ],
)
def test_bad_quota_is_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Quota(**given)


def test_quotas_of_unknown_arms_and_of_the_same_arms_are_refused():
    with pytest.raises(InvalidConfigurationError, match="unknown arm 'c'; known arms: a, b"):
        check_quotas([Quota(arms=["c"], requests_per_minute=1)], ARMS)
    with pytest.raises(InvalidConfigurationError, match="two quotas are of the same arms"):
        check_quotas([Quota(arms=["a"], requests_per_minute=1)] * 2, ARMS)
