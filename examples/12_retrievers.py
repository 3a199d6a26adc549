"""Retrievers as arms: which search should find the section for this question?

Arms need not be models. One arm searches by whole words, one by groups of three letters, which forgives misspelling and
takes longer, and one asks both and merges their lists. The corpus is banditroute's own documentation, a question is a
few rare words of a section, and half of the users misspell them. The application tells the router how many words of a
question the index knows. The quality is 1 / rank of the right section, so nobody has to judge anything.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from banditroute import Preference, Router
from banditroute.features import Metadata

DOCS = Path(__file__).resolve().parents[1] / "docs"
REQUESTS = 600
DEPTH = 20  # results that a search returns
SECONDS = {"words": 0.02, "letters": 0.10, "both": 0.12}  # of the search services, as their operator measured them
PREFERENCE = Preference(quality=1.0, latency_seconds=1.0)  # a tenth of a second is worth a tenth of a right answer


def sections() -> list[str]:
    """Return the sections of the how-to pages and of the concepts."""
    pages = sorted([*DOCS.glob("howto/*.md"), *DOCS.glob("concepts/*.md")])
    texts = [re.split(r"^#+ ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:] for page in pages]
    return [text for page in texts for text in page if len(text) > 200]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def letters(text: str) -> list[str]:
    """Return the groups of three letters of every word, with its edges."""
    return [f" {word} "[i : i + 3] for word in words(text) for i in range(len(word))]


class Search:
    """BM25 over an inverted index of the terms that `split` finds."""

    def __init__(self, texts: list[str], split: Callable[[str], list[str]]) -> None:
        self._split = split
        self.index: dict[str, list[tuple[int, int]]] = defaultdict(list)
        lengths = []
        for i, text in enumerate(texts):
            counts = Counter(split(text))
            lengths.append(sum(counts.values()))
            for term, n in counts.items():
                self.index[term].append((i, n))
        self._norms = 0.3 + 0.9 * np.array(lengths) / np.mean(lengths)

    def __call__(self, question: str) -> list[int]:
        scores = np.zeros(len(self._norms))
        for term in self._split(question):
            found = self.index.get(term, [])
            weight = math.log(1.0 + (len(scores) - len(found) + 0.5) / (len(found) + 0.5))
            for i, n in found:
                scores[i] += weight * n * 2.2 / (n + self._norms[i])
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        return [int(i) for i in best if scores[i] > 0.0]


def merged(first: list[int], second: list[int]) -> list[int]:
    """Return the reciprocal rank fusion of two lists."""
    scores: Counter[int] = Counter()
    for ranked in (first, second):
        for rank, i in enumerate(ranked, 1):
            scores[i] += 1.0 / (60 + rank)
    return [i for i, _ in scores.most_common(DEPTH)]


def misspelled(word: str, rng: random.Random) -> str:
    """Return the word with two neighbouring letters exchanged."""
    i = rng.randrange(1, len(word) - 2)
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def main() -> None:
    rng = random.Random(0)
    texts = sections()
    by_words, by_letters = Search(texts, words), Search(texts, letters)
    search: dict[str, Callable[[str], list[int]]] = {
        "words": by_words,
        "letters": by_letters,
        "both": lambda question: merged(by_words(question), by_letters(question)),
    }

    def ask(kind: str) -> tuple[str, int]:
        right = rng.randrange(len(texts))
        long = sorted({word for word in words(texts[right]) if len(word) > 5})
        chosen = sorted(rng.sample(long, min(6, len(long))), key=lambda word: len(by_words.index[word]))[:3]
        return " ".join(misspelled(word, rng) if kind == "misspelled" else word for word in chosen), right

    def quality(arm: str, question: str, right: int) -> float:
        found = search[arm](question)
        return 1.0 / (1 + found.index(right)) if right in found else 0.0

    kinds = ("spelled right", "misspelled")
    got: dict[str, list[tuple[str, float]]] = defaultdict(list)
    features = Metadata(numeric={"known_words": (0.0, 1.0)})
    with Router(arms=list(search), features=features, preference=PREFERENCE, seed=0) as router:
        for _ in range(REQUESTS):
            kind = rng.choice(kinds)
            question, right = ask(kind)
            known = np.mean([word in by_words.index for word in question.split()])
            decision = router.route(question, metadata={"known_words": float(known)})
            found = quality(decision.arm, question, right)
            router.feedback(decision.id, quality=found, latency_seconds=SECONDS[decision.arm])
            got[kind].append((decision.arm, found))

    print(f"{len(texts)} sections; mean of 1 / rank of the right section\n")
    print(f"{'question':<16}{''.join(f'{arm:>9}' for arm in search)}{'router':>9}   its searches in the second half")
    for kind in kinds:
        sample = [ask(kind) for _ in range(100)]
        alone = [np.mean([quality(arm, *each) for each in sample]) for arm in search]
        late = got[kind][len(got[kind]) // 2 :]
        used = Counter(arm for arm, _ in late)
        shares = ", ".join(f"{arm} {n / len(late):.0%}" for arm, n in used.most_common())
        row = "".join(f"{each:>9.2f}" for each in [*alone, np.mean([found for _, found in late])])
        print(f"{kind:<16}{row}   {shares}")


if __name__ == "__main__":
    main()
