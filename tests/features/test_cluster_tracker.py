"""ClusterTracker on streams of prompts whose topics come and go."""

import dataclasses
from threading import Thread

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import ClusterTracker, Codebook, SemanticCluster, cluster_tracker
from banditroute.features.cluster import cluster_space

OLD = {
    "sum": "Tom has {0} apples, buys {1} more and gives {2} to Ann. How many apples has he now?",
    "code": "def f{0}(x):\n    '''Return the sum of the first {1} primes above {2}.'''\n",
    "poem": "Write a gentle poem about autumn, number {0}, with {1} verses of {2} lines, for my grandmother.",
}
NEW = "Translate into German: the tenant in flat {0} owes {1} euros of rent since the contract of {2} May was signed."
FINE = "Übersetze ins Englische: Der Mieter der Wohnung {0} schuldet seit Mai {1} Euro, laut Vertrag Nummer {2}."


def stream(template, n=150, seed=0):
    rng = np.random.default_rng(seed)
    return [template.format(*rng.integers(1, 99, 3)) for _ in range(n)]


def watched(tracker, *templates, n=150):
    for template in templates:
        for text in stream(template, n):
            tracker.observe(text)
    return tracker


def placed(codebook, texts):
    """Where the prompts lie among the centres."""
    return (cluster_space().transform([Request(text=text) for text in texts]) - codebook.centre) / codebook.scale


def id_of(codebook, template):
    """What the cluster that most of these prompts belong to is called."""
    x = SemanticCluster(codebook=codebook).transform([Request(text=text) for text in stream(template, 30, seed=9)])
    return int(codebook.ids[np.bincount(x.argmax(axis=1)).argmax()])


@pytest.fixture
def small():
    """Four clusters: three topics that come, and code again, so that one cluster is free."""
    shipped = Codebook.shipped()
    sums, code, poems = (placed(shipped, stream(template)) for template in OLD.values())
    centres = np.array([sums.mean(axis=0), code.mean(axis=0), poems.mean(axis=0), code[0]])
    return dataclasses.replace(shipped, centres=centres, temperature=0.05, ids=np.arange(4))


def test_codebook_stays_the_same_without_traffic(small):
    assert ClusterTracker(codebook=small).refit() is small


def test_the_topics_that_stay_keep_their_ids(small):
    moved = watched(ClusterTracker(codebook=small), *OLD.values()).refit()
    for template in OLD.values():
        assert id_of(moved, template) == id_of(small, template)
    assert SemanticCluster(codebook=moved).version != SemanticCluster(codebook=small).version


def test_a_topic_that_appears_gets_a_cluster_of_its_own_and_a_new_id(small):
    moved = watched(ClusterTracker(codebook=small), *OLD.values(), NEW).refit()
    assert id_of(moved, NEW) == 4
    assert [id_of(moved, template) for template in OLD.values()] == [id_of(small, each) for each in OLD.values()]
    assert len(moved.centres) == 4


def test_a_topic_that_has_gone_makes_room(small):
    tracker = watched(ClusterTracker(codebook=small), *OLD.values(), NEW)
    poem = id_of(tracker.refit(), OLD["poem"])
    for _ in range(4):
        gone = watched(tracker, OLD["sum"], OLD["code"], NEW, FINE, n=400).refit()
    assert id_of(gone, FINE) > 4
    assert poem not in gone.ids
    assert len({id_of(gone, template) for template in (OLD["sum"], OLD["code"], NEW, FINE)}) == 4


def test_no_id_is_used_twice(small):
    tracker, highest = ClusterTracker(codebook=small), 3
    for templates in [(NEW,), (FINE, OLD["code"]), (OLD["poem"],), (NEW, FINE)]:
        before = set(tracker.codebook.ids.tolist())
        new = set(watched(tracker, *templates, n=300).refit().ids.tolist()) - before
        assert all(name > highest for name in new)
        highest += len(new)
    assert highest > 4


