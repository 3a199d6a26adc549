"""What is known of a LoRA adapter before it is loaded: its size, rank and modules, from the header of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from banditroute.core.optional_imports import optional
from banditroute.core.validation import label, whole
from banditroute.errors import AdapterIncompatibleError, AdapterNotFoundError, InvalidConfigurationError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """A LoRA adapter: its name, where its files are, and what they say of it.

    Parameters
    ----------
    name
        What requests call it, 1 to 255 characters. New weights need a new name: servers may keep what they computed
        under the old one.
    path
        The folder of ``adapter_config.json`` and ``adapter_model.safetensors``, as the backend sees it: for a server,
        a path (or the name on a hub) over there.
    size_bytes
        Of all its weights, at least 1; None: not known.
    rank
        The largest of its modules, at least 1; None: not known.
    modules
        How many modules of the base model it changes, at least 1; None: not known.
    base_model
        Name of the model that it was trained on; None: not known.
    pinned
        Whether it stays resident, whatever is requested.

    Raises
    ------
    InvalidConfigurationError
        For an unusable name, path or number.

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
        if not isinstance(self.pinned, bool):
            raise InvalidConfigurationError(f"pinned of adapter {self.name!r} is {self.pinned!r}; give True or False")

    @classmethod
    def read(cls, path: str | Path, *, name: str, pinned: bool = False) -> AdapterSpec:
        """The adapter in the folder ``path``, by its configuration and the header of its weights; none are loaded.

        Raises
        ------
        AdapterNotFoundError
            If one of the two files is not there.
        AdapterIncompatibleError
            If one of them is damaged or cut short, or holds no LoRA weights.

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
        with reading(WEIGHTS, name=name, path=path), safe_open(Path(path) / WEIGHTS, framework="numpy") as header:
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
        If there is none.
    AdapterIncompatibleError
        If it cannot be read or is not what it should be.
    """
    damaged = optional("safetensors", extra="adapters").SafetensorError
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AdapterNotFoundError(
            f"adapter {name!r} has no {file} in {str(path)!r}; give the folder that save_pretrained() wrote"
        ) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, re.error, damaged) as error:
        raise AdapterIncompatibleError(
            f"{file} of adapter {name!r} cannot be read ({error!r}); copy or save it again"
        ) from error


def read_config(path: str | Path, *, name: str) -> dict[str, Any]:
    """The configuration of adapter ``name`` in the folder ``path``, a LoRA adapter's."""
    with reading(CONFIG, name=name, path=path):
        config = dict(json.loads((Path(path) / CONFIG).read_text(encoding="utf-8")))
    if config.get("peft_type") != "LORA":
        raise AdapterIncompatibleError(f"adapter {name!r} is of type {config.get('peft_type')!r}; give a LoRA adapter")
    return config
