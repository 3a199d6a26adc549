"""Clusters of rows that depend on each other, and intervals that reflect them."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import InvalidInputError
from banditroute.cli import main
from banditroute.evaluate import bootstrap_interval, evaluate, importance_weights, snips
from banditroute.evaluate.clusters import clusters_of
from banditroute.logs import DecisionLog, convert, open_log

WORDS = ("tea", "a long walk", "seven boats", "the rain in spring", "why not?")
NAMES = [f"{verb} a {noun}" for verb in ("read", "cut", "hide", "sell", "sing", "turn") for noun in "abcdefghij"]


@pytest.fixture
def templated():
    """1,200 decisions on prompts of 60 templates; how much better "large" is depends on the template alone."""
    rng = np.random.default_rng(3)
    n, templates = 1200, 60
    template = np.sort(rng.integers(templates, size=n))
    gain = rng.choice([0.0, 0.8], size=templates)
    chosen = rng.integers(2, size=n)
    quality = (rng.random(n) < np.where(chosen == 0, 0.1 + gain[template], 0.1)).astype(float)
    return DecisionLog(
        arms=("large", "small"),
        chosen=chosen,
        eligible=np.ones((n, 2), dtype=bool),
        propensities=np.full(n, 0.5),
        prompts=tuple(f"{NAMES[t]}: {WORDS[i % 5]}\nAnswer:" for i, t in enumerate(template)),
        tasks=tuple(f"task {t}" for t in template),
        outcomes={"quality": quality},
        decided_at=np.arange(float(n)),
    ), template  # fmt: skip


def width(interval):
    return interval.upper - interval.lower


def cluster_bootstrap(terms, clusters, *, draws=2000):
    """Bounds of the mean by a bootstrap-t that draws whole clusters, in loops."""
    rng = np.random.default_rng(1)
    parts = [terms[clusters == g] for g in np.unique(clusters)]

    def judged(some):
        values = np.concatenate(some)
        off = np.array([(part - values.mean()).sum() for part in some])
        return values.mean(), np.sqrt((off**2).sum()) / len(values)

    mean, error = judged(parts)
    ratios = []
    for _ in range(draws):
        drawn, std = judged([parts[k] for k in rng.integers(len(parts), size=len(parts))])
        ratios.append((drawn - mean) / std)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return mean - high * error, mean - low * error


class TestIntervals:
    def test_templates_widen_them_as_a_cluster_bootstrap_says(self, templated):
        log, template = templated
        found = evaluate(log, "large", clusters="template").utility
        blind = evaluate(log, "large").utility
        target = np.tile([1.0, 0.0], (len(log), 1))
        terms = snips(log.outcomes["quality"], importance_weights(log.chosen, log.propensities, target))
        expected = cluster_bootstrap(terms, template)
        drawn = bootstrap_interval(terms, clusters=template)
        assert drawn[1:] == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))
        assert width(drawn) < width(found.estimates["SNIPS"]) < 2.0 * width(drawn)  # what holds for any number of rows
        assert width(found.estimates["SNIPS"]) > 1.5 * width(blind.estimates["SNIPS"])
        assert width(found.difference) > 1.5 * width(blind.difference)
        assert 30.0 < found.diagnostics.effective_clusters < 60.0
        assert blind.diagnostics.effective_clusters == len(log)

    def test_interval_does_not_depend_on_the_names_of_clusters(self, templated):
        log, template = templated
        found = evaluate(log, "large", clusters="template")
        for clusters in (template, np.array([f"t{t:02d}" for t in template])):
            assert evaluate(log, "large", clusters=clusters) == found
        by_task = evaluate(log, "large", clusters="task").utility.difference
        assert by_task.value == pytest.approx(found.utility.difference.value, abs=0.01)  # other folds
        assert width(by_task) == pytest.approx(width(found.utility.difference), rel=0.15)

    def test_rows_that_are_left_out(self, templated):
        log, template = templated
        told = template % 2 == 0
        p = np.where(told, 0.5, np.nan)
        half = evaluate(replace(log, propensities=p), "large", clusters=template).utility.diagnostics
        sizes = np.bincount(template[told])
        assert half.effective_clusters == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())

    def test_few_clusters_are_warned_of_and_fewer_refused(self, templated):
        log, template = templated
        few = evaluate(log, "large", clusters=template % 20)
        assert "\nwarning: rows depend on each other as in 19." in str(few)
        found = evaluate(log, "large", clusters=template % 4)
        assert found.verdict.startswith(
            "No answer: rows depend on each other as in 4.0 clusters of one size, at least 5"
        )
        one = np.where(template < 50, 0, template)  # many, but one of them is most of the log
        assert evaluate(log, "large", clusters=one).utility.diagnostics.effective_clusters < 2.0
        assert evaluate(log, "large", clusters=one).utility.value is None


class TestClusters:
    def log(self, **texts):
        n = len(next(iter(texts.values())))
        return DecisionLog(
            arms=("a",), chosen=np.zeros(n, dtype=int), eligible=np.ones((n, 1), dtype=bool), outcomes={},
            decided_at=np.zeros(n), **texts,
        )  # fmt: skip

    def same(self, log, by):
        numbers = clusters_of(log, by)
        return {frozenset(np.flatnonzero(numbers == k).tolist()) for k in numbers}

    def test_sessions_are_the_default_clusters_where_the_log_has_them(self):
        log = self.log(sessions=("x", "", "y", "x", ""), tasks=("t", "t", "u", "", "u"))
        assert (
            self.same(log, None) == self.same(log, "session") == {frozenset({0, 3}), *map(frozenset, ({1}, {2}, {4}))}
        )
        assert self.same(log, "task") == {frozenset({0, 1}), frozenset({2, 4}), frozenset({3})}
        assert clusters_of(self.log(tasks=("t",)), None) is None

    def test_prompts_of_one_template_are_one_cluster(self):
        prompts = (
            "Classify the sentiment of this review.\nReview: Great!\nAnswer with one word, please.",
            "Translate to French: a boat",
            "What is the capital of France?",
            "Classify the sentiment of this review.\nReview: It broke after 3 days.\nAnswer with one word, please.",
            "Translate to French: tea",
            "What is the capital of Peru?",  # the same head, as chance has it
            "",
            "",
            "Classify the sentiment of this review.\nReview: see\nPros: none\nAnswer with one word, please.",
        )
        assert self.same(self.log(prompts=prompts), "template") == {
            frozenset({0, 3, 8}), frozenset({1, 4}), *map(frozenset, ({2}, {5}, {6}, {7}))
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("by", "message"),
        [
            ("session", "the log names no session, so its rows cannot be clustered by session"),
            ("template", "the log names no prompt, so its rows cannot be clustered by template; record it"),
            ("prompt", "clusters is 'prompt'; give 'session', 'template', 'task', or an array"),
            ("", "clusters is ''; give"),
            (3, "clusters is 3; give"),
            ([0, 1], r"clusters is \[0, 1\]; give 'session', .* or an array"),
            (np.zeros(3, dtype=int), r"have shape \(3,\) and type int64; give the number or the name .* of the 2 rows"),
            (np.zeros((2, 1), dtype=int), r"have shape \(2, 1\)"),
            (np.array([0.0, np.nan]), "type float64"),
            (np.array([True, False]), "type bool"),
        ],
    )
    def test_unusable_clusters_are_refused(self, by, message):
        with pytest.raises(InvalidInputError, match=message):
            clusters_of(self.log(tasks=("a", "b")), by)


def test_evaluate_command_clusters_by_task(templated, tmp_path):
    log, _ = templated
    path = tmp_path / "calls.jsonl"
    rows = zip(log.chosen, log.outcomes["quality"], log.tasks, strict=True)
    path.write_text(
        "".join(
            f'{{"arm": "{log.arms[k]}", "propensity": 0.5, "task": "{task}", "outcomes": {{"quality": {value}}}}}\n'
            for k, value, task in rows
        )
    )
    assert convert(open_log(path), tmp_path / "log.parquet") == len(log)
    told = CliRunner().invoke(
        main, ["evaluate", str(tmp_path / "log.parquet"), "--policy", "large", "--cluster", "task"]
    )
    assert str(evaluate(replace(log, prompts=None), "large", clusters="task")) in told.output
    refused = CliRunner().invoke(main, ["evaluate", str(path), "--policy", "large", "--cluster", "template"])
    assert "Error: the log names no prompt" in refused.output


def test_evaluation_says_how_many_clusters_its_rows_make(templated):
    log, _ = templated
    assert " clusters: " not in str(evaluate(log, "large"))
    assert "\n60 clusters: " in str(evaluate(log, "large", clusters=np.arange(1200) // 20))
