"""Profiles of evaluated prompts: what they hold, and what a router makes of them."""

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError, InvalidRequestError
from banditroute.features import Compose, Metadata, TextFeatures
from banditroute.learners import profile
from banditroute.router import Router
from banditroute.store import SQLStore

TASK = Metadata(categorical={"task": ["math", "code"]}, numeric={"input_tokens": (0, 100)})
PROFILE = {"quality": {"math": 0.9, "code": 0.3}}


def results(n, **qualities):
    return [
        (Request(text="Why?", metadata={"task": task}), {"quality": quality})
        for task, quality in qualities.items()
        for _ in range(n)
    ]


def qualities(router, arm):
    """What a router expects of an arm at math and at code."""
    found = []
    for task in ("math", "code"):
        rows = router.route("Why?", metadata={"task": task}).explain().rows
        found += [row.predictions["quality"][0] for row in rows if row.arm == arm]
    return found


def test_a_profile_says_what_each_task_gives_and_the_average():
    made = profile("new", results(100, math=0.9, code=0.3), features=TASK)
    assert made.expected == pytest.approx({"quality": 0.6})
    assert made.profile["quality"] == pytest.approx(
        {"metadata.task.math": 0.6 + 0.3 * 100 / 104, "metadata.task.code": 0.6 - 0.3 * 100 / 104}
    )


def test_entries_with_few_results_are_left_out():
    rows = results(50, math=0.9) + results(2, code=0.0)
    assert list(profile("new", rows, features=TASK).profile["quality"]) == ["metadata.task.math"]


def test_features_without_shares_give_the_average_alone():
    rows = [(f"Question {k}?", {"quality": float(k % 2)}) for k in range(20)]
    made = profile(Arm(name="new", max_cost_usd=0.1), rows, features=TextFeatures())
    assert (made.expected, made.profile, made.max_cost_usd) == ({"quality": 0.5}, {}, 0.1)


def test_text_next_to_a_declared_task_does_not_disturb_it():
    features = Compose(blocks=[TextFeatures(), TASK])
    made = profile("new", results(100, math=0.9, code=0.3), features=features)
    assert made.profile == profile("new", results(100, math=0.9, code=0.3), features=TASK).profile


@pytest.mark.parametrize("wrong", ["text", [("a",)], [(1, {"quality": 1.0})]])
def test_results_of_another_form_are_refused(wrong):
    with pytest.raises(InvalidRequestError):
        profile("new", wrong, features=TASK)


@pytest.mark.parametrize("wrong", [[], [("a", {})], [("a", {"quality": float("nan")})]])
def test_results_without_outcomes_are_refused(wrong):
    with pytest.raises(InvalidFeedbackError):
        profile("new", wrong, features=TASK)


@pytest.mark.parametrize("wrong", [{"quality": 0.9}, {"quality": {}}, {"quality": {"math": float("inf")}}])
def test_a_profile_of_another_form_is_refused(wrong):
    with pytest.raises(InvalidConfigurationError, match="profile"):
        Arm(name="new", profile=wrong)


def test_a_newcomer_is_expected_to_do_what_its_profile_says_and_a_wrong_one_is_unlearned():
    router = Router(arms=["old"], features=TASK, seed=0)
    for task in ("math", "code") * 100:
        decision = router.route("Why?", metadata={"task": task})
        router.feedback(decision.id, quality=0.6)
    router.add_arm(Arm(name="new", profile=PROFILE))
    assert qualities(router, "new") == pytest.approx([0.9, 0.3], abs=0.01)
    for task in ("math", "code") * 100:  # the other way round
        decision = router.route("Why?", arms=["new"], metadata={"task": task})
        router.feedback(decision.id, quality=0.3 if task == "math" else 0.9)
    assert qualities(router, "new") == pytest.approx([0.3, 0.9], abs=0.15)


def test_a_profile_holds_after_outcomes_are_folded_and_the_router_restarts(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    settings = {"arms": ["old", Arm(name="new", profile=PROFILE)], "features": TASK, "seed": 0}
    with Router(store=SQLStore(url), **settings) as router:
        for task in ("math", "code") * 20:
            decision = router.route("Why?", arms=["old"], metadata={"task": task})
            router.feedback(decision.id, quality=0.6)
        before = qualities(router, "new")
    for _ in range(2):
        with Router(store=SQLStore(url), **settings) as router:
            assert qualities(router, "new") == pytest.approx(before, abs=1e-9)
    np.testing.assert_allclose(before, [0.9, 0.3], atol=0.01)


def test_an_unknown_entry_leaves_the_arms_as_they_were():
    router = Router(arms=["old"], features=TASK, seed=0)
    with pytest.raises(InvalidConfigurationError, match=r"metadata\.task\.math"):
        router.add_arm(Arm(name="new", profile={"quality": {"maths": 0.9}}))
    assert router.route("Why?").arm == "old"
    assert [arm.name for arm in router.arms] == ["old"]