def test_the_codebook_of_a_running_router_does_not_move(small):
    features, request = SemanticCluster(codebook=small), Request(text=stream(NEW)[0])
    before, version = features.transform_one(request), features.version
    watched(ClusterTracker(codebook=small), NEW).refit()
    assert np.array_equal(features.transform_one(request), before)
    assert features.version == version


def test_a_restart_changes_nothing(small, tmp_path):
    through, stopped = ClusterTracker(codebook=small), ClusterTracker(codebook=small)
    for part in (OLD["sum"], NEW):
        watched(through, part)
        watched(stopped, part)
        stopped.save(tmp_path / "tracker.npz")
        stopped = ClusterTracker.load(tmp_path / "tracker.npz")
    one, other = through.refit(), stopped.refit()
    assert SemanticCluster(codebook=one).version == SemanticCluster(codebook=other).version
    assert one.ids.tolist() == other.ids.tolist()
    stopped.save(tmp_path / "tracker.npz")
    again = ClusterTracker.load(tmp_path / "tracker.npz")
    watched(through, FINE), watched(again, FINE)
    assert through.refit().ids.tolist() == again.refit().ids.tolist()


def test_memory_is_bounded_and_the_latest_prompts_count(small, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_tracker, "WINDOW", 100)
    tracker = watched(ClusterTracker(codebook=small), FINE, NEW, n=150)
    tracker.save(tmp_path / "tracker.npz")
    with np.load(tmp_path / "tracker.npz") as arrays:
        assert arrays["window"].shape == (100, 85)
        assert arrays["window"].dtype == np.float32
    alone = watched(ClusterTracker(codebook=small), NEW, n=150)
    assert tracker.refit().centres == pytest.approx(alone.refit().centres)  # nothing is left of what came first


def test_a_prompt_counts_once(small):
    tracker = watched(ClusterTracker(codebook=small), NEW)
    assert tracker.refit() is tracker.refit() is tracker.codebook


def test_no_text_is_kept(small, tmp_path):
    tracker = ClusterTracker(codebook=small)
    tracker.observe("a secret word: abracadabra")
    tracker.save(tmp_path / "tracker.npz")
    assert b"abracadabra" not in (tmp_path / "tracker.npz").read_bytes()
    assert "abracadabra" not in repr(vars(tracker))


def test_temperature_follows_the_distances(small):
    texts = [f"{verb} {thing}." for verb in ("Sell", "Paint", "Cook", "Sue") for thing in ("a car", "rice", "law", "x")]
    tracker = ClusterTracker(codebook=small)
    for text in texts * 30:
        tracker.observe(text)
    moved = tracker.refit()
    nearest = ((placed(small, texts)[:, None] - moved.centres) ** 2).sum(axis=2).min(axis=1).mean()
    expected = (80 * small.temperature + 0.35 * 480 * nearest) / 560  # 4 centres that count as 20 prompts each
    assert moved.temperature == pytest.approx(expected, rel=1e-5)


def test_many_threads_lose_no_prompt(small, tmp_path):
    tracker = ClusterTracker(codebook=small)
    threads = [Thread(target=watched, args=(tracker, NEW), kwargs={"n": 100}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.save(tmp_path / "tracker.npz")
    with np.load(tmp_path / "tracker.npz") as arrays:
        assert int(arrays["seen"]) == 400


def test_a_prompt_that_is_no_string_is_refused(small):
    with pytest.raises(InvalidRequestError):
        ClusterTracker(codebook=small).observe(7)


def test_a_path_is_no_codebook():
    with pytest.raises(InvalidConfigurationError, match=r"Codebook\.load\(path\)"):
        ClusterTracker(codebook="mine.npz")


def test_a_codebook_is_no_tracker(small, tmp_path):
    small.save(tmp_path / "codebook.npz")
    with pytest.raises(InvalidConfigurationError, match="was saved by 'Codebook"):
        ClusterTracker.load(tmp_path / "codebook.npz")
