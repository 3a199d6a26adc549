"""Flip rates by hand, of a stored router, and what a margin changes; files that cannot be used are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import InvalidConfigurationError, InvalidInputError, Router, SQLStore, StoreError
from banditroute.cli import main
from banditroute.evaluate import read_pairs, read_prompts, robustness
from banditroute.evaluate.robustness import REWRITINGS
from banditroute.features import Complexity


def by_length(prompts):
    """Two arms; the second leads by 0.02 for prompts longer than 20 characters, else the first by 0.1."""
    return np.array([[0.5, 0.52] if len(text) > 20 else [0.5, 0.4] for text in prompts])


PROMPTS = ["short", "fifteen letters", "a prompt of more than twenty characters", "Why is the sky blue today?"]


def test_rates_and_categories_are_counted():
    found = robustness(by_length, PROMPTS, arms=["a", "b"], categories=["x", "x", "y", "y"])
    rates = {each.change: each for each in found.flips}
    assert rates["small letters"].rate == 0.0
    assert rates["'Please' before"].rate == 0.25  # "fifteen letters" becomes longer than 20
    assert rates["'Please' before"].by_category == {"x": 0.5, "y": 0.0}
    assert rates["20 words before"].by_category == {"x": 1.0, "y": 0.0}
    assert found.categories == {"x": {"a": 1.0}, "y": {"b": 1.0}}


def test_a_margin_keeps_the_usual_arm_and_says_what_that_costs():
    quality = {"a": np.array([1.0, 1.0, 0.0, 0.0]), "b": np.array([0.0, 0.0, 1.0, 0.5])}
    found = robustness(by_length, PROMPTS, arms=["a", "b"], quality=quality)
    free, _, _, wide = found.margins
    assert (free.margin, free.cost, free.quality) == (0.0, 0.0, 0.875)
    assert wide.rate == 0.0  # nothing leads by 0.05
    assert wide.cost == pytest.approx(0.5 * 0.02)
    assert wide.quality == 0.5
    assert free.rate == pytest.approx(np.mean([each.rate for each in found.flips]))


def test_given_paraphrases_are_counted():
    found = robustness(by_length, PROMPTS, arms=["a", "b"], pairs=[("short", "x" * 30), ("short", "tiny")])
    assert (found.flips[-1].change, found.flips[-1].rate) == ("given paraphrases", 0.5)


@pytest.mark.parametrize("name", REWRITINGS)
def test_rewriting_changes_the_text_and_keeps_its_words(name):
    text = "What is the capital of France, and why?"
    rewritten = REWRITINGS[name](text)
    assert rewritten != text
    if name != "one typo":
        assert set(text.lower().split()) <= set(rewritten.lower().split())
    assert len(REWRITINGS[name]("")) >= 0  # an empty text does not raise


@pytest.fixture
def stored(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with Router(arms=["large", "small"], store=SQLStore(url), seed=0) as router:
        for i in range(80):
            made = router.route("Sum 17 and 25." if i % 2 else "Write a long poem about the autumn sea and its ships.")
            router.feedback(made.id, quality=float((made.arm == "small") == bool(i % 2)))
    return url


def test_stored_router_is_judged_by_what_it_learned(stored):
    found = robustness(stored, ["Sum 17 and 25.", "Write a long poem about the autumn sea and its ships."])
    with Router(arms=["large", "small"], store=SQLStore(stored), seed=0) as router:
        made = [
            router.route(text) for text in ("Sum 17 and 25.", "Write a long poem about the autumn sea and its ships.")
        ]
        best = {made_.arms[int(made_.means[0].argmax())] for made_ in made}
    assert set(found.categories["all"]) == best


def test_other_features_are_refused(stored):
    with pytest.raises(InvalidConfigurationError, match="learned from the features"):
        robustness(stored, ["Hi"], features=Complexity())


def test_unknown_router_is_refused(stored):
    with pytest.raises(StoreError, match="holds no decision of router 'other'"):
        robustness(stored, ["Hi"], name="other")


def test_command_shows_rates_and_reads_every_file(stored, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Sum 1 and 2.", "category": "math"}\n{"prompt": "Write a poem."}\n')
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("Sum 1 and 2.\tAdd 2 to 1.\n")
    run = CliRunner().invoke(main, ["robustness", stored, "--prompts", str(prompts), "--pairs", str(pairs)])
    assert run.exit_code == 0, run.output
    assert "small letters          0.000" in run.output
    assert "given paraphrases" in run.output
    shown = json.loads(CliRunner().invoke(main, ["robustness", stored, "--prompts", str(prompts), "--json"]).output)
    assert {*shown["categories"]} == {"math", "none"}
    table = tmp_path / "table.csv"
    table.write_text(
        "query_id,prompt,task,arm,score\n1,Hi,x,large,1\n1,Hi,x,small,0\n"
        "2,Sum 1 and 2.,y,large,0\n2,Sum 1 and 2.,y,small,1\n"
    )
    run = CliRunner().invoke(main, ["robustness", stored, "--prompts", str(table)])
    assert run.exit_code == 0, run.output
    assert "quality" in run.output


def test_files_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("no tab here\n")
    with pytest.raises(InvalidInputError, match="line 1: 'no tab here'; give a prompt, a tab"):
        read_pairs(path)
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": 7}\n')
    with pytest.raises(InvalidInputError, match="give an object with a text as 'prompt'"):
        read_prompts(path)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InvalidInputError, match="empty"):
        read_prompts(tmp_path / "empty.txt")
    (tmp_path / "some.txt").write_text("one\n\ntwo\n")
    assert read_prompts(tmp_path / "some.txt") == (["one", "two"], [])


@pytest.mark.parametrize(
    "settings",
    [{"prompts": []}, {"categories": ["x"]}, {"arms": ["a"]}, {"quality": {"a": np.zeros(3)}}],
)
def test_prompts_and_settings_that_do_not_fit_are_refused(settings):
    with pytest.raises(InvalidInputError, match="give"):
        robustness(by_length, **{"prompts": PROMPTS, "arms": ["a", "b"], **settings})


def test_no_prompts_are_refused():
    with pytest.raises(InvalidInputError, match="prompts is empty; give the prompts"):
        robustness(lambda prompts: [], [], arms=["large", "small"])
