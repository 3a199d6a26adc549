"""Generic prompts: what to fit a block to before there are prompts of your own."""

from __future__ import annotations

from importlib.resources import as_file, files

from banditroute.core.optional_imports import optional


def generic_prompts() -> tuple[str, ...]:
    """The 1,766 prompts of the log that is shipped: questions of knowledge, reading, arithmetic, reasoning and code.

    Fitted to them, the directions of a sentence embedding are those of prompts in general; fitted to your own, those
    in which yours differ, which is better as soon as you have a few hundred.

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
