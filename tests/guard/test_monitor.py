"""The watch: the mixture, the rollout by hand, modes, and what is kept of it."""

import json

import numpy as np

from banditroute.core.state import StateSlot
from banditroute.guard import Guard
from banditroute.guard.monitor import RolloutMonitor

WORTH = {"quality": 1.0}
A, B = np.array([1.0, 0.0]), np.array([0.0, 1.0])


class Kept(dict):
    """Pieces of state."""

    def slot(self, name):
        def save(name, blob, merge):
            self[name] = merge(self[name], blob) if merge is not None and name in self else blob

        return StateSlot(name=name, stored=self.get(name), save=save)

    def watch(self, guard, utility_range=(0.0, 1.0)):
        return RolloutMonitor(
            guard=guard,
            utility_range=utility_range,
            slot=self.slot("guard"),
            evidence_slot=self.slot("guard_evidence"),
        )


class Traffic:
    """Requests through a watch: the baseline is the first of two arms, the learner chooses the second."""

    def __init__(self, watch, *, good, bad):
        self.watch, self.outcome = watch, {0: bad, 1: good}
        self.rng = np.random.default_rng(0)
        self.now = 0.0
        self.learner = B

    def serve(self, n=1):
        for _ in range(n):
            self.now += 1.0
            mixed, _ = self.watch.mix(self.learner, A)
            chosen = int(self.rng.random() < mixed.probabilities[1])
            self.watch.enter(str(self.now), chosen, mixed, np.full(2, 0.5), WORTH, None)
            self.watch.report(str(self.now), {"quality": self.outcome[chosen]}, self.now)

    def until(self, share, most=20_000):
        """Requests until the learner's share is another, which has to be ``share``."""
        before, begun = self.watch.rollout().share, self.now
        while self.watch.rollout().share == before:
            self.serve()
            assert self.now - begun < most
        assert self.watch.rollout().share == share
        return self.now - begun


