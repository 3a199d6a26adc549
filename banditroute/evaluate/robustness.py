"""How often a router changes its choice when only the writing of a prompt changes, and what a margin would cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.evaluate.stored_router import stored_utilities
from banditroute.features import Featurizer, TextFeatures

Utilities: TypeAlias = Callable[[Sequence[str]], Vector]
"""A function from n prompts to the expected utility of every arm ``(n, K)``."""

MARGINS = (0.0, 0.01, 0.02, 0.05)
"""Utility by which another arm must lead before the usual arm is left."""

_WORDS = "the of apple running blue seven quickly because river"


def _typo(text: str) -> str:
    """Return a text in which two neighbouring letters in the middle have changed places."""
    middle = len(text) // 2
    return text[:middle] + text[middle : middle + 2][::-1] + text[middle + 2 :]


def _twenty_words(text: str) -> str:
    """Return a text after twenty words that have nothing to do with it."""
    return " ".join((_WORDS.split() * 3)[:20]) + " " + text


REWRITINGS: Mapping[str, Callable[[str], str]] = {
    "small letters": str.lower,
    "capital letters": str.upper,
    "double spaces": lambda text: text.replace(" ", "  "),
    "space around": lambda text: f"\n {text} \n",
    "one typo": _typo,
    "'Please' before": lambda text: f"Please {text}",
    "'Thanks!' after": lambda text: f"{text} Thanks!",
    "an instruction before": lambda text: f"You are a helpful assistant. {text}",
    "20 words before": _twenty_words,
}
"""Name -> a change of the writing that leaves the question the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """The choices that one change of the writing changed, with the usual margin 0.

    Attributes
    ----------
    change
        What was changed.
    rate
        Share of prompts for which another arm was chosen.
    by_category
        Category -> the same for its prompts.
    """

    change: str
    rate: float
    by_category: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """A rule: serve the arm that is best on average, unless another one leads it by a margin.

    Attributes
    ----------
    margin
        The lead that is needed, in utility.
    rate
        Share of prompts that flip, mean over all changes of the writing.
    cost
        Expected utility per prompt that the rule gives up.
    quality
        Mean quality of the choices on the prompts as written; None where it is not known.
    """

    margin: float
    rate: float
    cost: float
    quality: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """The flips of a router; made by :func:`robustness`. Its ``str`` holds the three tables.

    Attributes
    ----------
    prompts
        How many prompts were tried.
    flips
        One for each change of the writing, and one for the given paraphrases, if there are any.
    margins
        What a margin before a switch would change.
    categories
        Category -> share of its prompts for each arm.
    quality
        Category -> mean quality of the choices; empty where it is not known.
    """

    prompts: int
    flips: tuple[Flips, ...]
    margins: tuple[Margin, ...]
    categories: Mapping[str, Mapping[str, float]]
    quality: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.prompts:,} prompts. Share that gets another arm when only the writing changes:", ""]
        width = max(len(each.change) for each in self.flips)
        for each in self.flips:
            worst = max(each.by_category, key=lambda name: each.by_category[name], default="")
            most = (
                f"  most in {worst}: {each.by_category[worst]:.3f}" if len(each.by_category) > 1 and each.rate else ""
            )
            lines.append(f"  {each.change:{width}}  {each.rate:.3f}{most}")
        lines += ["", "Arms by category:", ""]
        width = max(map(len, self.categories))
        for name, shares in self.categories.items():
            known = f", quality {self.quality[name]:.3f}" if name in self.quality else ""
            chosen = ", ".join(f"{arm} {share:.0%}" for arm, share in sorted(shares.items(), key=lambda e: -e[1]))
            lines.append(f"  {name:{width}}  {chosen}{known}")
        lines += ["", "A margin before the arm that is best on average is left:", ""]
        for rule in self.margins:
            known = "" if rule.quality is None else f", quality {rule.quality:.4f}"
            lines.append(
                f"  {rule.margin:.2f}  flips {rule.rate:.3f}, costs {rule.cost:.4f} of expected utility{known}"
            )
        return "\n".join(lines)


