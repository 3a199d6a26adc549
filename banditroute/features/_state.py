"""Save and load fitted featurizers: a file of plain arrays and a description of the object that they belong to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidConfigurationError

_OWNER = "fitted by"


def digest(*arrays: NDArray[np.generic]) -> str:
    """Return twelve hexadecimal digits that identify fitted arrays; any other number or shape gives other digits."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:12]


def save(path: str | PathLike[str], *, owner: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write ``arrays`` in the format npz; after a failure, the old file is still there and complete.

    ``owner`` describes the object that they belong to: its class, and the settings and parts that affect the numbers.
    """
    target = Path(fspath(path))
    fields: dict[str, Any] = {_OWNER: np.array(owner), **arrays}
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **fields)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def load(path: str | PathLike[str], *, owner: str, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays that :func:`save` wrote for ``owner``.

    Raises
    ------
    OSError
        If the file cannot be read.
    InvalidConfigurationError
        If the file has another content or another owner.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, BadZipFile, TypeError, AttributeError) as error:
        raise InvalidConfigurationError(f"{fspath(path)} is not what save() of a featurizer writes") from error
    written_by = str(found.pop(_OWNER, "nobody"))
    if written_by != owner:
        raise InvalidConfigurationError(
            f"{fspath(path)} was saved by {written_by!r}, and cannot be loaded by {owner!r}; "
            "make the featurizer with the settings that it was saved with"
        )
    if found.keys() != set(names):
        raise InvalidConfigurationError(f"{fspath(path)} holds {sorted(found)}, not {sorted(names)}")
    return found