class TestWatch:
    def test_the_mixture_is_exact(self):
        watch = Kept().watch(Guard(baseline={"a": 3.0, "c": 1.0}, shares=[0.2, 0.5]))
        assert watch.baseline(["b"]) is None
        np.testing.assert_allclose(watch.baseline(["c", "b"]), [1.0, 0.0])
        baseline = watch.baseline(["a", "b", "c"])
        np.testing.assert_allclose(baseline, [0.75, 0.0, 0.25])
        mixed, why = watch.mix(np.array([0.1, 0.9, 0.0]), baseline)
        np.testing.assert_allclose(mixed.probabilities, [0.62, 0.18, 0.2])
        assert why == "guard: the learner decides 0.2 of the requests"

    def test_climbs_the_ladder_and_falls_back_to_its_foot(self):
        traffic = Traffic(Kept().watch(Guard(baseline="a")), good=1.0, bad=0.0)
        for share in (0.2, 0.5, 0.95):
            traffic.until(share)
            assert traffic.watch.rollout().since == traffic.now
            assert traffic.watch.rollout().decisions == 0
        traffic.outcome = {0: 1.0, 1: 0.0}
        traffic.until(0.05)
        traffic.serve(3000)
        assert traffic.watch.rollout().share == 0.05

    def test_equally_good_learner_keeps_its_share_unless_a_loss_is_tolerated(self):
        traffic = Traffic(Kept().watch(Guard(baseline="a")), good=0.7, bad=0.7)
        traffic.serve(3000)
        assert traffic.watch.rollout().share == 0.05
        assert traffic.watch.rollout().lower < 0.0 < traffic.watch.rollout().upper
        tolerant = Traffic(Kept().watch(Guard(baseline="a", tolerance=0.05)), good=0.7, bad=0.7)
        tolerant.until(0.2, most=3000)
        lower = -0.05 / 0.5  # what must be excluded before the next share
        while (rollout := tolerant.watch.rollout()).share == 0.2:
            assert rollout.lower <= lower
            tolerant.serve()
        assert tolerant.watch.rollout().share == 0.5

    def test_at_the_whole_traffic_it_rests(self):
        traffic = Traffic(Kept().watch(Guard(baseline="a", shares=[0.5, 1.0])), good=1.0, bad=0.0)
        traffic.until(1.0)
        traffic.outcome = {0: 1.0, 1: 0.0}
        traffic.serve(500)
        rollout = traffic.watch.rollout()
        assert (rollout.share, rollout.decisions, rollout.lower, rollout.upper) == (1.0, 0, -1.0, 1.0)

    def test_every_new_beginning_has_less_room_for_error(self):
        watch = Kept().watch(Guard(baseline="a", alpha=0.1))
        room = []
        for now in range(1, 6):
            room.append(watch._bounds._alpha / 2.0)
            watch.set_mode("apply", float(now))
        np.testing.assert_allclose(room, [0.1 / 2.0, 0.1 / 6.0, 0.1 / 12.0, 0.1 / 20.0, 0.1 / 30.0])

    def test_outcomes_in_parts_count_once(self):
        watch = Kept().watch(Guard(baseline="a", shares=[0.5]), (-1.0, 1.0))
        mixed, _ = watch.mix(B, A)
        worth = {"quality": 1.0, "cost_usd": -50.0}
        watch.enter("x", 1, mixed, np.zeros(2), worth, None)
        watch.report("x", {"quality": 1.0}, 1.0)
        watch.report("never seen", {"quality": 1.0, "cost_usd": 0.0}, 1.0)
        assert watch.rollout().decisions == 0
        watch.report("x", {"cost_usd": 0.001}, 2.0)
        watch.report("x", {"cost_usd": 0.001}, 3.0)
        assert watch.rollout().decisions == 1

    def test_signal_of_an_escalated_answer_counts_as_its_quality(self):
        watch = Kept().watch(Guard(baseline="a"))
        for id, outcome in (("x", "quality of 1"), ("y", "quality of 2"), ("z", "passed over for x")):
            watch.enter(id, 0, watch.mix(B, A)[0], np.zeros(2), WORTH, None)
            watch.report(id, {outcome: 0.5}, 1.0)
        assert watch.rollout().decisions == 1

    def test_a_utility_out_of_range_counts_as_its_edge(self):
        bounds = []
        for quality in (1.0, 50.0):
            traffic = Traffic(Kept().watch(Guard(baseline="a", shares=[0.5])), good=quality, bad=0.0)
            traffic.serve(50)
            bounds.append(traffic.watch.rollout())
        assert bounds[0] == bounds[1]

    def test_decisions_before_a_change_of_mode_do_not_count(self):
        watch = Kept().watch(Guard(baseline="a"))
        mixed, _ = watch.mix(B, A)
        watch.enter("x", 1, mixed, np.zeros(2), WORTH, None)
        watch.set_mode("apply", 1.0)
        watch.report("x", {"quality": 1.0}, 2.0)
        assert watch.rollout().decisions == 0

    def test_does_not_wait_for_outcomes_for_ever(self, monkeypatch):
        monkeypatch.setattr("banditroute.guard.monitor._MAX_OPEN", 3)
        watch = Kept().watch(Guard(baseline="a"))
        for id in "abcd":
            watch.enter(id, 0, watch.mix(B, A)[0], np.zeros(2), WORTH, None)
        for id in "abcd":
            watch.report(id, {"quality": 1.0}, 1.0)
        assert watch.rollout().decisions == 3


class TestModes:
    def test_observed_among_what_the_baseline_tries(self):
        watch = Kept().watch(Guard(baseline={"a": 0.9, "b": 0.1}, mode="observe"))
        baseline = watch.baseline(["a", "b", "c"])
        mixed, why = watch.mix(np.array([0.1, 0.3, 0.6]), baseline)
        np.testing.assert_allclose(mixed.probabilities, [0.9, 0.1, 0.0])
        np.testing.assert_allclose(mixed.learner, [0.25, 0.75, 0.0])
        assert why == "guard: mode observe"
        rng = np.random.default_rng(0)
        for i in range(6000):
            chosen = int(rng.random() < 0.1)
            watch.enter(str(i), chosen, mixed, np.full(3, 0.5), WORTH, None)
            watch.report(str(i), {"quality": float(rng.random() < (0.2, 0.9)[chosen])}, float(i))
        rollout = watch.rollout()
        assert rollout.share == 0.0
        assert rollout.decisions == 6000
        assert 0.25 < rollout.lower < 0.65 * 0.7 < rollout.upper < 0.7  # .75 - .1 more of an arm .7 better

    def test_one_arm_alone_shows_nothing(self):
        watch = Kept().watch(Guard(baseline="a", mode="observe"))
        mixed, _ = watch.mix(B, A)
        np.testing.assert_array_equal(mixed.probabilities, A)
        watch.enter("x", 0, mixed, np.zeros(2), WORTH, None)
        watch.report("x", {"quality": 1.0}, 1.0)
        assert watch.rollout().decisions == 0

    def test_bypassed_learner_gets_no_share(self):
        traffic = Traffic(Kept().watch(Guard(baseline="a", mode="bypass")), good=1.0, bad=0.0)
        traffic.serve(200)
        rollout = traffic.watch.rollout()
        assert (rollout.mode, rollout.share, rollout.decisions) == ("bypass", 0.0, 0)


