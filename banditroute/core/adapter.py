"""A LoRA adapter before it is loaded: name, path, and the size, rank and modules that its files say."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from banditroute.core.optional_imports import optional
from banditroute.core.validation import flag, label, whole
from banditroute.errors import AdapterIncompatibleError, AdapterNotFoundError, InvalidConfigurationError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

_MAX_CONFIG_BYTES = 8 * 2**20
# Values of ``init_lora_weights`` that leave the base model as it is. The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA)
# change the base weights, which the adapter's own files do not hold. So an unknown one is refused.
_BASE_KEEPING_INITIALISATIONS = (None, True, False, "gaussian", "orthogonal", "eva", "mica")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """A LoRA adapter: its name, the path of its files, and what they say.

    Parameters
    ----------
    name
        Its name in requests, 1 to 255 characters. New weights need a new name: servers may keep what they computed
        under the old one.
    path
        The folder of ``adapter_config.json`` and ``adapter_model.safetensors``, as the backend sees it: for a server,
        a path (or the name on a hub) over there.
    size_bytes
        Bytes of all its weights, at least 1; None: not known.
    rank
        Largest rank of its modules, at least 1; None: not known.
    modules
        Number of modules of the base model that it changes, at least 1; None: not known.
    base_model
        Name of the model that it was trained on; None: not known.
    pinned
        Whether it stays resident, whatever is requested.

    Raises
    ------
    InvalidConfigurationError
        If the name, the path or a number is unusable.

    Examples
    --------
    >>> AdapterSpec(name="law-2", path="adapters/law-2", size_bytes=40_370_176, rank=8).rank
    8
    """

    name: str
    path: str
    size_bytes: int | None = None
    rank: int | None = None
    modules: int | None = None
    base_model: str | None = None
    pinned: bool = False

    def __post_init__(self) -> None:
        label(self.name, name="AdapterSpec(name=...)", error=InvalidConfigurationError)
        if not isinstance(self.path, str) or not self.path or "\x00" in self.path:
            raise InvalidConfigurationError(f"path of adapter {self.name!r} is {self.path!r}; give a non-empty string")
        for name in ("size_bytes", "rank", "modules"):
            value = getattr(self, name)
            if value is not None:
                whole(value, name=f"{name} of adapter {self.name!r}", error=InvalidConfigurationError)
        if self.base_model is not None:
            label(self.base_model, name=f"base_model of adapter {self.name!r}", error=InvalidConfigurationError)
        flag(self.pinned, name=f"pinned of adapter {self.name!r}", error=InvalidConfigurationError)

    @classmethod
    def read(cls, path: str | Path, *, name: str, pinned: bool = False) -> AdapterSpec:
        """Read the adapter in the folder ``path``: its configuration and the header of its weights. None are loaded.

        Raises
        ------
        AdapterNotFoundError
            If one of the two files is not there.
        AdapterIncompatibleError
            If one of them is damaged, cut short, too large or not a regular file; if it holds no LoRA weights; or if
            the adapter was trained on changed base weights.

        Examples
        --------
        >>> import numpy as np, tempfile
        >>> from safetensors.numpy import save_file
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "tiny"}')
        >>> weights = {"q.lora_A.weight": np.ones((4, 64), "f4"), "q.lora_B.weight": np.ones((64, 4), "f4")}
        >>> save_file(weights, folder / "adapter_model.safetensors")
        >>> spec = AdapterSpec.read(folder, name="law")
        >>> spec.rank, spec.modules, spec.size_bytes, spec.base_model
        (4, 1, 2048, 'tiny')
        """
        config = read_config(path, name=name)
        safe_open = optional("safetensors", extra="adapters").safe_open
        with (
            reading(WEIGHTS, name=name, path=path),
            safe_open(regular_file(Path(path) / WEIGHTS), framework="numpy") as header,
        ):
            slices = {key: header.get_slice(key) for key in header.keys()}  # noqa: SIM118, it is not a mapping
            shapes = {key: piece.get_shape() for key, piece in slices.items()}
            size_bytes = sum(prod(shapes[key]) * _BYTES[piece.get_dtype()] for key, piece in slices.items())
            ranks = [shape[0] for key, shape in shapes.items() if key.endswith((".lora_A.weight", ".lora_embedding_A"))]
        if not ranks:
            raise AdapterIncompatibleError(f"{WEIGHTS} of adapter {name!r} holds no LoRA weights; give a LoRA adapter")
        return cls(
            name=name,
            path=str(path),
            size_bytes=size_bytes,
            rank=max(ranks),
            modules=len(ranks),
            base_model=config.get("base_model_name_or_path") or None,
            pinned=pinned,
        )


_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}


@contextmanager
def reading(file: str, *, name: str, path: str | Path) -> Iterator[None]:
    """Say which ``file`` of adapter ``name`` in the folder ``path`` is missing or damaged, if reading it fails.

    Raises
    ------
    AdapterNotFoundError
        If the file is missing.
    AdapterIncompatibleError
        If it cannot be read, or is damaged.
    """
    damaged = optional("safetensors", extra="adapters").SafetensorError
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AdapterNotFoundError(
            f"adapter {name!r} has no {file} in {str(path)!r}; give the folder that save_pretrained() wrote"
        ) from error
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        MemoryError,
        re.error,
        damaged,
    ) as error:
        raise AdapterIncompatibleError(
            f"{file} of adapter {name!r} cannot be read ({repr(error)[:300]}); copy or save it again"
        ) from error


def regular_file(path: Path) -> Path:
    """Return ``path`` if it is a regular file, or a link to one: a pipe or a device may never end.

    Raises
    ------
    OSError
        If it is missing or something else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")
    return path


def read_config(path: str | Path, *, name: str) -> dict[str, Any]:
    """Read the configuration of LoRA adapter ``name`` in the folder ``path``.

    Raises
    ------
    AdapterNotFoundError
        If the file is missing.
    AdapterIncompatibleError
        If it cannot be read, is not a LoRA adapter's, or the adapter was trained on changed base weights.
    """
    with reading(CONFIG, name=name, path=path):
        config = dict(json.loads(_read_bounded(Path(path) / CONFIG)))
    if config.get("peft_type") != "LORA":
        raise AdapterIncompatibleError(
            f"adapter {name!r} is of type {str(config.get('peft_type'))[:80]!r}; give a LoRA adapter"
        )
    initialisation = config.get("init_lora_weights")
    if initialisation not in _BASE_KEEPING_INITIALISATIONS:
        raise AdapterIncompatibleError(
            f"adapter {name!r} has init_lora_weights={str(initialisation)[:40]!r}, which changes the base model; save "
            "it as plain LoRA: save_pretrained(..., path_initial_model_for_weight_conversion=...)"
        )
    return config


def _read_bounded(path: Path) -> str:
    """Return the text of a regular file of bounded size; a file that is exchanged meanwhile does no harm."""
    with os.fdopen(os.open(regular_file(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        content = file.read(_MAX_CONFIG_BYTES + 1)
    if len(content) > _MAX_CONFIG_BYTES:
        raise ValueError(f"it has more than {_MAX_CONFIG_BYTES} bytes")
    return content.decode("utf-8")
