"""The script that trains the task classifier, on three small sources."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from banditroute.core.request import Request
from banditroute.features import TaskType

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_task_type.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_task_type", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    things = ["apples", "pears", "coins", "cards", "books", "cups", "pens", "hats", "balls", "keys"]
    paths = []
    for index, name in enumerate(("one3", "two2", "three4")):
        rows = []
        for a, thing in enumerate(things):
            rows.append(
                ("gsm8k", f"Ann has {a + 3 + index} {thing} and buys {a + 9} more. How many {thing} has she now?")
            )
            rows.append(("mbpp", f"Write a python function to count the {thing} in a list of length {index + 2}."))
            rows.append(("trivia_qa", f"who first sold {thing} in the {index + 12}th century"))
        rows.append(("gsm8k", "How many is 3 plus 4?"))  # all sources share this one
        paths.append(folder / f"{name}.parquet")
        datasets, prompts = zip(*rows, strict=True)
        parquet.write_table(pa.table({"dataset": datasets, "prompt": prompts}), paths[-1])
    return paths


def train(script, arguments, out):
    result = CliRunner().invoke(script.main, [*map(str, arguments), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_types_are_learned_and_reported(script, sources, tmp_path):
    output = train(script, sources, tmp_path / "weights.npz")
    task = TaskType.load(tmp_path / "weights.npz")
    assert task.types == ("arithmetic", "code_writing", "knowledge")
    p = task.transform_one(Request(text="Write a python function to find the longest word."))
    assert task.types[p.argmax()] == "code_writing"
    counted = ["arithmetic 31", "code_writing 30", "knowledge 30"]  # the shared question counts once
    for title in (
        *counted,
        "sources left out",
        "benchmarks left out",
        "rows left out",
        "expected calibration error",
        "sha256",
    ):
        assert title in output


def test_the_same_input_gives_the_same_file(script, sources, tmp_path):
    outputs = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for out in outputs:
        train(script, sources, out)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_left_out_source_does_not_affect_the_weights(script, sources, tmp_path):
    output = train(script, [*sources, "--leave-out", sources[2]], tmp_path / "weights.npz")
    # Nor has the question that it shares with others.
    assert all(f"{kind} 20" in output for kind in ("arithmetic", "code_writing", "knowledge"))
    train(script, sources[:2], tmp_path / "others.npz")
    assert TaskType.load(tmp_path / "weights.npz").version != TaskType.load(tmp_path / "others.npz").version


@pytest.mark.parametrize(
    ("dataset", "prompt", "expected"),
    [
        ("gsm8k", "", "arithmetic"),
        ("bbh/navigate", "", "reasoning"),
        ("bbh/object_counting", "", "arithmetic"),
        ("mmlu/professional_law", "", "knowledge"),
        ("mmlu/abstract_algebra", "", "mathematics"),
        ("mmlu", "[Abstract Algebra]\nFind the order.", "mathematics"),
        ("mmlu", "Find the order.", None),
        ("commongen", "dog, ball", None),
        ("unheard_of", "", None),
    ],
)
def test_the_type_of_a_data_set(script, dataset, prompt, expected):
    assert script.task_type(dataset, prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "bare", "listed"),
    [
        ("[Physics]\nWhat falls?\n  (A) ash\n  (B) air\nAnswer with the letter.", "What falls?", ["ash", "air"]),
        ("What falls?\nA. ash\nB. air\nAnswer:", "What falls?", ["ash", "air"]),
        ("Question: What falls?\nChoices: (A) ash, (B) air\nAnswer with it.", "What falls?", ["ash", "air"]),
        ("What falls?\nA) ash\nB) air\nAnswer:\nA\n\nWhat flies?\nA) owl\nB) cow", "What falls?", ["ash", "air"]),
        ("What falls?", "What falls?", []),
    ],
)
def test_a_question_without_its_frame_and_in_another(script, prompt, bare, listed):
    assert script.bare(prompt) == bare
    assert script.question(prompt) == "whatfalls"
    reframed = script.reframed(prompt)
    assert bare in reframed
    assert [word for word in ("ash", "air", "owl", "cow") if word in reframed] == listed


def test_the_shipped_types_are_those_of_the_script(script):
    kinds = {*script.TYPES.values(), *script.SUBJECT_TYPES.values(), "knowledge"}
    assert set(TaskType().types) == kinds


def test_figures_by_hand(script):
    class Prompts:
        types = np.array(["a", "b", "a", "b", "a", "c"])
        sources = np.array(["s", "s", "t", "t", "t", "t"])
        questions = np.arange(6)
        x = np.array([[[2.0], [-2.0], [2.0], [2.0], [2.0], [0.0]]])

        def fit(self, rows):
            return ["a", "b"], np.array([[0.5, -0.5], [0.0, 0.0]])

    held = script.Held(Prompts(), Prompts.sources)
    assert held.unknown == 1  # of type c
    assert held.weights == pytest.approx([1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6])
    right, wrong = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(2.0))
    assert held.log_loss(1.0) == pytest.approx(-(5 / 6 * np.log(right) + 1 / 6 * np.log(wrong)))
    # Accuracy 5 / 6 everywhere: the log loss is least where the confidence is 5 / 6, at a score difference of ln 5.
    assert held.best_temperature() == pytest.approx(2.0 / np.log(5.0), rel=1e-3)
