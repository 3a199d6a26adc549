"""Another version of the features is said once, with what to do."""

from __future__ import annotations

import pytest

from banditroute import Router, SQLStore
from banditroute.features import Complexity, TextFeatures


def warnings(caplog):
    found = [record.getMessage() for record in caplog.records if "other features" in record.getMessage()]
    caplog.clear()
    return found


def serve(url, features, name="default"):
    with Router(arms=["a", "b"], features=features, name=name, store=SQLStore(url), store_prompts=True) as router:
        decision = router.route("Explain transactions.")
        router.feedback(decision.id, quality=1.0)
        return router.status().learned


def test_changed_features_are_said_once_with_both_versions(url, caplog):
    old, new = Complexity(), TextFeatures()
    serve(url, old)
    assert warnings(caplog) == []
    serve(url, new, name="another router")
    assert warnings(caplog) == []
    assert serve(url, new) == 1
    (said,) = warnings(caplog)
    assert old.version[:40] in said
    assert new.version[:40] in said
    assert "features.md" in said
    serve(url, new)
    serve(url, old)
    assert warnings(caplog) == []


def test_stored_prompts_are_learned_again_in_new_features(url):
    from banditroute.logs import read_log

    with Router(arms=["a", "b"], features=Complexity(), store=SQLStore(url), store_prompts=True, seed=0) as router:
        for number in range(30):
            decision = router.route(f"Add {number} and {number}.")
            router.feedback(decision.id, quality=float(decision.arm == "b"))
    log = read_log(url)
    rows = [
        (prompt, {log.arms[chosen]: {"quality": quality}})
        for prompt, chosen, quality in zip(log.prompts, log.chosen, log.outcomes["quality"], strict=True)
    ]
    with Router(arms=["a", "b"], features=TextFeatures(), store=SQLStore(url), seed=0) as router:
        router.warm_start(rows)
        means = router.route("Add 7 and 7.").means[0]
        assert means[1] > means[0] + 0.3


@pytest.mark.parametrize("features", [3, 5])
def test_another_dimension_is_logged(url, caplog, features):
    with Router(arms=["a"], features=2, store=SQLStore(url)) as router:
        router.route([1.0, 2.0])
    Router(arms=["a"], features=features, store=SQLStore(url)).close()
    (said,) = warnings(caplog)
    assert f"({features + 1} numbers)" in said
    assert "(3 numbers)" in said
