"""Conditions: what they do to a table, to feedback and to a pass, and that a seed gives them again to the bit."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.objectives import Objective
from banditroute.objectives.objective import QUALITY
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Absence, Channel, Conditions, Outage, Popularity, Price
from banditroute.simulate.metrics import mixture, references, summarize
from banditroute.simulate.replay import replay

PREFER = Preference(quality=1.0)
ROUGH = Conditions(
    requests_per_second=2.0,
    poisson=True,
    feedback={"quality": Channel(delay_seconds=20.0, loss=0.3, noise=0.1)},
    outages=[Outage(arm="a", begin=0.2, end=0.4)],
    absences=[Absence(arm="b", end=0.5)],
    prices=[Price(arm="a", begin=0.5, factor=10.0)],
    popularity=[Popularity(task="sums", begin=0.5, factor=5.0)],
)


@pytest.fixture
def table():
    n = 200
    return OutcomeTable(
        name="made",
        prompts=tuple(map(str, range(n))),
        tasks=("sums", "odes") * (n // 2),
        arms=("a", "b", "c"),
        outcomes={"quality": np.tile([0.9, 0.6, 0.3], (n, 1)), "cost_usd": np.tile([0.01, 0.002, 0.001], (n, 1))},
    )


@pytest.fixture
def reported(monkeypatch):
    """Time, decision and outcomes of all feedback; the decisions."""
    heard, made = [], []
    feedback, route = Router.feedback, Router.route
    monkeypatch.setattr(
        Router, "feedback", lambda self, id, **v: heard.append((self.status().at, id, v)) or feedback(self, id, **v)
    )
    monkeypatch.setattr(Router, "route", lambda self, *a, **k: made.append(route(self, *a, **k)) or made[-1])
    return heard, made


def go(table, conditions, *, learner=None, seed=0):
    x = (np.arange(len(table)) % 2).astype(float)[:, None]
    return replay(table, x, learner=learner or ThompsonSampling(), preference=PREFER, seed=seed, conditions=conditions)


@pytest.mark.parametrize("learner", [ThompsonSampling(), LinUCB(), EpsilonGreedy()], ids=repr)
def test_a_seed_gives_the_same_to_the_bit(table, reported, learner):
    heard, made = reported
    seen = []
    for seed in (3, 3, 4):
        heard.clear(), made.clear()
        trace = go(table, ROUGH, learner=learner, seed=seed)
        number = {each.id: i for i, each in enumerate(made)}
        seen.append(
            (
                trace.rows.tolist(),
                trace.chosen.tolist(),
                [(each.decided_at, each.probabilities.tolist(), each.means.tolist()) for each in made],
                [(at, number[id], values) for at, id, values in heard],
            )
        )
    assert seen[0] == seen[1]
    assert all(one != other for one, other in zip(seen[0], seen[2], strict=True))


def test_requests_and_noise_do_not_depend_on_the_policy(table):
    traces = [go(table, ROUGH, learner=learner, seed=1) for learner in (LinUCB(), Learner(policy=Uniform()))]
    assert traces[0].rows.tolist() == traces[1].rows.tolist()
    values = np.full((50, 2), 0.5)
    told = [Channel(noise=0.1, loss=0.2).reports(values, QUALITY, seed=7)[0] for _ in range(2)]
    assert np.array_equal(told[0], told[1], equal_nan=True)


def test_arrivals_are_regular_or_poisson():
    assert Conditions(requests_per_second=4.0).arrivals(3, seed=0).tolist() == [0.25, 0.5, 0.75]
    gaps = np.diff(Conditions(requests_per_second=4.0, poisson=True).arrivals(20_000, seed=0))
    assert gaps.mean() == pytest.approx(0.25, abs=4 * 0.25 / np.sqrt(20_000))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as an exponential distribution has it


class TestChannel:
    def test_delay_loss_and_noise_are_as_asked(self):
        n = 20_000
        told, delays = Channel(delay_seconds=30.0, loss=0.25, noise=0.05).reports(np.full((n, 2), 0.5), QUALITY, seed=0)
        lost = np.isnan(told[:, 0])
        assert np.array_equal(lost, np.isnan(told[:, 1]))
        assert lost.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / n))
        assert delays.mean() == pytest.approx(30.0, rel=0.03)
        assert np.nanstd(told) == pytest.approx(0.05, rel=0.03)
        assert np.nanmean(told) == pytest.approx(0.5, abs=0.002)

    def test_noise_stays_in_the_range_and_what_is_unknown_unknown(self):
        told, _ = Channel(noise=5.0).reports(np.array([[0.5, np.nan]] * 100), QUALITY, seed=0)
        assert set(np.unique(told[:, 0])) >= {0.0, 1.0}
        assert told[:, 0].min() == 0.0
        assert np.isnan(told[:, 1]).all()

    def test_objectives_have_noise_of_their_own(self):
        stars = Objective(name="stars", higher_is_better=True, low=0.0, high=1.0)
        one, other = (Channel(noise=0.1).reports(np.full((9, 1), 0.5), what, seed=0)[0] for what in (QUALITY, stars))
        assert not np.array_equal(one, other)


def test_late_feedback_comes_in_the_order_of_its_time_and_never_early(table, reported):
    heard, made = reported
    go(table, Conditions(feedback={"quality": Channel(delay_seconds=15.0)}))
    decided = {each.id: each.decided_at for each in made}
    assert [at for at, _, _ in heard] == sorted(at for at, _, _ in heard)
    late = [(at - decided[id]) for at, id, values in heard if "quality" in values]
    assert min(late) > 0.0
    assert np.mean(late) == pytest.approx(15.0, rel=0.3)
    at_once = [(at, id) for at, id, values in heard if values.keys() == {"cost_usd"}]
    assert at_once == [(each.decided_at, each.id) for each in made]
    assert all(values.keys() in ({"cost_usd"}, {"quality"}) for _, _, values in heard)


def test_a_channel_without_delay_changes_nothing_that_is_chosen(table):
    assert go(table, Conditions()).chosen.tolist() == go(table, Conditions(poisson=True)).chosen.tolist()
    quality_only = OutcomeTable(
        name="q", prompts=table.prompts, tasks=table.tasks, arms=table.arms,
        outcomes={"quality": table.outcomes["quality"]},
    )  # fmt: skip
    through = Conditions(feedback={"quality": Channel()})
    assert go(quality_only, through).chosen.tolist() == go(quality_only, Conditions()).chosen.tolist()


def test_lost_outcomes_are_not_learned(table):
    trace = go(table, Conditions(feedback={"quality": Channel(loss=1.0), "cost_usd": Channel(loss=1.0)}))
    shares = np.bincount(trace.chosen) / len(table)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.15)


def test_an_outage_is_met_as_failure_and_the_breaker_acts(table, reported):
    heard, _ = reported
    conditions = Conditions(outages=[Outage(arm="a", begin=0.5, end=1.0)])
    trace = go(table, conditions, learner=EpsilonGreedy(), seed=1)
    assert (trace.chosen[20:100] == 0).mean() > 0.8
    assert (trace.chosen[120:] == 0).mean() < 0.2
    failures = [values for _, _, values in heard if "failed" in values]
    assert len(failures) == (trace.chosen[100:] == 0).sum() > 0
    assert all(values == {"failed": True} for values in failures)
    row = summarize(table, PREFER, "p", [trace], conditions=conditions)
    had = np.where((trace.chosen == 0) & (np.arange(200) >= 100), 0.0, np.array([0.9, 0.6, 0.3])[trace.chosen])
    assert row.utility.mean == pytest.approx(had.mean())


def test_an_absent_arm_is_not_chosen_and_is_found_when_it_comes(table):
    trace = go(table, Conditions(absences=[Absence(arm="a", begin=0.25, end=0.5)]))
    assert not (trace.chosen[50:100] == 0).any()
    assert (trace.chosen[:50] == 0).any()
    assert (trace.chosen[150:] == 0).mean() > 0.8
    late = go(table, Conditions(absences=[Absence(arm="a", end=0.5), Absence(arm="b", begin=0.5)]))
    assert not (late.chosen[:100] == 0).any()
    assert not (late.chosen[100:] == 1).any()


def test_conditions_that_leave_no_arm_are_refused(table):
    gone = [Absence(arm=arm, begin=0.5) for arm in table.arms]
    with pytest.raises(InvalidConfigurationError, match="is the last arm"):
        go(table, Conditions(absences=gone))
    quality = np.array([[0.5, np.nan]] * 10)
    partial = OutcomeTable(
        name="p", prompts=("",) * 10, tasks=("",) * 10, arms=("a", "b"), outcomes={"quality": quality}
    )
    with pytest.raises(InvalidRequestError):
        go(partial, Conditions(absences=[Absence(arm="a")]))


def test_a_price_acts_on_cost_from_then_on(table):
    x, preference = np.zeros((200, 0)), Preference(quality=1.0, cost_usd=20.0)
    conditions = Conditions(prices=[Price(arm="a", begin=0.5, factor=10.0)])
    trace = replay(table, x, learner=ThompsonSampling(), preference=preference, seed=0, conditions=conditions)
    assert (trace.chosen[50:100] == 0).mean() > 0.8  # worth .9 - .2
    assert (trace.chosen[170:] == 0).mean() < 0.2  # worth .9 - 2


def test_a_task_becomes_popular(table):
    popular = Conditions(popularity=[Popularity(task="sums", end=0.25, factor=1e6)])
    tasks = np.array(table.tasks)[go(table, popular, seed=2).rows]
    assert (tasks[:50] == "sums").all()
    assert (tasks[50:] == "odes").sum() == 100
    assert sorted(go(table, popular).rows) == list(range(200))


def test_a_log_in_the_order_of_time(table):
    trace = replay(
        table,
        np.zeros((200, 0)),
        learner=LinUCB(),
        preference=PREFER,
        seed=5,
        warm=20,
        conditions=Conditions(chronological=True),
    )
    assert trace.rows.tolist() == list(range(20, 200))


class TestMet:
    def test_met_outcomes_equal_the_hand_computed_ones(self, table):
        met = ROUGH.met(table, np.arange(200)[::-1])
        assert met.prompts[0] == "199"
        assert met.tasks[0] == "odes"
        assert met.outcomes["quality"][50].tolist() == pytest.approx([0.0, np.nan, 0.3], nan_ok=True)
        assert met.outcomes["cost_usd"][50].tolist() == pytest.approx([0.0, np.nan, 0.001], nan_ok=True)
        assert met.outcomes["cost_usd"][150].tolist() == pytest.approx([0.1, 0.002, 0.001])
        assert table.outcomes["cost_usd"][0, 0] == 0.01  # the log itself is as it was

    def test_outage_gives_standard_outcomes_of_arms_that_could_be_asked(self):
        outcomes = {"quality": np.array([[1.0, np.nan]]), "stars": np.array([[5.0, 4.0]])}
        table = OutcomeTable(name="s", prompts=("",), tasks=("",), arms=("a", "b"), outcomes=outcomes)
        met = Conditions(outages=[Outage(arm="a"), Outage(arm="b")]).met(table, np.array([0]))
        assert met.outcomes["quality"].tolist()[0] == pytest.approx([0.0, np.nan], nan_ok=True)
        assert np.isnan(met.outcomes["stars"][0, 0])


class TestReferences:
    def test_an_arm_that_goes_has_no_line_and_the_best_is_the_best_that_is_there(self, table):
        conditions = Conditions(absences=[Absence(arm="a", begin=0.5)])
        orders = [np.arange(200), np.arange(200)[::-1]]
        rows = {row.policy: row for row in references(table, PREFER, conditions=conditions, orders=orders)}
        assert "always a" not in rows
        assert rows["oracle per query"].utility.mean == pytest.approx((0.9 + 0.6) / 2)
        assert rows["oracle per query"].regret.mean == pytest.approx(0.0)
        assert rows["always b"].regret.mean == pytest.approx(100 * 0.3)
        assert rows["always b"].utility.n == 2
        assert rows["always b"].objectives.keys() == {"quality", "cost_usd"}

    def test_a_mixture_shares_out_what_is_there(self, table):
        conditions = Conditions(absences=[Absence(arm="a", begin=0.5)])
        uniform = mixture(table, PREFER, "uniform", dict.fromkeys(table.arms, 1 / 3), conditions=conditions)
        assert uniform.utility.mean == pytest.approx((0.6 + 0.45) / 2)
        assert uniform.shares == pytest.approx({"a": 1 / 6, "b": (1 / 3 + 1 / 2) / 2, "c": (1 / 3 + 1 / 2) / 2})
        only = mixture(table, PREFER, "a", {"a": 1.0}, conditions=conditions)
        assert only.utility.mean == pytest.approx((0.9 + 0.45) / 2)  # without it, the others alike


class TestRefusals:
    @pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf"), True, "1", None])
    @pytest.mark.parametrize(
        "make",
        [
            lambda bad: Channel(delay_seconds=bad),
            lambda bad: Channel(loss=bad),
            lambda bad: Channel(noise=bad),
            lambda bad: Outage(arm="a", begin=bad),
            lambda bad: Absence(arm="a", end=bad),
            lambda bad: Price(arm="a", factor=bad),
            lambda bad: Popularity(task="t", factor=bad),
            lambda bad: Conditions(requests_per_second=bad),
        ],
    )
    def test_bad_numbers_are_refused(self, make, bad):
        with pytest.raises(InvalidConfigurationError):
            make(bad)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Channel(loss=1.1),
            lambda: Outage(arm="a", begin=0.5, end=0.5),
            lambda: Price(arm="a", begin=0.9, end=0.1, factor=2.0),
            lambda: Popularity(task="t", factor=0.0),
            lambda: Popularity(task="t", factor=1e7),
            lambda: Conditions(outages=["a"]),
            lambda: Conditions(absences=[Outage(arm="a")]),
            lambda: Conditions(feedback={"quality": 3.0}),
            lambda: Conditions(paging=0.4),
            lambda: Conditions(requests_per_second=0.0),
        ],
    )
    def test_bad_ranges_are_refused(self, make):
        with pytest.raises(InvalidConfigurationError):
            make()

    @pytest.mark.parametrize(
        "conditions",
        [
            Conditions(outages=[Outage(arm="z")]),
            Conditions(absences=[Absence(arm="z")]),
            Conditions(prices=[Price(arm="z", factor=2.0)]),
            Conditions(popularity=[Popularity(task="z", factor=2.0)]),
            Conditions(feedback={"z": Channel()}),
            Conditions(paging=AdapterSlots(slots=1, load_seconds={"a": 1.0, "z": 1.0})),
        ],
    )
    def test_conditions_that_name_unknown_things_are_refused(self, table, conditions):
        with pytest.raises(InvalidConfigurationError, match="conditions name 'z', which is not in the log; there are"):
            go(table, conditions)


class TestOf:
    def test_as_a_file_gives_them(self):
        paged = replace(ROUGH, paging=AdapterSlots(slots=2, load_seconds={"a": 0.4}, control="lru"))
        for conditions in (ROUGH, paged):
            assert Conditions.of(asdict(conditions)) == conditions
        assert (
            Conditions.of({"paging": {"slots": 2, "load_seconds": {"a": 0.4}, "control": "lru"}}).paging == paged.paging
        )
        assert Conditions.of({}) == Conditions()

    @pytest.mark.parametrize(
        "settings",
        [
            {"weather": "rain"},
            {"outages": [{"end": 0.5}]},
            {"outages": [3]},
            {"outages": {"arm": "a"}},
            {"outages": 3},
            {"feedback": {"quality": {"lag": 3}}},
            {"feedback": [1]},
            {"requests_per_second": "many"},
            {"poisson": "yes"},
            {"paging": {"slots": 2}},
            {"paging": {"slots": 2, "load_seconds": "fast"}},
            {"paging": 2},
            {"chronological": 1},
        ],
    )
    def test_unknown_settings_are_refused(self, settings):
        with pytest.raises(InvalidConfigurationError):
            Conditions.of(settings)
