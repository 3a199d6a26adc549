"""Train the classifier of ``TaskType`` on prompts whose data set tells what kind of task they are.

    python scripts/train_task_type.py PROMPTS.parquet [PROMPTS.parquet ...] [--leave-out SET.parquet]

A prompt file has the columns ``dataset`` and ``prompt``. Its source is its name up to the first digit: the files
``paretobandit3_val`` and ``paretobandit4`` are of one source. The temperature is fitted, and accuracy, log loss and
expected calibration error are reported, on sources that were left out of training, with every question that they share
with others. ``--leave-out`` trains without a file and its questions, for a benchmark on that file. Nothing is random.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as parquet
from scipy.optimize import minimize_scalar
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features._softmax import fit_softmax, softmax
from banditroute.features.task import TaskType, _inputs

PRECISION = 40.0  # of the prior of each slope, with as much evidence as there are prompts

# Data set -> task type. Types without a data set: translation, summary, extraction, chat, code reading, free writing.
# commongen is left out: its prompts are bare lists of words, and a type learned from them would know no other writing.
TYPES = {
    "agentverse-logicgrid": "reasoning",
    "agentverse-mgsm": "arithmetic",
    "arc-challenge": "science",
    "arc_challenge": "science",
    "bbh": "reasoning",
    "bbh/multistep_arithmetic_two": "arithmetic",
    "bbh/object_counting": "arithmetic",
    "commonsense_qa": "reasoning",
    "gpqa": "science",
    "gsm8k": "arithmetic",
    "hellaswag": "reasoning",
    "human_eval": "code_writing",
    "math": "mathematics",
    "mbpp": "code_writing",
    "natural_qa": "knowledge",
    "openbook_qa": "science",
    "openbookqa": "science",
    "trivia_qa": "knowledge",
    "truthful_qa": "knowledge",
    "winogrande": "reasoning",
}
SUBJECTS = {
    "mathematics": "abstract_algebra college_mathematics high_school_mathematics high_school_statistics",
    "arithmetic": "elementary_mathematics",
    # Questions on a passage that the prompt holds.
    "reading": "high_school_european_history high_school_us_history high_school_world_history",
    "reasoning": "formal_logic logical_fallacies moral_scenarios",
    "science": "astronomy college_biology college_chemistry college_computer_science college_physics computer_security "
    "conceptual_physics electrical_engineering high_school_biology high_school_chemistry high_school_computer_science "
    "high_school_physics machine_learning",
}
SUBJECT_TYPES = {f"mmlu/{subject}": name for name, subjects in SUBJECTS.items() for subject in subjects.split()}

HEADER = re.compile(
    r"\[[^\]\n]+\]\n|(?:Question|Q):\s*|Complete the sentence with the correct option:\s*"
    r"|Please answer with the letter of the correct answer\.\s*"
    r"|Read the following context and choose [^\n]*\s*Context:\s*"
)
OPTIONS = re.compile(r"\n\s*\(?[A1][).] |\nChoices: |\nOptions:|\nOption 1:")
OPTION = re.compile(r"(?:\n\s*|, |: )\(?([A-J1-9])[).] (.+?)(?=, \([A-J]\) |\n|$)")

# Frames in which the same question may come: (before it, before each option, after the last).
FRAMES = (
    ("", "\n{}. ", "\nAnswer:"),
    ("Question: ", "\n{}) ", "\nAnswer with one letter."),
    ("", "\n  ({}) ", "\nAnswer with the correct letter and explain why."),
    ("Question: ", "\n({}) ", ""),
    ("Please answer the following question.\n\n", "\n- {}: ", ""),
)
MOST = 300  # prompts of one data set


def task_type(dataset: str, prompt: str) -> str | None:
    """The type of a prompt; None where its data set holds several and the prompt does not tell which."""
    if dataset == "mmlu":  # the subject stands before the question, or is not known
        subject = re.match(r"\[([^\]\n]+)\]\n", prompt)
        if subject is None:
            return None
        dataset = "mmlu/" + subject[1].lower().replace(" ", "_")
    if dataset.startswith("mmlu/"):
        return SUBJECT_TYPES.get(dataset, "knowledge")
    return TYPES.get(dataset) or TYPES.get(dataset.split("/")[0])


def bare(prompt: str) -> str:
    """The question without its data set's frame: what comes before it, and the options after it."""
    return OPTIONS.split(HEADER.sub("", prompt, count=1) if HEADER.match(prompt) else prompt)[0].strip()


