"""Adapters of a transformers model in this process: slots that are made once and copied into.

``peft``'s own ``load_adapter`` builds modules anew for every adapter, which costs more the more adapters there are, and
must not happen during a forward pass. Copying weights into modules that are there already does neither.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from banditroute.adapters.backends.base import Capability, Capacity, CostEstimate, LoadResult, Tier, check_same
from banditroute.core.adapter import CONFIG, WEIGHTS, AdapterSpec, read_config, reading
from banditroute.core.optional_imports import optional
from banditroute.core.validation import number, whole
from banditroute.errors import (
    AdapterBusyError,
    AdapterCapacityError,
    AdapterIncompatibleError,
    AdapterNotFoundError,
    InvalidConfigurationError,
    InvalidInputError,
)

if TYPE_CHECKING:
    import torch

_BASE = "__base__"  # as peft calls the model without an adapter
_PREFIX = "base_model.model."  # of every key in a file of weights
# Kinds of LoRA that compute something else from weights of the same names.
_VARIANTS = ("use_dora", "use_qalora", "use_bdlora", "alora_invocation_tokens", "arrow_config", "kasa_config")


@dataclass(frozen=True, slots=True)
class _Weights:
    """An adapter in RAM: module name -> (A ``(r, in)``, B ``(out, r)``, scaling)."""

    path: str
    modules: Mapping[str, tuple[torch.Tensor, torch.Tensor, float]]
    size_bytes: int


class PeftBackend:
    """LoRA adapters on a transformers model in this process.

    The model is changed in place: it gets ``slots + 1`` adapters of rank ``max_rank``, one of them for staging, is put
    into evaluation mode, and needs no gradients any more. Smaller ranks are padded with zeros, so what it computes is
    what it computes with the adapter alone. Its other uses, outside of ``serving``, see the base model.

    Parameters
    ----------
    model
        A model without adapters. Its slots have its device and its type of numbers.
    slots
        Adapters that may be resident, at least 1, beside the one in staging.
    max_rank
        The largest rank of any adapter, at least 1.
    target_modules
        Modules that any adapter changes, as in ``peft.LoraConfig``.
    base_model
        The model that adapters must have been trained on, by their own word; None: any whose modules fit.
    ram_bytes
        Bytes of adapters that are kept in RAM, the last ones used; None: no limit.

    Raises
    ------
    InvalidConfigurationError
        For a number out of range, for a model that has adapters, and for one without such modules.
    MissingDependencyError
        If ``peft`` is not installed.
    """

    capabilities = frozenset({Capability.STRICT, Capability.PIN})

    def __init__(
        self,
        *,
        model: torch.nn.Module,
        slots: int,
        max_rank: int,
        target_modules: str | Sequence[str] = "all-linear",
        base_model: str | None = None,
        ram_bytes: int | None = None,
    ) -> None:
        whole(slots, name="slots", error=InvalidConfigurationError)
        self._max_rank = whole(max_rank, name="max_rank", error=InvalidConfigurationError)
        if ram_bytes is not None:
            whole(ram_bytes, name="ram_bytes", error=InvalidConfigurationError)
        self._slots = [f"slot{i}" for i in range(slots + 1)]
        self._layers = _add_slots(model, self._slots, max_rank, target_modules)
        self._slot_bytes = sum(
            each[self._slots[0]].weight.nbytes
            for layer in self._layers.values()
            for each in (layer.lora_A, layer.lora_B)
        )
        self._base_model = base_model
        self._ram_bytes = math.inf if ram_bytes is None else ram_bytes
        self._ram: OrderedDict[str, _Weights] = OrderedDict()
        self._slot_of: dict[str, str] = {}
        self._in_flight: Counter[str] = Counter()
        self._lock = Lock()  # of the tables above, held briefly
        self._loading = Lock()  # one load at a time, while others serve
        self._serving: ContextVar[list[str] | None] = ContextVar("serving", default=None)
        for layer in self._layers.values():
            layer.register_forward_pre_hook(self._choose_slots, with_kwargs=True)

    def capacity(self) -> Capacity:
        """How much fits."""
        return Capacity(slots=len(self._slots) - 1, staging_slots=1)

    def size(self, adapter: AdapterSpec) -> int:
        """The bytes of ``adapter``, from the header of its file."""
        return adapter.size_bytes or AdapterSpec.read(adapter.path, name=adapter.name).size_bytes or 0

    def load(self, adapter: AdapterSpec) -> LoadResult:
        """Make ``adapter`` resident; see ``AdapterBackend``."""
        there = LoadResult(name=adapter.name, seconds=0.0, source=Tier.GPU)
        if self._use(adapter):
            return there
        with self._loading:
            if self._use(adapter):  # another thread was faster
                return there
            with self._lock:
                known = self._ram.get(adapter.name)
                slot = next((slot for slot in self._slots if slot not in self._slot_of.values()), None)
            if slot is None:
                raise AdapterCapacityError(
                    f"all {len(self._slots)} slots are taken, none is left for {adapter.name!r}; unload another"
                )
            started = time.perf_counter()
            weights = known or self._read(adapter)
            self._copy_into(slot, weights)
            seconds = time.perf_counter() - started
            with self._lock:
                self._slot_of[adapter.name] = slot
                self._ram[adapter.name] = weights
                self._trim()
        return LoadResult(name=adapter.name, seconds=seconds, source=Tier.RAM if known else Tier.DISK)

    def unload(self, name: str) -> bool:
        """Give up the slot of adapter ``name``; see ``AdapterBackend``. It stays in RAM."""
        with self._lock:
            if self._in_flight[name]:
                raise AdapterBusyError(
                    f"adapter {name!r} serves {self._in_flight[name]} requests; unload it when they have ended"
                )
            self._slot_of.pop(name, None)
        return True

    def resident(self) -> dict[str, Tier]:
        """Name -> tier of the adapters in slots and in RAM."""
        with self._lock:
            return dict.fromkeys(self._ram, Tier.RAM) | dict.fromkeys(self._slot_of, Tier.GPU)

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """A prior, by figures of one CPU core: a slot is written in full; the adapter's own bytes are read."""
        seconds = 3e-5 * len(self._layers) + self._slot_bytes / 2e10
        with self._lock:
            in_ram = adapter.name in self._ram
        if not in_ram:
            seconds += 5e-5 * len(self._layers) + self.size(adapter) / 4e9
        return CostEstimate(mean_seconds=seconds, p95_seconds=2.0 * seconds)

    @contextmanager
    def serving(self, adapters: Sequence[str | None]) -> Iterator[None]:
        """Serve a batch: its i-th row through ``adapters[i]``, None for the base model.

        What this thread or task calls the model for inside is served so; the adapters cannot be unloaded meanwhile.

        Raises
        ------
        AdapterNotFoundError
            If one of them is not resident.
        InvalidInputError
            By the model, if the batch has another number of rows.
        """
        names = {name for name in adapters if name is not None}
        with self._lock:
            missing = sorted(names - self._slot_of.keys())
            if missing:
                raise AdapterNotFoundError(f"adapter {missing[0]!r} is not resident; load it first")
            self._in_flight.update(names)
            slots = [_BASE if name is None else self._slot_of[name] for name in adapters]
        token = self._serving.set(slots)
        try:
            yield
        finally:
            self._serving.reset(token)
            with self._lock:
                self._in_flight.subtract(names)

    def _use(self, adapter: AdapterSpec) -> bool:
        """Count a use of ``adapter``; whether it is in a slot."""
        with self._lock:
            if adapter.name in self._ram:  # as all are that are in slots
                check_same(adapter, self._ram[adapter.name].path)
                self._ram.move_to_end(adapter.name)
            return adapter.name in self._slot_of

    def _choose_slots(
        self, module: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[torch.Tensor, ...], dict[str, Any]]:
        """Tell a layer each row's slot. Unlike ``model(..., adapter_names=...)`` it allows for several threads."""
        slots, rows = self._serving.get(), len(args[0])
        if slots is not None and len(slots) != rows:
            raise InvalidInputError(
                f"the batch has {rows} rows, and is served through {len(slots)} adapters; name one for each row, in "
                "beam search for each beam"
            )
        return args, kwargs | {"adapter_names": slots or [_BASE] * rows}

    def _copy_into(self, slot: str, weights: _Weights) -> None:
        torch = optional("torch", extra="adapters")
        with torch.no_grad():
            for name, layer in self._layers.items():
                into_a, into_b = layer.lora_A[slot].weight, layer.lora_B[slot].weight
                rank = 0
                if name in weights.modules:
                    a, b, layer.scaling[slot] = weights.modules[name]
                    rank = len(a)
                    into_a[:rank].copy_(a)
                    into_b[:, :rank].copy_(b)
                into_a[rank:].zero_()
                into_b[:, rank:].zero_()

    def _read(self, adapter: AdapterSpec) -> _Weights:
        """The weights of ``adapter``, checked against the slots."""
        config = read_config(adapter.path, name=adapter.name)
        variant = next((key for key in _VARIANTS if config.get(key)), None)
        if variant is not None:
            raise AdapterIncompatibleError(f"adapter {adapter.name!r} uses {variant}; only plain LoRA can be copied in")
        if self._base_model not in (None, config.get("base_model_name_or_path")):
            raise AdapterIncompatibleError(
                f"adapter {adapter.name!r} was trained on {config.get('base_model_name_or_path')!r}, the model is "
                f"{self._base_model!r}; give an adapter of this model"
            )
        with reading(WEIGHTS, name=adapter.name, path=adapter.path):
            left = optional("safetensors.torch", extra="adapters").load_file(Path(adapter.path) / WEIGHTS)
        modules = {}
        size_bytes = 0
        for name, layer in self._layers.items():
            a, b = (left.pop(f"{_PREFIX}{name}.lora_{half}.weight", None) for half in "AB")
            if a is None and b is None:
                continue
            into_a, into_b = layer.lora_A[self._slots[0]].weight, layer.lora_B[self._slots[0]].weight
            rank = a.shape[0] if a is not None and a.ndim else 0
            given = tuple(() if half is None else tuple(half.shape) for half in (a, b))
            if not 1 <= rank <= self._max_rank or given != ((rank, into_a.shape[1]), (into_b.shape[0], rank)):
                raise AdapterIncompatibleError(
                    f"module {name!r} of adapter {adapter.name!r} has the shapes {given}; slots hold ranks of 1 to "
                    f"{self._max_rank} between {into_a.shape[1]} inputs and {into_b.shape[0]} outputs"
                )
            with reading(CONFIG, name=adapter.name, path=adapter.path):
                scaling = _scaling(config, name, rank)
            a, b = (half.to(into_a.dtype, copy=True) for half in (a, b))  # a view of the file would change with it
            modules[name] = (a, b, scaling)
            size_bytes += a.nbytes + b.nbytes
        if left or not modules:
            raise AdapterIncompatibleError(
                f"adapter {adapter.name!r} changes {min(left, default='nothing')!r}, which no slot has; give an "
                "adapter of this model, or more target_modules"
            )
        return _Weights(adapter.path, modules, size_bytes)

    def _trim(self) -> None:
        """Forget the weights that were used longest ago, but of resident adapters, until the rest is small enough."""
        excess = sum(weights.size_bytes for weights in self._ram.values()) - self._ram_bytes
        for name in [name for name in self._ram if name not in self._slot_of]:
            if excess <= 0:
                break
            excess -= self._ram.pop(name).size_bytes