def robustness(
    router: str | Utilities,
    prompts: Sequence[str],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    categories: Sequence[str] = (),
    arms: Sequence[str] = (),
    quality: Mapping[str, Vector] | None = None,
    features: Featurizer | None = None,
    name: str | None = None,
) -> Robustness:
    """Return how often a router's best arm changes when only the writing of a prompt changes.

    The choice is the arm of the highest expected utility, without exploration: what flips here is the judgement, not
    the draw. Nothing is recorded, and the database is only read.

    Parameters
    ----------
    router
        The URL of a router's database, or a function from prompts to the expected utility of every arm.
    prompts
        The prompts to rewrite, at least one.
    pairs
        Prompts and their paraphrases, as people wrote them.
    categories
        The category of each prompt. Default: one category for all.
    arms
        Names of the arms, where ``router`` is a function.
    quality
        Arm -> its known quality on every prompt ``(n,)``, NaN where unknown.
    features
        The router's featurizer, where ``router`` is a database. Default: text features.
    name
        Which router of the database.

    Raises
    ------
    InvalidInputError
        If there are no prompts, or categories, quality or arms do not fit them.
    InvalidConfigurationError
        If the database has learned from other features.
    StoreError
        If the database cannot be read, or holds no such router.

    Examples
    --------
    A router that looks at the first letter only:

    >>> by_letter = lambda prompts: np.array([[1.0, 0.0] if text[:1].isupper() else [0.0, 1.0] for text in prompts])
    >>> found = robustness(by_letter, ["Hello there", "Why?"], arms=["large", "small"])
    >>> {each.change: each.rate for each in found.flips if each.rate}
    {'small letters': 1.0, 'space around': 1.0, '20 words before': 1.0}
    """
    if isinstance(router, str):
        arms, utilities = stored_utilities(router, features=features or TextFeatures(), router=name)
    else:
        utilities = router
    prompts, names = list(prompts), list(categories) or ["all"] * len(prompts)
    if not prompts:
        raise InvalidInputError("prompts is empty; give the prompts whose writing is to be changed")
    if len(names) != len(prompts):
        raise InvalidInputError(f"there are {len(prompts)} prompts and {len(names)} categories; give one for each")
    written = np.asarray(utilities(prompts), dtype=np.float64)
    if written.shape != (len(prompts), len(arms)) or not np.isfinite(written).all():
        raise InvalidInputError(
            f"the utilities of {len(prompts)} prompts have shape {written.shape}; give finite numbers "
            f"({len(prompts)}, {len(arms)}), one for each arm of arms="
        )
    known = _matrix(quality, arms, len(prompts))
    rewritten = {
        change: np.asarray(utilities([rewrite(text) for text in prompts])) for change, rewrite in REWRITINGS.items()
    }
    kinds = np.array(names)
    distinct = sorted(set(names))
    chosen = written.argmax(axis=1)
    flips = []
    for change, values in rewritten.items():
        flipped = values.argmax(axis=1) != chosen
        by_category = {kind: float(flipped[kinds == kind].mean()) for kind in distinct}
        flips.append(Flips(change=change, rate=float(flipped.mean()), by_category=by_category))
    if pairs:
        one, other = (np.asarray(utilities([pair[side] for pair in pairs])).argmax(axis=1) for side in (0, 1))
        flips.append(Flips(change="given paraphrases", rate=float((one != other).mean()), by_category={}))
    usual = int(written.mean(axis=0).argmax())
    shares = {
        kind: {arms[k]: float((chosen[kinds == kind] == k).mean()) for k in np.unique(chosen[kinds == kind])}
        for kind in distinct
    }
    return Robustness(
        prompts=len(prompts),
        flips=tuple(flips),
        margins=tuple(_margin(each, usual, written, rewritten, known) for each in MARGINS),
        categories=shares,
        quality={} if known is None else {kind: _known(known, chosen, kinds == kind) for kind in distinct},
    )


def read_prompts(path: str | Path) -> tuple[list[str], list[str]]:
    """Return the prompts of a file and their categories, empty where it names none.

    ``.jsonl`` has an object in each line, with ``prompt`` and maybe ``category``; any other file has a prompt in each
    line.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or has no prompts, or a line has none.
    """
    prompts, categories = [], []
    for number, line in enumerate(_lines(path), start=1):
        if Path(path).suffix == ".jsonl":
            record = _object(line, path, number)
            prompts.append(str(record["prompt"]))
            categories.append(str(record.get("category", "")))
        else:
            prompts.append(line)
    return prompts, [each or "none" for each in categories] if any(categories) else []


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Return the pairs of a file: in each line a prompt, a tab, and its paraphrase.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or has no pairs, or a line has another form.
    """
    pairs = []
    for number, line in enumerate(_lines(path), start=1):
        one, tab, other = line.partition("\t")
        if not (one.strip() and tab and other.strip()):
            raise InvalidInputError(f"{path}, line {number}: {line[:80]!r}; give a prompt, a tab, and its paraphrase")
        pairs.append((one, other))
    return pairs


def _lines(path: str | Path) -> list[str]:
    try:
        lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}; give a text file in UTF-8") from error
    if not lines:
        raise InvalidInputError(f"{path} is empty; give a prompt in each line")
    return lines


def _object(line: str, path: str | Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("prompt"), str):
        raise InvalidInputError(f"{path}, line {number}: {line[:80]!r}; give an object with a text as 'prompt'")
    return record


def _matrix(quality: Mapping[str, Vector] | None, arms: Sequence[str], n: int) -> Vector | None:
    """Return the quality of every arm on every prompt ``(n, K)``."""
    if quality is None:
        return None
    unknown = np.full(n, np.nan)
    columns = [np.asarray(quality.get(arm, unknown), dtype=np.float64) for arm in arms]
    if wrong := [arm for arm, column in zip(arms, columns, strict=True) if column.shape != (n,)]:
        raise InvalidInputError(
            f"the quality of {wrong[0]!r:.80} does not fit; give one number for each of {n} prompts"
        )
    return np.stack(columns, axis=1)


def _margin(
    margin: float, usual: int, written: Vector, rewritten: Mapping[str, Vector], quality: Vector | None
) -> Margin:
    chosen = _with_margin(written, usual, margin)
    every = np.arange(len(chosen)) >= 0
    return Margin(
        margin=margin,
        rate=float(np.mean([(_with_margin(each, usual, margin) != chosen).mean() for each in rewritten.values()])),
        cost=float((written.max(axis=1) - written[np.arange(len(chosen)), chosen]).mean()),
        quality=None if quality is None else _known(quality, chosen, every),
    )


def _with_margin(values: Vector, usual: int, margin: float) -> NDArray[np.intp]:
    best = values.argmax(axis=1)
    leads = values.max(axis=1) - values[:, usual] > margin
    return np.where(leads, best, usual) if margin else best


def _known(quality: Vector, chosen: NDArray[np.intp], rows: NDArray[np.bool_]) -> float:
    values = quality[np.arange(len(chosen)), chosen][rows]
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
