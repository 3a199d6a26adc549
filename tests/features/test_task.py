"""TaskType: shipped, fitted to examples, or a user's own."""

from importlib.resources import files

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Complexity, Compose, StaticEmbedding, TaskType
from banditroute.testing import check_featurizer

FOLDER = files("banditroute.features") / "data" / "task_type"

EXAMPLES = {
    "cooking": ["How long do I boil an egg?", "A recipe for tomato soup", "Bake bread with rye flour", "Fry onions"],
    "code": ["Write a Python function", "def f(x): return x", "Fix this bug in my SQL query", "Sort a list in Java"],
    "legal": ["Is this contract valid?", "What does tort law say?", "Draft a lease clause", "Can I sue my landlord?"],
}


def probabilities(task, text):
    x = task.transform_one(Request(text=text))
    return dict(zip(task.types, (x * x / len(x)).tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write a Python function that removes duplicates from a list.", "code_writing"),
        (
            "def median(xs: list) -> float:\n    '''Return the median of xs.\n    >>> median([3, 1])\n    2.0'''",
            "code_writing",
        ),
        ("Tom has 12 apples, gives 5 to Ann and buys 7 more at $2 each. How many apples does he have?", "arithmetic"),
        ("Find all real $x$ such that $\\frac{x^2 - 4}{x - 2} = 7$. Simplify the polynomial.", "mathematics"),
        ("Which gas do plants take in from the air during photosynthesis?", "science"),
        ("who sang the theme song of the first james bond film", "knowledge"),
    ],
)
def test_the_shipped_classifier_knows_plain_cases(text, expected):
    found = probabilities(TaskType(), text)
    assert max(found, key=found.get) == expected


def test_probabilities_sum_to_one():
    for text in ("", "Hi", "word " * 5000, "日本語", "{}" * 900):
        x = TaskType().transform_one(Request(text=text))
        p = x * x / len(x)
        assert p.sum() == pytest.approx(1.0)
        assert (p > 0.0).all()


