"""A block of features: entries of a context that mean something together and earn their weight together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from banditroute.errors import InvalidConfigurationError


class FeatureBlock(NamedTuple):
    """Neighbouring entries of a context that a belief weighs together.

    Attributes
    ----------
    columns
        How many entries the block has, at least 1. Over typical requests their mean square is about 1.
    strength
        How much the block may matter before any feedback, above 0: the prior variance of its effect, in units of what
        a block of text features starts with. How much it does matter is learned.
    names
        One name per column, by which profiles of arms refer to it; empty: no names.
    """

    columns: int
    strength: float = 1.0
    names: tuple[str, ...] = ()


def check_blocks(blocks: Sequence[FeatureBlock] | None, *, dimension: int) -> tuple[FeatureBlock, ...]:
    """Return the blocks of a context of ``dimension`` entries, bias included; None is one block of all features.

    Raises
    ------
    InvalidConfigurationError
        If the blocks do not add up to ``dimension - 1`` columns, or one has no column or no strength above 0.
    """
    if blocks is None:
        return (FeatureBlock(dimension - 1),) if dimension > 1 else ()
    checked = tuple(FeatureBlock(*block) for block in blocks)
    columns = sum(block.columns for block in checked)
    if columns != dimension - 1 or any(block.columns < 1 or not block.strength > 0.0 for block in checked):
        raise InvalidConfigurationError(
            f"the blocks have {[tuple(block)[:2] for block in checked]} as columns and strengths; give blocks with at "
            f"least 1 column and a strength above 0 that add up to {dimension - 1} columns"
        )
    return checked
