"""Who is good at what: hand-computed means by kind, every way to name a kind, and what cannot be answered."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import Router, SQLStore, admin
from banditroute.admin import kinds
from banditroute.cli import main
from banditroute.errors import InvalidInputError
from banditroute.statistics import jain_index


@pytest.fixture
def filled(tmp_path):
    """400 requests of two tenants; a is always right for acme, b for bob; every other answer is wrong."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    made = []
    with Router(arms=["a", "b"], features=1, store=SQLStore(url), seed=3) as router:
        for i in range(400):
            tenant = "acme" if i % 4 else "bob"
            tags = ["private", f"tenant:{tenant}"] if i < 390 else []
            decision = router.route([float(tenant == "acme")], tags=tags)
            if i % 5:
                right = float((decision.arm == "a") == (tenant == "acme"))
                router.feedback(decision.id, quality=right, cost_usd=0.01 if decision.arm == "a" else 0.002)
            made.append((tenant if tags else "", decision.arm, decision.propensity, bool(i % 5)))
    return url, made


def test_cells_hold_what_was_routed_and_reported(filled):
    url, made = filled
    found = admin.competence(url, by="tenant")
    assert found.kinds == ("acme", "bob")
    assert found.without_kind == 10
    for cell in found.cells:
        rows = [row for row in made if row[0] == cell.kind and cell.arm in (None, row[1])]
        assert cell.decisions == len(rows)
        assert cell.grades == sum(row[3] for row in rows)
    by_pair = {(each.kind, each.arm): each for each in found.cells}
    assert by_pair["acme", "a"].quality.value == pytest.approx(1.0)
    assert by_pair["acme", "b"].quality.value == 0.0
    assert by_pair["bob", "b"].means["cost_usd"] == pytest.approx(0.002)
    right = [float((arm == "a") == (tenant == "acme")) for tenant, arm, _, graded in made if tenant == "bob" and graded]
    assert by_pair["bob", None].quality.value == pytest.approx(np.mean(right))


def test_table_ends_with_the_mean_costs_of_each_kind(filled):
    found = admin.competence(filled[0], by="tenant")
    cost = next(each.means["cost_usd"] for each in found.cells if (each.kind, each.arm) == ("acme", None))
    head, acme, *_ = str(found).splitlines()
    assert (head.split()[-1], acme.split()[-1]) == ("cost_usd", f"{cost:.4g}")


def test_bounds_are_those_of_the_effective_number_of_grades(filled):
    url, made = filled
    cell = next(each for each in admin.competence(url, by="tenant").cells if (each.kind, each.arm) == ("bob", "b"))
    w = np.array([1.0 / p for tenant, arm, p, graded in made if (tenant, arm, graded) == ("bob", "b", True)])
    effective = w.sum() ** 2 / (w @ w)
    assert cell.quality.upper == pytest.approx(1.0)
    assert cell.quality.lower == pytest.approx(0.025 ** (1.0 / effective), abs=1e-6)  # all right: P(n of n) = lower^n


def test_best_is_named_where_bounds_are_apart(filled):
    found = admin.competence(filled[0], by="tenant")
    assert found.best["acme"] == "a"
    served = [each.quality.value for each in found.cells if each.arm is None]
    assert found.fairness == pytest.approx(sum(served) ** 2 / (2 * sum(v * v for v in served)))
    assert "a" in str(found).splitlines()[0]
    assert "*" not in str(admin.competence(filled[0], by="cluster")).splitlines()[1].split()[-1]
    assert "10 decisions have no tenant." in str(found)


def test_a_weighted_mean_corrects_for_what_a_router_chose(tmp_path):
    """An arm that gets easy requests only more often than hard ones is judged over both."""
    log = admin.competence.__globals__["_Log"]()
    log.arms, log.tags = ["a"] * 4, [["task:x"]] * 4
    log.weights = [1.0 / 0.75, 1.0 / 0.75, 1.0 / 0.75, 1.0 / 0.25]
    log.outcomes = {"quality": {0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0}}
    cell = log.competence("task", np.array(["x"] * 4)).cells[0]
    assert cell.quality.value == pytest.approx(0.5)  # 3/.75 right and 1/.25 wrong


def test_frame_and_plot_hold_every_cell(filled, tmp_path):
    found = admin.competence(filled[0], by="tenant")
    frame = found.to_frame()
    assert list(frame.columns[:5]) == ["tenant", "arm", "decisions", "share", "grades"]
    assert len(frame) == len(found.cells) == found.to_arrow().num_rows
    assert frame[frame.arm.notna()].groupby("tenant").share.sum().tolist() == pytest.approx([1.0, 1.0])
    found.plot(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_clusters_part_contexts_that_differ(filled):
    found = admin.competence(filled[0], by="cluster")
    assert found.kinds == ("cluster 1", "cluster 2")
    assert found.best["cluster 1"] == "a"


def test_many_contexts_are_parted_into_few_clusters():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 2)) * 50.0
    x = [np.append(centres[i % 3] + rng.normal(size=2), 1.0) for i in range(300)]
    names = kinds.by_cluster([None, np.ones(5), *x])
    assert names[:2] == ["", ""]
    assert 3 <= len({*names[2:]}) <= kinds.CLUSTERS
    assert all(len({names[2 + i] for i in range(300) if i % 3 == k} & {names[2 + (k + 1) % 3]}) == 0 for k in range(3))


def test_a_task_is_a_tag_or_the_type_of_a_kept_prompt():
    found = kinds.by_task([["task:poems"], [], []], ["Hi", "Write a function that reverses a list in Python.", None])
    assert found == ["poems", "code_writing", ""]


def test_a_kind_that_no_decision_has_is_refused(filled):
    with pytest.raises(
        InvalidInputError, match=r"no decision of the database has a task; .*'task:NAME'.* keep prompts"
    ):
        admin.competence(filled[0])


def test_command_shows_it(filled, tmp_path):
    run = CliRunner().invoke(main, ["inspect", filled[0], "--by", "tenant", "--out", str(tmp_path / "map.png")])
    assert run.exit_code == 0, run.output
    assert run.output.startswith("tenant  decisions  a")
    shown = json.loads(CliRunner().invoke(main, ["inspect", filled[0], "--by", "tenant", "--json"]).output)
    assert {each["kind"] for each in shown["cells"]} == {"acme", "bob"}


@pytest.mark.parametrize("values", [[], [-1.0], [float("nan")]])
def test_jain_index_refuses_what_is_not_an_amount(values):
    with pytest.raises(InvalidInputError, match="amounts"):
        jain_index(values)


def test_jain_index_of_shares():
    assert jain_index([1.0, 1.0, 0.0, 0.0]) == 0.5
    assert jain_index([0.0, 0.0]) == 1.0
