"""Adapters of a transformers model in this process: slots are made once, and weights are copied into them.

``peft``'s own ``load_adapter`` builds modules for every adapter. It takes longer the more adapters there are, and must
not happen during a forward pass. Copying weights into existing modules avoids both.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

from banditroute.adapters.backends.base import Capability, Capacity, CostEstimate, LoadResult, Tier, check_same
from banditroute.core.adapter import CONFIG, WEIGHTS, AdapterSpec, read_config, reading, regular_file
from banditroute.core.forking import hold_while_forking
from banditroute.core.optional_imports import optional
from banditroute.core.validation import number, shown, whole
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
# Settings that do not change how A and B of a linear module are used. Any other setting that is switched on (DoRA,
# added tokens, replicated layers, one that is not known yet) may compute something else from the same weights.
_HARMLESS_SETTINGS = frozenset(
    {
        "alpha_pattern",
        "auto_mapping",
        "base_model_name_or_path",
        "bias",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_alpha",
        "lora_dropout",
        "lora_ga_config",
        "megatron_config",
        "megatron_core",
        "modules_to_save",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
        "use_rslora",
        "velora_config",
    }
)
_PATTERN_SECONDS = 1.0  # for all patterns of an adapter's configuration; they are its author's regular expressions
_MAX_ALPHA = 1e6
_MAX_PATTERNS = 10_000
_MAX_PATTERN_CHARACTERS = 1_000
_GUESS_LOG_STD = 1.1  # the guess of load seconds is right within a factor of 3


@dataclass(frozen=True, slots=True)
class _Weights:
    """The weights of an adapter in RAM: module name -> (A ``(r, in)``, B ``(out, r)``, scaling)."""

    path: str
    modules: Mapping[str, tuple[torch.Tensor, torch.Tensor, float]]
    size_bytes: int


class PeftBackend:
    """LoRA adapters on a transformers model in this process.

    The model is changed in place: it gets ``slots + 1`` adapters of rank ``max_rank``, one of them for staging, is put
    into evaluation mode, and needs no gradients any more. Smaller ranks are padded with zeros, so the output is that of
    the adapter alone. Outside of ``serving`` the model is the base model.

    Parameters
    ----------
    model
        A model without adapters. Its slots have its device and its type of numbers.
    slots
        Adapters that may be resident, at least 1, besides the one in staging.
    max_rank
        The largest rank of any adapter, at least 1.
    target_modules
        Modules that any adapter changes, as in ``peft.LoraConfig``.
    base_model
        Name of the model that adapters must have been trained on; None: any adapter whose modules fit.
    ram_bytes
        Bytes of adapters kept in RAM, the ones used last; None: no limit.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range, or the model has adapters already or lacks such modules.
    MissingDependencyError
        If ``peft`` is not installed.
    """

    capabilities: frozenset[Capability] = frozenset({Capability.STRICT, Capability.PIN})

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
        self._written: dict[str, tuple[int, ...]] = {}  # name -> size and time of its files when they were read
        self._slot_of: dict[str, str] = {}
        self._in_flight: Counter[str] = Counter()
        self._lock = RLock()  # of the tables above, held briefly
        self._loading = Lock()  # one load at a time, while others serve
        hold_while_forking(self, "_loading", "_lock")
        self._serving: ContextVar[list[str] | None] = ContextVar("serving", default=None)
        for layer in self._layers.values():
            layer.register_forward_pre_hook(self._choose_slots, with_kwargs=True)

    def begin_in_child(self) -> None:
        """Serve the requests of a forked child alone: those in flight are the parent's."""
        self._in_flight.clear()

    def capacity(self) -> Capacity:
        """Return how much fits."""
        return Capacity(slots=len(self._slots) - 1, staging_slots=1)

    def size(self, adapter: AdapterSpec) -> int:
        """Return the bytes of ``adapter``, from the header of its file."""
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
            try:
                weights = known or self._read_again(adapter)
                self._copy_into(slot, weights)
            except (MemoryError, optional("torch", extra="peft").OutOfMemoryError) as error:
                raise AdapterCapacityError(
                    f"memory is too short for adapter {adapter.name!r} ({type(error).__name__}); give fewer slots, or "
                    "less ram_bytes"
                ) from error
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
        """Return name -> tier of the adapters in slots and in RAM."""
        with self._lock:
            return dict.fromkeys(self._ram, Tier.RAM) | dict.fromkeys(self._slot_of, Tier.GPU)

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """Guess from figures of one CPU core: a slot is written in full, and an adapter on disk is read."""
        seconds = 3e-5 * len(self._layers) + self._slot_bytes / 2e10
        with self._lock:
            source = Tier.RAM if adapter.name in self._ram else Tier.DISK
        if source is Tier.DISK:
            seconds += 5e-5 * len(self._layers) + self.size(adapter) / 4e9
        return CostEstimate(
            mean_seconds=seconds, p95_seconds=2.0 * seconds, log_std=_GUESS_LOG_STD, source=Tier(source)
        )

    @contextmanager
    def serving(self, adapters: Sequence[str | None]) -> Iterator[None]:
        """Serve a batch: its i-th row through ``adapters[i]``, None for the base model.

        Inside, calls of the model by this thread or task use these adapters, and none of them can be unloaded.

        Raises
        ------
        AdapterNotFoundError
            If one of them is not resident.
        InvalidInputError
            If the model is called with another number of rows.
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
                for name in names:  # a forked child counts from 0
                    self._in_flight[name] = max(self._in_flight[name] - 1, 0)

    def _use(self, adapter: AdapterSpec) -> bool:
        """Count a use of ``adapter``, and return whether it is in a slot."""
        with self._lock:
            if adapter.name in self._ram:  # as all are that are in slots
                check_same(adapter, self._ram[adapter.name].path)
                self._ram.move_to_end(adapter.name)
            return adapter.name in self._slot_of

    def _choose_slots(
        self, module: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[torch.Tensor, ...], dict[str, Any]]:
        """Give a layer each row's slot. Unlike ``model(..., adapter_names=...)`` this is safe in several threads."""
        slots, rows = self._serving.get(), len(args[0])
        if slots is not None and len(slots) != rows:
            raise InvalidInputError(
                f"the batch has {rows} rows, and is served through {len(slots)} adapters; name one for each row, in "
                "beam search for each beam"
            )
        return args, kwargs | {"adapter_names": slots or [_BASE] * rows}

    def _copy_into(self, slot: str, weights: _Weights) -> None:
        torch = optional("torch", extra="peft")
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

    def _read_again(self, adapter: AdapterSpec) -> _Weights:
        """Read the weights of ``adapter``, which must be those that were read before under its name."""
        written = _written(adapter.path)
        weights = self._read(adapter)
        if self._written.setdefault(adapter.name, written) != written:
            raise AdapterIncompatibleError(
                f"the files of adapter {adapter.name!r} have changed since they were first read; give the new version "
                "another name, since all that was learned of this one is about the old weights"
            )
        return weights

    def _read(self, adapter: AdapterSpec) -> _Weights:
        """Read the weights of ``adapter``, and check them against the slots."""
        config = read_config(adapter.path, name=adapter.name)
        variant = next((key for key, value in config.items() if value and key not in _HARMLESS_SETTINGS), None)
        if variant is not None:
            raise AdapterIncompatibleError(
                f"adapter {adapter.name!r} uses {variant[:80]}; only plain LoRA can be copied in"
            )
        if self._base_model not in (None, config.get("base_model_name_or_path")):
            raise AdapterIncompatibleError(
                f"adapter {adapter.name!r} was trained on {config.get('base_model_name_or_path')!r}, the model is "
                f"{self._base_model!r}; give an adapter of this model"
            )
        with reading(WEIGHTS, name=adapter.name, path=adapter.path):
            file = regular_file(Path(adapter.path) / WEIGHTS)
            with optional("safetensors", extra="peft").safe_open(file, "pt") as opened:
                known = {f"{_PREFIX}{name}.lora_{half}.weight" for name in self._layers for half in "AB"}
                foreign = min(set(opened.keys()) - known, default=None)
            if foreign is not None:  # such a file may have any number of tensors, and is not read
                raise AdapterIncompatibleError(
                    f"adapter {adapter.name!r} changes {shown(foreign)}, which no slot has; give an adapter of this "
                    "model, or more target_modules"
                )
            left = optional("safetensors.torch", extra="peft").load_file(file)
        with reading(CONFIG, name=adapter.name, path=adapter.path):
            alphas = _alphas(config, list(self._layers))
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
            scaling = alphas[name] / (math.sqrt(rank) if config.get("use_rslora") else rank)
            a, b = (half.to(into_a.dtype, copy=True) for half in (a, b))  # a view of the file would change with it
            modules[name] = (a, b, scaling)
            size_bytes += a.nbytes + b.nbytes
        if not modules:
            raise AdapterIncompatibleError(
                f"adapter {adapter.name!r} changes nothing; give an adapter of this model, or more target_modules"
            )
        return _Weights(adapter.path, modules, size_bytes)

    def _trim(self) -> None:
        """Forget the weights used longest ago until the rest fits; those of resident adapters stay."""
        excess = sum(weights.size_bytes for weights in self._ram.values()) - self._ram_bytes
        for name in [name for name in self._ram if name not in self._slot_of]:
            if excess <= 0:
                break
            excess -= self._ram.pop(name).size_bytes