def reframed(prompt: str) -> str:
    """The question with its options, if it has any, in a frame that depends on the question alone."""
    head, between, tail = FRAMES[zlib.crc32(bare(prompt).encode()) % len(FRAMES)]
    found = OPTIONS.search(prompt)
    listed = ""
    for place, (mark, option) in enumerate(OPTION.findall(prompt, found.start()) if found else []):
        if mark not in "ABCDEFGHIJ"[place : place + 1] + "123456789"[place : place + 1]:
            break  # a prompt with solved examples goes on with the options of the next
        listed += between.format("ABCDEFGHIJ"[place]) + option
    return head + bare(prompt) + (listed + tail if listed else "")


def question(prompt: str) -> str:
    """What tells a question from others in whatever frame it stands."""
    return re.sub(r"\W+", "", bare(prompt).lower())[:80]


class Prompts:
    """Distinct prompts as inputs ``x (copy, prompt, d)``, types and sources: as they are, bare, and in another frame.

    The copies keep the classifier from taking a data set's frame for the type of its tasks. Data sets weigh by the
    square root of their sizes, and types by the square root of theirs.
    """

    def __init__(self, paths: tuple[Path, ...], dropped: set[str]) -> None:
        seen: set[str] = set()
        taken: Counter[str] = Counter()
        self.types, self.sources, self.sets, self.questions, texts = [], [], [], [], []
        for path in paths:
            table = parquet.read_table(path, columns=["dataset", "prompt"])
            pairs = set(zip(table["dataset"].to_pylist(), table["prompt"].to_pylist(), strict=True))
            for dataset, prompt in sorted(pairs, key=lambda pair: hashlib.sha256(pair[1].encode()).digest()):
                kind, name = task_type(dataset, prompt), f"{path.stem}:{dataset}"
                if prompt in seen or kind is None or question(prompt) in dropped or taken[name] == MOST:
                    continue
                taken[name] += 1
                seen.add(prompt)
                texts.append(prompt)
                self.types.append(kind)
                self.sources.append(re.split(r"\d", path.stem)[0])
                self.sets.append(name)
                self.questions.append(question(prompt))
        self.types, self.sources, self.sets, self.questions = map(
            np.array, (self.types, self.sources, self.sets, self.questions)
        )
        inputs = _inputs()
        copies = [texts, [bare(text) or text for text in texts], [reframed(text) for text in texts]]
        self.x = np.array(
            [
                [inputs.transform_one(Request(text=text)) for text in tqdm(copy, desc=desc)]
                for copy, desc in zip(copies, ("prompts", "bare", "reframed"), strict=True)
            ]
        )

    def fit(self, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Types and weights learned from some rows."""
        types, y = np.unique(self.types[rows], return_inverse=True)
        sizes = Counter(self.sets[rows])
        weights = np.array([sizes[name] ** -0.5 for name in self.sets[rows]])
        weights *= np.bincount(y, weights)[y] ** -0.5
        weights *= len(rows) / weights.sum()
        copies = len(self.x)
        x = self.x[:, rows].reshape(copies * len(rows), -1)
        classes = np.tile(np.eye(len(types))[y], (copies, 1))
        found = fit_softmax(x, classes, np.tile(weights / copies, copies), precision=PRECISION)
        return types.tolist(), found


class Held:
    """Scores of prompts that were not trained on, each group weighing the same in every figure."""

    def __init__(self, prompts: Prompts, groups: np.ndarray) -> None:
        self.names = np.unique(prompts.types)
        scores, truth, self.groups, self.unknown = [], [], [], 0
        for group in tqdm(np.unique(groups), desc="held out"):
            held = groups == group
            shared = np.isin(prompts.questions, prompts.questions[held])
            types, found = prompts.fit(np.flatnonzero(~held & ~shared))
            rows = np.flatnonzero(held & np.isin(prompts.types, types))
            self.unknown += int(held.sum()) - len(rows)
            block = np.full((len(rows), len(self.names)), -1e3)  # a type that was not trained on has no probability
            block[:, np.searchsorted(self.names, types)] = prompts.x[0, rows] @ found[:-1] + found[-1]
            scores.append(block)
            truth.append(np.searchsorted(self.names, prompts.types[rows]))
            self.groups += [str(group)] * len(rows)
        self.scores, self.truth = np.vstack(scores), np.concatenate(truth)
        sizes = Counter(self.groups)
        self.weights = np.array([1.0 / sizes[group] / len(sizes) for group in self.groups])

    def log_loss(self, temperature: float) -> float:
        """In nats."""
        likelihood = softmax(self.scores / temperature)[np.arange(len(self.truth)), self.truth]
        return float(-self.weights @ np.log(np.maximum(likelihood, 1e-300)))

    def best_temperature(self) -> float:
        """The one of the least log loss."""
        return float(np.exp(minimize_scalar(lambda t: self.log_loss(np.exp(t)), bounds=(-1, 3), method="bounded").x))

    def report(self, title: str, temperature: float) -> None:
        """Accuracy, log loss and expected calibration error over 15 bins."""
        p = softmax(self.scores / temperature)
        right = p.argmax(axis=1) == self.truth
        bins = np.minimum((p.max(axis=1) * 15).astype(int), 14)
        gaps = np.bincount(bins, self.weights * (right - p.max(axis=1)), minlength=15)
        click.echo(
            f"{title}: accuracy {self.weights @ right:.3f}, log loss {self.log_loss(temperature):.3f}, expected "
            f"calibration error {np.abs(gaps).sum():.3f}; {len(right)} prompts, {self.unknown} of types not trained on"
        )
        groups = np.array(self.groups)
        for group in np.unique(groups):
            rows = groups == group
            click.echo(f"    {group:<14} accuracy {right[rows].mean():.3f} of {rows.sum()}")
        for index, name in enumerate(self.names):
            rows = self.truth == index
            if rows.any():
                named = right & rows
                claimed = max((p.argmax(axis=1) == index).sum(), 1)
                click.echo(
                    f"    {name:<14} recall {named.sum() / rows.sum():.3f}, precision {named.sum() / claimed:.3f}"
                )


@click.command()
@click.argument("prompts", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--leave-out", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("banditroute/features/data/task_type/weights.npz"))
def main(prompts: tuple[Path, ...], leave_out: tuple[Path, ...], out: Path) -> None:
    """Write the weights to OUT."""
    dropped = {
        question(prompt)
        for path in leave_out
        for prompt in parquet.read_table(path, columns=["prompt"])["prompt"].unique().to_pylist()
    }
    absent = {path.resolve() for path in leave_out}
    data = Prompts(tuple(path for path in prompts if path.resolve() not in absent), dropped)
    click.echo(", ".join(f"{name} {count}" for name, count in Counter(data.types.tolist()).most_common()))
    by_source = Held(data, data.sources)
    temperature = by_source.best_temperature()
    by_source.report("sources left out, temperature 1", 1.0)
    by_source.report(f"sources left out, temperature {temperature:.2f}", temperature)
    tasks = np.array([re.split(r"[:/]", name.replace("-", "_"))[1].replace("_", "") for name in data.sets])
    Held(data, tasks).report(f"benchmarks left out, temperature {temperature:.2f}", temperature)
    Held(data, np.arange(len(data.types)) % 5).report(f"rows left out, temperature {temperature:.2f}", temperature)

    types, found = data.fit(np.arange(len(data.types)))
    out.parent.mkdir(parents=True, exist_ok=True)
    TaskType.of(types, found / temperature).save(out)
    click.echo(f"{out.name}: {out.stat().st_size:,} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
