"""The explanation of a decision of the past."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import Preference, Router, SQLStore, admin
from banditroute.cli import main
from banditroute.errors import InvalidConfigurationError, InvalidInputError, UnknownDecisionError
from banditroute.features import TextFeatures
from banditroute.learners import LinUCB
from tests.support import belief_of

PROMPTS = ("Prove by induction that the sum of the first n odd numbers is n squared.", "hello there, how are you?")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'routes.db'}"


def fill(url, *, n=60, **settings):
    """Let a router decide, and report that large is right and small only on the second prompt; return the last one."""
    with Router(arms=["small", "large"], store=SQLStore(url), seed=1, **settings) as router:
        for i in range(n):
            decision = router.route(PROMPTS[i % 2], session="Ann", tags=["chat"])
            right = decision.arm == "large" or i % 2 == 1
            router.feedback(decision.id, quality=float(right), source="judge")
        preview = router.preview(PROMPTS[(n - 1) % 2])
    return decision, preview


@pytest.mark.parametrize("learner", [None, LinUCB()], ids=["default", "LinUCB"])
def test_expectations_are_those_of_the_router_now(url, learner):
    decision, preview = fill(url, **({} if learner is None else {"learner": learner}))
    found = admin.explain(url, decision.id, learner=learner)
    assert {arm.arm: arm.probability for arm in found.arms} == pytest.approx(
        dict(zip(decision.arms, decision.probabilities, strict=True))
    )
    for arm in found.arms:
        k = preview.arms.index(arm.arm)
        assert arm.expected["quality"].mean == pytest.approx(preview.means[0, k], abs=1e-9)
    assert sum(arm.expected["quality"].outcomes for arm in found.arms) == pytest.approx(60)


def test_parts_of_a_linear_belief_add_up_to_its_mean(url):
    decision, _ = fill(url)
    bias_alone = np.zeros(len(decision.x))
    bias_alone[-1] = 1.0
    for arm in admin.explain(url, decision.id).arms:
        parts = arm.expected["quality"].parts
        assert set(parts) == {"complexity", "static"}
        with Router(arms=["small", "large"], store=SQLStore(url)) as router:
            k = router.preview(PROMPTS[0]).arms.index(arm.arm)
            without = belief_of(router).predict(bias_alone).means[0, k]
        assert arm.expected["quality"].mean == pytest.approx(without + sum(parts.values()), abs=1e-9)


def test_outcomes_and_facts_are_those_that_were_recorded(url):
    decision, _ = fill(url)
    found = admin.explain(url, decision.id)
    assert (found.arm, found.id, found.facts["session"], found.facts["tags"]) == (
        decision.arm,
        decision.id,
        "Ann",
        "chat",
    )
    assert [(each.objective, each.value, each.source) for each in found.outcomes] == [("quality", 1.0, "judge")]


def test_arms_that_could_not_be_chosen_are_named(url):
    with Router(arms=["small", "large"], features=1, store=SQLStore(url)) as router:
        decision = router.route([0.5], exclude=["large"], preference=Preference(quality=1, cost_usd=2))
    found = admin.explain(url, decision.id)
    assert found.left_out == ["large"]
    assert "It was the only arm that could be chosen." in found.why
    assert found.objectives == ["cost_usd", "quality"] or found.objectives == ["quality", "cost_usd"]
    assert found.arms[0].expected["quality"].parts == {}  # features without names of ours


def test_unknown_id_and_other_features_are_refused(url):
    fill(url, n=2)
    with pytest.raises(UnknownDecisionError, match="holds no decision '0000'"):
        admin.explain(url, "0000")
    with Router(arms=["a"], features=1, name="other", store=SQLStore(url)) as router:
        other = router.route([0.5])
    with pytest.raises(InvalidConfigurationError, match="was made with 1 features"):
        admin.explain(url, other.id, features=TextFeatures())


def test_the_rest_is_explained_where_what_was_learned_is_damaged(url):
    from sqlalchemy import update

    from banditroute.store.sql.database import database_at, parse
    from banditroute.store.sql.schema import statistics

    decision, _ = fill(url)
    with database_at(parse(url)).engine.begin() as connection:
        connection.execute(update(statistics).values(blob=b"x"))
    found = admin.explain(url, decision.id)
    assert found.objectives == []
    assert found.outcomes[0].value == 1.0


@pytest.mark.parametrize("id", [None, 5, b"0000", "", "\ud800"])
def test_id_that_no_database_can_hold_is_refused(url, id):
    fill(url, n=1)
    with pytest.raises(InvalidInputError, match="decision_id"):
        admin.explain(url, id)


def test_command_says_why_within_80_columns(url):
    decision, _ = fill(url)
    result = CliRunner().invoke(main, ["explain", url, decision.id])
    assert result.exit_code == 0
    assert result.output.startswith(f"{decision.arm}, by decision {decision.id} of ")
    for heading in ("what is expected of them today:", "What the parts of this request add", "What came back:"):
        assert heading in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())
    read = json.loads(CliRunner().invoke(main, ["explain", url, decision.id, "--json"]).output)
    assert read["id"] == decision.id
    unknown = CliRunner().invoke(main, ["explain", url, "nobody"])
    assert unknown.exit_code == 1
    assert "holds no decision 'nobody'" in unknown.stderr