def _written(path: str) -> tuple[int, ...]:
    """Return size and time of an adapter's files; empty if they are gone."""
    try:
        stats = [(Path(path) / file).stat() for file in (WEIGHTS, CONFIG)]
    except OSError:
        return ()
    return tuple(each for stat in stats for each in (stat.st_size, stat.st_mtime_ns, stat.st_ino))


def _add_slots(
    model: torch.nn.Module, slots: Sequence[str], rank: int, target_modules: str | Sequence[str]
) -> dict[str, Any]:
    """Put ``slots`` into ``model``, and return name -> module of those that have them."""
    peft = optional("peft", extra="peft")
    lora = optional("peft.tuners.lora", extra="peft")
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


def _alphas(config: Mapping[str, Any], modules: Sequence[str]) -> dict[str, float]:
    """Return module -> alpha: that of the first pattern which matches the module, else ``lora_alpha``.

    Raises
    ------
    ValueError
        If the patterns take too long, which some regular expressions do.
    """
    regex = optional("regex", extra="peft")
    ends = time.monotonic() + _PATTERN_SECONDS
    default = number(config["lora_alpha"], name="lora_alpha", low=-_MAX_ALPHA, high=_MAX_ALPHA)
    alphas = dict.fromkeys(modules, default)
    patterns = {
        pattern: number(alpha, name="alpha_pattern", low=-_MAX_ALPHA, high=_MAX_ALPHA)
        for pattern, alpha in _patterns(config).items()
    }
    try:
        compiled = [(regex.compile(rf"(.*\.)?({pattern})$"), alpha) for pattern, alpha in patterns.items()]
        for module in modules:
            for pattern, alpha in compiled:
                if pattern.match(module, timeout=max(ends - time.monotonic(), 1e-3)):
                    alphas[module] = alpha
                    break
    except TimeoutError:
        raise ValueError(f"alpha_pattern takes more than {_PATTERN_SECONDS:g} seconds to match") from None
    except regex.error as error:
        raise ValueError(f"alpha_pattern is not a regular expression: {error}") from None
    return alphas


def _patterns(config: Mapping[str, Any]) -> Mapping[str, Any]:
    patterns: Mapping[str, Any] = config.get("alpha_pattern") or {}
    if len(patterns) > _MAX_PATTERNS or any(len(pattern) > _MAX_PATTERN_CHARACTERS for pattern in patterns):
        raise ValueError(
            f"alpha_pattern has more than {_MAX_PATTERNS} patterns, or one of over {_MAX_PATTERN_CHARACTERS} characters"
        )
    return patterns