class TestState:
    def test_resumes_where_it_was(self):
        kept = Kept()
        traffic = Traffic(kept.watch(Guard(baseline="a")), good=1.0, bad=0.0)
        traffic.serve(50)
        again = kept.watch(Guard(baseline="a"))
        assert again.rollout() == traffic.watch.rollout()
        assert again.rollout().decisions == 50
        traffic.until(0.2)
        assert kept.watch(Guard(baseline="a")).rollout() == traffic.watch.rollout()
        traffic.serve(30)
        assert kept.watch(Guard(baseline="a")).rollout() == traffic.watch.rollout()

    def test_a_guard_with_other_settings_begins_anew(self):
        kept = Kept()
        traffic = Traffic(kept.watch(Guard(baseline="a")), good=1.0, bad=0.0)
        traffic.until(0.2)
        traffic.serve(10)
        for guard, utility_range in (
            (Guard(baseline="b"), (0.0, 1.0)),
            (Guard(baseline="a", tolerance=0.1), (0.0, 1.0)),
            (Guard(baseline="a"), (0.0, 2.0)),
        ):
            rollout = kept.watch(guard, utility_range).rollout()
            assert (rollout.share, rollout.decisions) == (0.05, 0)

    def test_goes_where_another_process_has_gone(self):
        kept = Kept()
        here, there = Traffic(kept.watch(Guard(baseline="a")), good=1.0, bad=0.0), kept.watch(Guard(baseline="a"))
        there.follow(kept.get("guard"))
        here.until(0.2)
        assert there.rollout().share == 0.05
        there.follow(kept["guard"])
        assert (there.rollout().share, there.rollout().since) == (0.2, here.now)
        there.set_mode("bypass", here.now + 1.0)
        here.watch.follow(kept["guard"])
        assert here.watch.rollout() == there.rollout()

    def test_a_slower_process_does_not_store_an_earlier_stage(self):
        kept = Kept()
        here, there = kept.watch(Guard(baseline="a")), kept.watch(Guard(baseline="a"))
        here.set_mode("bypass", 2.0)
        there.set_mode("observe", 1.0)
        assert kept.watch(Guard(baseline="a")).rollout().mode == "bypass"

    def test_a_stage_set_by_a_clock_that_was_set_back_is_the_latest(self):
        kept = Kept()
        watch = kept.watch(Guard(baseline="a"))
        watch.set_mode("observe", 5.0)
        watch.set_mode("bypass", 1.0)
        assert kept.watch(Guard(baseline="a")).rollout().mode == "bypass"

    def test_the_latest_change_holds_whoever_wrote_last(self):
        kept = Kept()
        here, there = kept.watch(Guard(baseline="a")), kept.watch(Guard(baseline="a"))
        there.set_mode("observe", 1.0)
        earlier = kept["guard"]
        here.set_mode("bypass", 2.0)
        kept["guard"] = earlier  # as if the other had been slower to write
        here.follow(earlier)
        assert here.rollout().mode == "bypass"
        there.follow(kept["guard"])
        assert there.rollout().mode == "bypass"

    def test_evidence_never_overwrites_a_change(self):
        kept = Kept()
        slow = Traffic(kept.watch(Guard(baseline="a")), good=1.0, bad=0.0)
        kept.watch(Guard(baseline="a")).set_mode("bypass", 1.0)
        slow.serve(5)
        assert json.loads(kept["guard"])["mode"] == "bypass"
        again = kept.watch(Guard(baseline="a")).rollout()
        assert (again.mode, again.decisions) == ("bypass", 0)
