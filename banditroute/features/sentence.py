"""What a prompt is about, from a sentence transformer or an embedding function of your own."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from banditroute._imports import optional
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import excerpt
from banditroute.types import Request, Vector

Embed: TypeAlias = Callable[[list[str]], ArrayLike]
"""Texts -> one embedding a row, ``(n, d)``."""
