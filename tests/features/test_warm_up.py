"""WarmUp: a scale from the first prompts, that never moves under a version."""

from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute import Router
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Complexity, SentenceEmbedding, Standardize, StaticEmbedding, WarmUp

PROMPTS = [
    f"{verb} {'very ' * n}long {thing}" for n, verb in enumerate(("Write", "Sum")) for thing in ("poems", "3, 4")
]
PROBE = Request(text="What is the capital of France?")


def block(label="counts"):
    return SentenceEmbedding(model=lambda texts: [[len(t), t.count("a"), t.count("e")] for t in texts], label=label)


def requests(texts):
    return [Request(text=text) for text in texts]


def warmed(prompts=4):
    warm = WarmUp(block=block(), prompts=prompts)
    warm.transform(requests(PROMPTS))
    return warm


def test_the_numbers_are_the_blocks_before_during_and_after_the_warm_up():
    warm, bare = WarmUp(block=block(), prompts=4), block()
    for text in PROMPTS * 3:
        assert np.array_equal(warm.transform_one(PROBE), bare.transform_one(PROBE))
        warm.transform_one(Request(text=text))
    assert (warm.version, warm.names, warm.dimension) == (bare.version, bare.names, bare.dimension)


@given(st.lists(st.sampled_from(["one", "many", "standardize"]), max_size=12))
def test_no_version_ever_has_two_scales(steps):
    warm, seen = WarmUp(block=Complexity(), prompts=5), {}
    for step, do in enumerate(steps):
        if do == "one":
            warm.transform_one(Request(text="word " * (step + 1)))
        elif do == "many":
            warm.transform(requests(PROMPTS))
        made = [warm]
        if warm.remembered == 5:
            made.append(warm.standardize())
        for featurizer in made:
            x = featurizer.transform_one(PROBE)
            assert np.array_equal(seen.setdefault(featurizer.version, x), x)
    assert len(seen) <= 2


def test_the_scale_is_that_of_the_first_prompts_alone():
    warm = warmed()
    first = warm.standardize()
    warm.transform(requests(["a" * 999] * 50))
    assert warm.remembered == 4
    assert warm.standardize().version == first.version == Standardize(block=block()).fit(PROMPTS).version


def test_standardize_takes_a_dimension():
    warm = warmed()
    assert warm.standardize(dimension=2).version == Standardize(block=block(), dimension=2).fit(PROMPTS).version


def test_a_router_learns_on_one_scale_and_begins_anew_with_another():
    warm = WarmUp(block=block(), prompts=4)
    with Router(arms=["a", "b"], features=warm, seed=0) as router:
        before = router.route(PROBE.text).x
        for decision in router.route_many(PROMPTS * 5):
            router.feedback(decision.id, quality=1.0)
        assert np.array_equal(router.route(PROBE.text).x, before)
    standard = warm.standardize()
    assert standard.version != warm.version  # by which a store tells epochs apart
    with Router(arms=["a", "b"], features=standard, seed=0) as router:
        assert not np.array_equal(router.route(PROBE.text).x, before)


def test_standardizing_before_the_warm_up_ends_is_refused():
    warm = WarmUp(block=block(), prompts=5)
    warm.transform(requests(PROMPTS))
    with pytest.raises(InvalidConfigurationError, match="4 of 5 prompts have come"):
        warm.standardize()


def test_a_restart_goes_on(tmp_path):
    warm = WarmUp(block=block(), prompts=4)
    warm.transform(requests(PROMPTS[:2]))
    warm.save(tmp_path / "warm.npz")
    again = WarmUp(block=block(), prompts=4).load(tmp_path / "warm.npz")
    assert again.remembered == 2
    again.transform(requests(PROMPTS[2:]))
    assert again.standardize().version == warmed().standardize().version


def test_empty_warm_up_is_saved_and_loaded_as_empty(tmp_path):
    WarmUp(block=block()).save(tmp_path / "warm.npz")
    assert WarmUp(block=block()).load(tmp_path / "warm.npz").remembered == 0


@pytest.mark.parametrize("other", [WarmUp(block=block(), prompts=9), WarmUp(block=block("other"), prompts=4)])
def test_a_file_of_other_settings_is_refused_and_nothing_is_changed(other, tmp_path):
    warmed().save(tmp_path / "warm.npz")
    with pytest.raises(InvalidConfigurationError, match="with the settings that it was saved with"):
        other.load(tmp_path / "warm.npz")
    assert other.remembered == 0


def test_caller_cannot_change_remembered_rows():
    warm = WarmUp(block=block(), prompts=4)
    rows = warm.transform(requests(PROMPTS))
    rows[:] = 7.0
    assert warm.standardize().version == warmed().standardize().version


def test_many_threads_remember_no_more_than_asked():
    warm = WarmUp(block=StaticEmbedding(dimension=2), prompts=50)
    threads = [Thread(target=warm.transform, args=(requests(PROMPTS * 10),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warm.remembered == 50


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"block": Complexity}, "is not a featurizer"),
        ({"prompts": 1}, "prompts is 1"),
        ({"prompts": True}, "prompts is True"),
        ({"prompts": 2.0}, r"prompts is 2\.0"),
    ],
)
def test_unusable_parameters_are_refused(parameters, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        WarmUp(**({"block": Complexity()} | parameters))


def test_request_that_the_block_cannot_read_is_refused_and_not_remembered():
    warm = WarmUp(block=Complexity())
    with pytest.raises(InvalidRequestError):
        warm.transform_one(Request(features=np.ones(21)))
    assert warm.remembered == 0
