"""The answers worth grading: by brute force, where the answer is obvious, from a database, and for a baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from banditroute import InvalidInputError, Router, SQLStore
from banditroute.evaluate import to_grade
from banditroute.evaluate.to_grade import _Contest, _Decisions, _Model
from banditroute.logs import DecisionLog


def make(seed=0, *, rows=300, graded=60, arms=3, d=3):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=(rows, d - 1)), np.ones(rows)])
    theta = rng.normal(size=(arms, d))
    chosen = rng.integers(arms, size=rows)
    quality = 1.0 / (1.0 + np.exp(-(x * theta[chosen]).sum(axis=1)))
    quality[graded:] = np.nan
    return DecisionLog(
        arms=tuple("abc"[:arms]),
        chosen=chosen,
        eligible=np.ones((rows, arms), dtype=bool),
        contexts=x,
        outcomes={"quality": quality},
        decided_at=np.arange(float(rows)),
    )


def test_variances_after_a_grade_are_those_of_a_new_fit():
    log = make()
    x, worth = log.contexts, log.outcomes["quality"]
    model = _Model(x, log.chosen, worth, arms=3)
    row = 100
    model.grade(int(log.chosen[row]), x[row])
    more = worth.copy()
    more[row] = 0.3
    assert model.inverses == pytest.approx(_Model(x, log.chosen, more, arms=3).inverses)


def test_score_is_the_derivative_of_the_gain_that_is_left():
    """By brute force: each score is the variance that a grade removes, times the rate at which that loses gain."""
    log = make(rows=40, graded=20)
    x, worth = log.contexts, log.outcomes["quality"]
    model = _Model(x, log.chosen, worth, arms=3)
    traffic = x[:10]
    scores = _Decisions(model, traffic).scores(x, log.chosen, np.isnan(worth))
    means, before = model.means(traffic), model.variances(traffic, model.inverses)

    def left(gap, variance):  # E max(0, N(-gap, variance)), by sums over a fine grid
        z = np.linspace(-8.0, 8.0, 4001)
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) * (z[1] - z[0])
        return float((np.maximum(np.sqrt(variance) * z - gap, 0.0) * density).sum())

    for row in (25, 30, 38):
        arm = int(log.chosen[row])
        fresh = _Model(x, log.chosen, worth, arms=3)
        fresh.grade(arm, x[row])
        after = fresh.variances(traffic, fresh.inverses)
        expected = 0.0
        for j in range(len(traffic)):
            best = int(means[j].argmax())
            for other in set(range(3)) - {best}:
                gap, v = means[j, best] - means[j, other], before[j, best] + before[j, other]
                slope = (left(gap, v * 1.001) - left(gap, v * 0.999)) / (0.002 * v)
                expected += slope * sum(before[j, k] - after[j, k] for k in (best, other) if k == arm)
        assert scores[row] * model.variance == pytest.approx(expected, rel=1e-2)


def test_contest_scores_are_reductions_of_the_variance_of_the_difference():
    log = make(rows=40, graded=20)
    x, worth = log.contexts, log.outcomes["quality"]
    model = _Model(x, log.chosen, worth, arms=3)
    traffic = x[:10]
    scores = _Contest(model, traffic, 2).scores(x, log.chosen, np.isnan(worth))
    ours = np.eye(3)[model.means(traffic).argmax(axis=1)]
    ours[:, 2] -= 1.0

    def variance(model):
        sums = ours.T @ traffic / len(traffic)
        return model.variance * sum(c @ s @ c for c, s in zip(sums, model.inverses, strict=True))

    for row in (21, 33):
        fresh = _Model(x, log.chosen, worth, arms=3)
        fresh.grade(int(log.chosen[row]), x[row])
        assert scores[row] * model.variance == pytest.approx(variance(model) - variance(fresh))


def test_only_ungraded_answers_are_named_and_each_once():
    found = to_grade(make(), 50)
    assert len({*found.rows}) == 50
    assert min(found.rows) >= 60
    assert (found.graded, found.ungraded, found.ids) == (60, 240, ())
    assert 0.0 <= found.gain_after < found.gain_left


def test_fewer_come_back_where_fewer_are_ungraded():
    found = to_grade(make(graded=297), 20)
    assert sorted(found.rows) == [297, 298, 299]


def test_an_arm_that_cannot_be_best_is_not_asked_for():
    log = make(rows=600, graded=500)
    quality = log.outcomes["quality"].copy()
    quality[:500] = np.array([0.9, 0.5, 0.1])[log.chosen[:500]]
    quality[:480][log.chosen[:480] == 0] = np.nan  # the good arm has few grades
    found = to_grade(replace(log, outcomes={"quality": quality}), 30)
    assert "c" not in found.arms
    assert found.arms.count("a") > found.arms.count("b")


def test_a_baseline_asks_for_its_own_grades_too():
    log = make(rows=600, graded=0)
    found = to_grade(log, 40, baseline="c")
    assert found.arms.count("c") >= 15


def test_ids_of_a_database_can_be_graded(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with Router(arms=["a", "b"], features=1, store=SQLStore(url), seed=0) as router:
        made = [router.route([i % 3]) for i in range(60)]
        for each in made[:20]:
            router.feedback(each.id, quality=0.5)
    found = to_grade(url, 5)
    arms = {each.id: each.arm for each in made}
    assert {*found.ids} <= {each.id for each in made[20:]}  # none of those that are graded
    assert [arms[id] for id in found.ids] == [*found.arms]
    assert str(found).count("\n") == 6
    with Router(arms=["a", "b"], features=1, store=SQLStore(url), seed=0) as router:
        assert all(router.feedback(id, quality=1.0) == "accepted" for id in found.ids)
    assert to_grade(url, 5).graded == 25


def test_a_log_without_any_grade_can_ask():
    found = to_grade(make(graded=0), 9)
    assert {*found.arms} == {"a", "b", "c"}  # nothing is known of any


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"n": 0}, "n is 0"), ({"baseline": "z"}, "unknown baseline 'z'"), ({"features": "x"}, "unknown features")],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(InvalidInputError, match=says):
        to_grade(make(), **settings)


def test_one_arm_leaves_nothing_to_decide():
    with pytest.raises(InvalidInputError, match="only the arm 'a'"):
        to_grade(make(arms=1))