def test_task_probabilities_equal_the_hand_computed_ones():
    task, request = TaskType(), Request(text="Name the largest planet.")
    with (FOLDER / "weights.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        weights, types = arrays["weights"], arrays["types"]
    z = Compose(blocks=[StaticEmbedding(dimension=64), Complexity()]).transform_one(request)
    scores = np.append(z, 1.0) @ weights
    assert task.transform_one(request) == pytest.approx(np.sqrt(len(scores) * np.exp(scores) / np.exp(scores).sum()))
    assert task.types == tuple(types)
    assert task.names == tuple(f"task.{name}" for name in types)


def test_no_shipped_type_is_dead_and_the_file_is_small():
    with (FOLDER / "weights.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        assert np.linalg.norm(arrays["weights"][:-1], axis=0).min() > 0.1
    sizes = {path.name: len(path.read_bytes()) for path in FOLDER.iterdir()}
    assert sizes.keys() == {"ORIGIN.md", "weights.npz"}
    assert sum(sizes.values()) <= 20_000


def test_meaning_is_pinned_to_the_version():
    # Fails when the weights or their inputs change: then the version changes with them.
    assert TaskType().version == PINNED


PINNED = "task-2:36b7a9dafd61(static-minilm-1:64+complexity-3)"


def test_a_few_examples_replace_the_types():
    task = TaskType.fit(EXAMPLES)
    assert task.types == ("cooking", "code", "legal")
    for text, expected in [
        ("A recipe for onion soup", "cooking"),
        ("Write a function in Java", "code"),
        ("Is my lease contract valid?", "legal"),
    ]:
        found = probabilities(task, text)
        assert max(found, key=found.get) == expected
    check_featurizer(task)


def test_fitting_leaves_the_shipped_classifier_alone():
    version = TaskType().version
    assert TaskType.fit(EXAMPLES).version != version
    assert TaskType().version == version


def test_version_names_what_was_fitted():
    renamed = {name.upper(): prompts for name, prompts in EXAMPLES.items()}
    fewer = {name: prompts[:3] for name, prompts in EXAMPLES.items()}
    versions = [TaskType.fit(examples).version for examples in (EXAMPLES, EXAMPLES, renamed, fewer)]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_every_type_weighs_the_same_however_many_examples_it_has():
    once = {"cooking": EXAMPLES["cooking"], "code": EXAMPLES["code"]}
    many = {"cooking": EXAMPLES["cooking"] * 10, "code": EXAMPLES["code"]}
    even, found = (TaskType.fit(examples).transform_one(Request(text="")) for examples in (once, many))
    assert found == pytest.approx(
        even, abs=0.15
    )  # the odds would be ten times as high if every example weighed the same


def test_examples_that_tell_nothing_give_even_odds():
    same = TaskType.fit({"a": ["word"] * 5, "b": ["word"] * 5})
    assert same.transform_one(Request(text="word")) == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (["a prompt"], "give a mapping"),
        ({}, "at least two"),
        ({"only": ["a", "b"]}, "at least two"),
        ({"a": ["x", "y"], "b": ["z"]}, "'b' has the examples"),
        ({"a": ["x", "y"], "b": "two prompts"}, "'b' has the examples"),
        ({"a": ["x", "y"], "b": ["z", 7]}, "not strings"),
        ({"a": ["x", "y"], "": ["z", "w"]}, "a task type has 0 characters"),
        ({"a": ["x", "y"], 3: ["z", "w"]}, "a task type is 3"),
    ],
)
def test_unusable_examples_are_refused(examples, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        TaskType.fit(examples)


def own(result, types=("short", "long"), label="length-v1"):
    return TaskType(classifier=result if callable(result) else lambda text: result, types=types, label=label)


def test_a_classifier_of_ones_own():
    task = own(lambda text: [0.9, 0.1] if len(text) < 10 else [0.2, 0.8])
    assert probabilities(task, "Hi") == {"short": pytest.approx(0.9), "long": pytest.approx(0.1)}
    assert task.names == ("task.short", "task.long")
    assert task.version != own(len, label="length-v2").version
    assert task.version != own(len, types=("long", "short")).version
    check_featurizer(task)


@pytest.mark.parametrize("result", [[0.5], [0.5, 0.6], [1.5, -0.5], [np.nan, 1.0], "ab", None, [[0.5, 0.5]]])
def test_a_classifier_that_returns_no_probabilities_is_refused(result):
    with pytest.raises(InvalidConfigurationError, match=r"the task classifier (returned|did not return)"):
        own(result).transform_one(Request(text="a"))


@pytest.mark.parametrize(
    "parameters",
    [
        {"classifier": len},
        {"classifier": len, "types": ["a", "b"]},
        {"types": ["a", "b"], "label": "l"},
        {"classifier": len, "types": ["a"], "label": "l"},
        {"classifier": len, "types": ["a", "a"], "label": "l"},
        {"classifier": len, "types": "ab", "label": "l"},
        {"classifier": len, "types": ["a", "b"], "label": ""},
        {"classifier": "len", "types": ["a", "b"], "label": "l"},
    ],
)
def test_unusable_parameters_are_refused(parameters):
    with pytest.raises(InvalidConfigurationError):
        TaskType(**parameters)


def test_a_classifier_function_is_not_saved(tmp_path):
    with pytest.raises(InvalidConfigurationError, match="cannot be saved"):
        own([0.5, 0.5]).save(tmp_path / "task.npz")


@pytest.mark.parametrize("weights", [np.zeros((85, 2)), np.zeros((86, 3)), np.full((86, 2), np.nan)])
def test_weights_of_another_shape_are_refused(weights):
    with pytest.raises(InvalidConfigurationError, match="fit them again"):
        TaskType.of(["a", "b"], weights)


@pytest.mark.parametrize("task", [TaskType(), own([0.5, 0.5])])
def test_a_request_without_text_is_refused(task):
    with pytest.raises(InvalidRequestError):
        task.transform_one(Request(features=np.ones(2)))
