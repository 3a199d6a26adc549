"""A router opened again on its database predicts what it predicted before, on real prompts and outcomes."""

import numpy as np
import pytest

from banditroute import Arm, LinUCB, Router, SQLStore, TextFeatures, ThompsonSampling
from banditroute.core.preference import Preference
from banditroute.logs import read_outcomes
from tests.support import make_router, serve


@pytest.mark.parametrize("learner", [LinUCB(), ThompsonSampling()], ids=["linucb", "thompson"])
@pytest.mark.parametrize("requests", [30, 400], ids=["all pending until close", "folded in between"])
def test_predictions_survive_a_restart_to_1e_12(small_log, tmp_path, learner, requests):
    log = read_outcomes(small_log)
    features, url = TextFeatures(), f"sqlite:///{tmp_path / 'routes.db'}"
    settings = {
        "arms": log.arms,
        "features": features,
        "learner": learner,
        "preference": Preference(quality=1.0, cost_usd=10.0),
    }
    with Router(**settings, store=SQLStore(url), seed=1) as router:
        for i in range(requests):
            row = i % len(log)
            decision = router.route(log.prompts[row])
            k = log.arms.index(decision.arm)
            cost, quality = (float(log.outcomes[name][row, k]) for name in ("cost_usd", "quality"))
            router.feedback(decision.id, cost_usd=cost)
            if i % 5:  # some never get a verdict, the others get it apart
                router.feedback(decision.id, quality=quality)
        before = [router.route(prompt) for prompt in log.prompts]
        learned = router.status().learned
    with Router(**settings, store=SQLStore(url), seed=1) as again:
        assert again.status().learned == learned == requests
        for prompt, old in zip(log.prompts, before, strict=True):
            new = again.route(prompt)
            order = [new.objectives.index(name) for name in old.objectives]
            np.testing.assert_allclose(new.means[order], old.means, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(new.stds[order], old.stds, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(new.probabilities, old.probabilities, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("arms", "warnings"),
    [
        (["a", "c"], 1),  # b was renamed, perhaps
        (["a"], 0),  # b was removed
        (["a", "b", "c"], 0),  # c was added
        (["a", Arm(name="c", replaces="b")], 0),  # c succeeds b
    ],
    ids=["renamed", "removed", "added", "replaced"],
)
def test_a_restart_warns_once_where_a_known_arm_is_gone_and_an_unknown_one_is_there(tmp_path, caplog, arms, warnings):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with make_router("a", "b", store=SQLStore(url)) as router:
        for name in ("a", "b"):
            serve(router, name, quality=1.0)
    assert caplog.messages == []
    with make_router(*arms, store=SQLStore(url)):
        pass
    assert len(caplog.messages) == warnings
    if warnings:
        assert "has feedback for b, which is not in the pool, and starts c without any" in caplog.text
        assert "Arm(replaces=...)" in caplog.text
