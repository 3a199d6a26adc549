"""Paging an adapter in: ``load_adapter`` of peft against copying into a slot, on a random transformer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import peft
import torch
from tqdm import tqdm
from transformers import Qwen2Config, Qwen2ForCausalLM

from banditroute.adapters import AdapterSpec, PeftBackend


class Numbers(click.ParamType):
    """Whole numbers, separated by commas."""

    name = "n,n,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        return [int(each) for each in value.split(",")]


OPTIONS = [
    click.option("--ranks", default="4,8,16,32,64", show_default=True, type=Numbers()),
    click.option("--residents", default="2,5,10,15", show_default=True, type=Numbers()),
    click.option("--layers", default=4, show_default=True, help="of the model; each has seven linear modules"),
    click.option("--width", default=256, show_default=True, help="of the model, a multiple of 64"),
]


@command(seeds=20, options=OPTIONS)
def main(
    *, files: list[Path], seeds: int, ranks: list[int], residents: list[int], layers: int, width: int
) -> list[Row]:
    """CPU milliseconds to page in one adapter more, for each rank and number of residents, each measured --seeds times.

    `load_adapter` reads its file; `banditroute/from_disk` does, too; `banditroute` has it in RAM. Slots have the
    largest of the ranks. The files are in the page cache throughout.
    """
    torch.set_num_threads(1)
    rows: list[Row] = []
    cells = [(rank, count) for rank in ranks for count in residents]
    with TemporaryDirectory() as folder:
        for rank in ranks:
            save(Path(folder) / str(rank), rank, layers, width)
        for rank, count in tqdm(cells, desc=f"{layers} layers of {width}"):
            path = str(Path(folder) / str(rank))
            base = model(layers, width)
            seconds = slots(base, path, count, max(ranks), seeds)
            seconds["load_adapter"] = load_adapter(model(layers, width), path, count, seeds)
            case = f"rank{rank}_residents{count}"
            for policy, values in seconds.items():
                milliseconds = [1e3 * each for each in values]
                rows.append(row(case, policy, "cpu_milliseconds", milliseconds, higher_is_better=False))
                if policy != "load_adapter":
                    ratios = [a / b for a, b in zip(seconds["load_adapter"], values, strict=True)]
                    rows.append(row(case, policy, "ratio_to_load_adapter", ratios))
    return rows


def model(layers: int, width: int) -> Qwen2ForCausalLM:
    """A random model in the proportions of Qwen2.5-0.5B, which has 24 layers of 896."""
    heads = width // 64
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=256,
            hidden_size=width,
            intermediate_size=width * 38 // 7,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=2 - heads % 2,
        )
    )


def save(folder: Path, rank: int, layers: int, width: int) -> None:
    """Write an adapter of random weights on all linear modules."""
    config = peft.LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
    peft.get_peft_model(model(layers, width), config).save_pretrained(folder)


def load_adapter(base: Qwen2ForCausalLM, path: str, residents: int, repeats: int) -> list[float]:
    """CPU seconds of each of ``repeats`` loads beside ``residents`` others."""
    adapted = peft.PeftModel.from_pretrained(base, path, adapter_name="adapter0").eval()
    for i in range(1, residents):
        adapted.load_adapter(path, f"adapter{i}")
    seconds = []
    for _ in range(repeats):
        seconds.append(timed(lambda: adapted.load_adapter(path, "one_more")))
        adapted.delete_adapter("one_more")
    return seconds


def slots(base: Qwen2ForCausalLM, path: str, residents: int, max_rank: int, repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each of ``repeats`` loads into the staging slot, beside ``residents`` others."""
    backend = PeftBackend(model=base, slots=residents, max_rank=max_rank, ram_bytes=1)  # none but the last
    for i in range(residents):
        backend.load(AdapterSpec(name=f"adapter{i}", path=path))
    seconds: dict[str, list[float]] = {"banditroute": [], "banditroute/from_disk": []}
    for i in range(repeats):
        one_more = AdapterSpec(name=f"one_more{i}", path=path)
        for each in ("banditroute/from_disk", "banditroute"):  # the first load reads, the second finds it in RAM
            seconds[each].append(timed(lambda spec=one_more: backend.load(spec)))
            backend.unload(one_more.name)
    return seconds


def timed(action: Callable[[], object]) -> float:
    """CPU seconds that ``action`` takes."""
    started = time.process_time()
    action()
    return time.process_time() - started


if __name__ == "__main__":
    main()