def _add_slots(
    model: torch.nn.Module, slots: Sequence[str], rank: int, target_modules: str | Sequence[str]
) -> dict[str, Any]:
    """Put ``slots`` into ``model``: name of each module that got them -> the module."""
    peft = optional("peft", extra="adapters")
    lora = optional("peft.tuners.lora", extra="adapters")
    if any(isinstance(module, lora.LoraLayer) for module in model.modules()):
        raise InvalidConfigurationError("the model has LoRA adapters; give one without, and load them by their specs")
    targets = target_modules if isinstance(target_modules, str) else list(target_modules)
    try:
        configs = {slot: peft.LoraConfig(r=rank, target_modules=targets, inference_mode=True) for slot in slots}
        tuner = lora.LoraModel(model, configs, slots[0])
        for slot in slots[1:]:
            tuner.inject_adapter(model, slot)
    except ValueError as error:
        raise InvalidConfigurationError(f"target_modules {target_modules!r} do not fit the model: {error}") from error
    model.train(False).requires_grad_(False)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, lora.LoraLayer) and slots[0] in module.lora_A
    }


def _scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What the product of A and B is multiplied with in ``module``: alpha / r; with ``use_rslora``, alpha / sqrt(r)."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    own = (alpha for pattern, alpha in patterns.items() if re.match(rf"(.*\.)?({pattern})$", module))
    alpha = number(next(own, config["lora_alpha"]), name="lora_alpha")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
