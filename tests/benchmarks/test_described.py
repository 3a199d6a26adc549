"""Arms that say something of themselves."""

import json

import click
import numpy as np
import pytest

from banditroute import Arm
from banditroute.logs import OutcomeTable
from benchmarks.described import DESCRIPTORS, described, replays


def test_arms_with_what_a_file_says_of_them(tmp_path):
    path = tmp_path / "said.json"
    path.write_text(
        json.dumps({"small": {"size_billions": 8}, "large": {"size_billions": 70, "mmlu": 0.8, "quality": 0.9}})
    )
    arms = described(path, ("large", "small"))
    assert [(arm.name, dict(arm.descriptors), dict(arm.expected)) for arm in arms] == [
        ("large", {"size_billions": 70, "mmlu": 0.8}, {"quality": 0.9}),
        ("small", {"size_billions": 8}, {}),
    ]
    assert described(path, ("large", "other")) is None
    path.write_text("[]")
    with pytest.raises(click.UsageError, match=r"said\.json holds no JSON object"):
        described(path, ("large",))


def test_shipped_descriptors_make_arms():
    names = tuple(name for name in json.loads(DESCRIPTORS.read_text()) if name != "about")
    arms = described(DESCRIPTORS, names)
    assert all("size_billions" in arm.descriptors and "quality" in arm.expected for arm in arms)


def test_a_replay_is_reproducible_and_learns():
    n = 200
    table = OutcomeTable(
        name="toy",
        prompts=("",) * n,
        tasks=("",) * n,
        arms=("bad", "good"),
        outcomes={"quality": np.tile([0.1, 0.9], (n, 1))},
    )
    arms = [Arm(name="bad", descriptors={"size": 1.0}), Arm(name="good", descriptors={"size": 2.0})]
    first, again = (list(replays(table, np.zeros((n, 1)), arms, 2)) for _ in range(2))
    assert [trace.seed for trace in first] == [0, 1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.chosen, other.chosen)
        assert (one.chosen == 1).mean() > 0.9
