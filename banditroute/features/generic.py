"""Generic prompts: fit a featurizer to them until you have prompts of your own."""

from __future__ import annotations

from importlib.resources import as_file, files

from banditroute.core.optional_imports import optional


def generic_prompts() -> tuple[str, ...]:
    """Return the 1,766 prompts of the shipped log: questions of knowledge, reading, arithmetic, reasoning and code.

    A sentence embedding fitted to them finds the directions in which prompts in general differ. Fitted to your own
    prompts, it finds the directions in which yours differ; that is better once you have a few hundred.

    Examples
    --------
    >>> from banditroute.features import Standardize, StaticEmbedding
    >>> len(generic_prompts())
    1766
    >>> block = Standardize(block=StaticEmbedding(dimension=64), dimension=8).fit(generic_prompts())
    >>> block.dimension
    8
    """
    parquet = optional("pyarrow.parquet", extra="logs")
    with as_file(files("banditroute") / "data" / "paretobandit4" / "paretobandit4.parquet") as path:
        prompts = parquet.read_table(path, columns=["prompt"]).column("prompt").to_pylist()
    return tuple(dict.fromkeys(prompts))
