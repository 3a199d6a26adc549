"""Readers of logs under fire: valid files of every format, damaged at random; only declared errors may come out."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import math
import random
import resource
import tempfile
import time
from array import array
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from banditroute import Router, SQLStore
from banditroute.errors import BanditRouteError
from banditroute.logs import DecisionLog, convert, open_log, read_log, read_outcomes
from banditroute.logs.readers.canonical import schema
from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

LINES = 6
_WRONG = (
    None, True, "", "x", "\ud800", "\x00", -1, 0, 1.5, 10**40, 2**63, 1e308, -1e-320, math.nan, math.inf, [], {}, [[]],
    [None], {"": None}, "9" * 5000, "2026-13-99",
)  # fmt: skip
_TOKENS = (
    b"NaN",
    b"Infinity",
    b"1e999",
    b"null",
    b'"',
    b"{",
    b"[" * 3000,
    b",",
    b"\n",
    b"\x00",
    b"\xff\xfe",
    b"-",
    b"\\ud800",
)


def decision(n: int) -> dict[str, Any]:
    """A line of our own form."""
    return {
        "id": f"{n:032x}", "router": "default", "features_version": "given-1", "decided_at": 1.7e9 + n, "ordinal": n,
        "arm": "small", "propensity": 0.75, "reason": "policy", "policy": "LinUCB", "preference": {"quality": 1.0},
        "arms": ["large", "small"], "probabilities": [0.25, 0.75], "x": [0.5 * n, 1.0], "session": "Ann",
        "tags": ["eu"], "input_tokens": 12, "prompt": "Why?", "outcomes": {"quality": 1.0, "cost_usd": 0.01},
    }  # fmt: skip


def dsjson(n: int) -> dict[str, Any]:
    """A line of Vowpal Wabbit's."""
    return {
        "_label_cost": -0.5, "_label_probability": 0.8, "_label_Action": 2, "_labelIndex": 1, "o": [{"v": 0.5}],
        "Timestamp": "2026-01-01T00:00:00.1234567Z", "Version": "1", "EventId": f"e{n}", "a": [2, 1],
        "c": {"User": {"age": 30, "tier": "gold"}, "_multi": [{"_tag": "small"}, {"_tag": "large"}]}, "p": [0.8, 0.2],
        "VWState": {"m": "1"}, "pdrop": 0.0,
    }  # fmt: skip


def litellm(n: int) -> dict[str, Any]:
    """A row of LiteLLM's spend logs."""
    return {
        "request_id": f"r{n}", "call_type": "acompletion", "spend": 0.002, "total_tokens": 30, "prompt_tokens": 10,
        "completion_tokens": 20, "startTime": "2026-01-01T00:00:00.000Z", "endTime": "2026-01-01T00:00:02.500Z",
        "model": "gpt-small", "model_group": "chat", "metadata": {"score": 1.0}, "cache_hit": "False",
        "request_tags": ["eu"], "messages": [{"role": "user", "content": "Why?"}], "session_id": "s",
        "status": "success",
    }  # fmt: skip


def otlp(n: int) -> dict[str, Any]:
    """A line of OTLP with one span."""
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-small"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "20"}},
        {"key": "banditroute.decision.propensity", "value": {"doubleValue": 0.5}},
    ]
    evaluation = [
        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "quality"}},
        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 1.0}},
    ]
    span = {
        "traceId": "0" * 32, "spanId": f"{n:016x}", "name": "chat", "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001500000000", "attributes": attributes, "status": {"code": 1},
        "events": [{"name": "gen_ai.evaluation.result", "attributes": evaluation}],
    }  # fmt: skip
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


def outcome(n: int) -> dict[str, Any]:
    """A row of a long table."""
    return {
        "query_id": f"q{n // 2}", "model": ("small", "large")[n % 2], "prompt": 'Why, "really"?', "dataset": "sums",
        "score": 0.5, "cost_usd": 0.1,
    }  # fmt: skip


def routerbench(n: int) -> dict[str, Any]:
    """A row of a wide table."""
    return {
        "sample_id": f"s{n}", "prompt": "Why?", "eval_name": "mmlu", "small": 0.5, "small|total_cost": 0.01,
        "large": 1.0, "large|total_cost": 0.1, "large|model_response": "Because,\nso",
    }  # fmt: skip


def in_columns(n: int) -> dict[str, Any]:
    """Return a row of a flat log."""
    return {
        "id": f"d{n}", "arm": ("small", "large")[n % 2], "propensity": 0.5, "quality": 0.5, "cost_usd": 0.1,
        "latency_s": 1.5, "ts": "2026-01-01T00:00:00Z", "prompt": "Why;\nreally?", "x_0": 0.5, "x_1": -2,
    }  # fmt: skip


def with_endings(n: int) -> dict[str, Any]:
    """Return a row of a wide table with endings."""
    return {"id": n, "prompt": "Why?", "small_score": 0.5, "small_cost": 0.01, "score:large": 1.0, "cost:large": 0.1}


def sdk_span(n: int) -> dict[str, Any]:
    """Return a span, or an evaluation of the span before, as the Python SDK writes them."""
    if n % 3 == 2:
        attributes = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": 0.5}
        return {"severity_number": 9, "span_id": f"0x{n - 1}", "trace_id": "0x1", "attributes": attributes}
    return {
        "name": "chat", "context": {"trace_id": "0x1", "span_id": f"0x{n}"}, "kind": "SpanKind.CLIENT",
        "start_time": "2026-01-01T00:00:00.000000Z", "end_time": "2026-01-01T00:00:01.000000Z",
        "status": {"status_code": "UNSET"}, "events": [], "attributes": {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "small", "gen_ai.usage.output_tokens": n,
        },
    }  # fmt: skip


def open_bandit(n: int) -> dict[str, Any]:
    """A row of the Open Bandit Dataset."""
    return {
        "": n, "timestamp": "2019-11-24 00:00:05.846285+00:00", "item_id": n % 3, "position": 1 + n % 3, "click": n % 2,
        "propensity_score": 0.33, "user_feature_0": "81ce", "user_feature_1": "03a5", "user-item_affinity_0": 0.0,
        "user-item_affinity_1": 2.0,
    }  # fmt: skip


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """A CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([rows[0], *(each.values() for each in rows)])
    return text.getvalue().encode("utf-8", "replace")


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    """A JSON lines file."""
    return "".join(json.dumps(each) + "\n" for each in rows).encode()


def as_printed(rows: list[dict[str, Any]]) -> bytes:
    """Return pretty-printed JSON, one record after the other."""
    return "\n".join(json.dumps(each, indent=4) for each in rows).encode()


def as_array(rows: list[dict[str, Any]]) -> bytes:
    """Return one JSON array."""
    return json.dumps(rows, indent=1).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet file, in our own form where the rows are decisions."""
    if all("outcomes" in each for each in rows):
        maps = [{name: dict(each.get(name) or {}) for name in ("preference", "outcomes")} for each in rows]
        # As pairs of a dict: pyarrow ends the process for a map that it is given with an entry of None.
        pairs = [{name: list(each.items()) for name, each in of_row.items()} for of_row in maps]
        table = pa.Table.from_pylist(
            [{**each, **more} for each, more in zip(rows, pairs, strict=True)], schema=schema()
        )
    else:
        table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def as_sqlite(rows: list[dict[str, Any]]) -> bytes:
    """A router's database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "routes.db"
        with Router(arms=["large", "small"], features=1, store=SQLStore(f"sqlite:///{path}"), seed=0) as router:
            for n in range(len(rows)):
                router.feedback(router.route([float(n)], session="Ann").id, quality=1.0)
        return path.read_bytes()


SAMPLES: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[list[dict[str, Any]]], bytes]]] = {
    "decisions.jsonl": (decision, as_jsonl),
    "decisions.parquet": (decision, as_parquet),
    "decisions.db": (decision, as_sqlite),
    "dsjson.jsonl": (dsjson, as_jsonl),
    "litellm.jsonl": (litellm, as_jsonl),
    "otel.jsonl": (otlp, as_jsonl),
    "long.csv": (outcome, as_csv),
    "long.parquet": (outcome, as_parquet),
    "long.jsonl": (outcome, as_jsonl),
    "wide.csv": (routerbench, as_csv),
    "wide.parquet": (with_endings, as_parquet),
    "flat.csv": (in_columns, as_csv),
    "flat.parquet": (in_columns, as_parquet),
    "flat.jsonl": (in_columns, as_jsonl),
    "flat.json": (in_columns, as_array),
    "otel.json": (sdk_span, as_printed),
    "open-bandit.csv": (open_bandit, as_csv),
}
"""Name -> what makes its n-th row, and what makes a file of rows; the name's stem is the format's."""


def sample(name: str) -> bytes:
    """A valid file."""
    make, write = SAMPLES[name]
    return write([make(n) for n in range(LINES)])


def damaged(name: str, rng: random.Random) -> bytes:
    """A valid file with one to three things wrong: values, keys, bytes, or its end."""
    make, write = SAMPLES[name]
    content = _valid(name)
    if rng.random() < 0.5 and not name.endswith(".db"):
        rows = [make(n) for n in range(LINES)]
        for _ in range(rng.randint(1, 3)):
            _spoil(rng.choice(rows), rng)
        try:
            content = write(rows)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError):
            pass  # what cannot be written so is damaged below
        else:
            return content
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) + 1)
        head, tail = content[:at], content[at:]
        content = head + rng.choice(
            [
                b"",
                bytes([rng.randrange(256)]) + tail[1:],
                rng.choice(_TOKENS) + tail,
                tail[rng.randrange(40) :],
                tail[:200] + tail,
            ]
        )
    if rng.random() < 0.1:
        content = gzip.compress(content, compresslevel=1)[: rng.choice((None, -5, 40))]
    return content


def read(path: Path, *, skip_bad: bool) -> None:
    """Read a file in every way; what comes out must be whole.

    Raises
    ------
    AssertionError
        If something else than a log comes out.
    BanditRouteError
        As the readers raise it.
    """
    log = open_log(path, skip_bad=skip_bad)
    if log.format.of_outcomes:
        table = read_outcomes(path, partial=skip_bad, skip_bad=skip_bad)
        assert all(((values >= 0.0) | np.isnan(values)).all() for values in table.outcomes.values())
    else:
        _check(read_log(path, skip_bad=skip_bad))
    assert convert(log, path.with_name("out.jsonl")) > 0


def _check(log: DecisionLog) -> None:
    n, k = len(log), len(log.arms)
    assert n > 0
    assert log.eligible.shape == (n, k)
    assert log.eligible[np.arange(n), log.chosen].all()
    if log.propensities is not None:
        told = log.propensities[~np.isnan(log.propensities)]
        assert ((told > 0.0) & (told <= 1.0)).all()
    if log.probabilities is not None:
        told = log.probabilities[~np.isnan(log.probabilities).any(axis=1)]
        assert np.allclose(told.sum(axis=1), 1.0, atol=1e-3)
    quality = log.outcomes.get("quality", np.zeros(n))
    assert ((quality >= 0.0) & (quality <= 1.0) | np.isnan(quality)).all()
    assert not any(np.isinf(values).any() for values in log.outcomes.values())
    assert log.contexts is None or not np.isinf(log.contexts).any()


@lru_cache
def _valid(name: str) -> bytes:
    return sample(name)


def _spoil(value: Any, rng: random.Random) -> None:
    """Change something, at any depth, of an object or a list."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], dict | list) and rng.random() < 0.7:
            value = value[key]
            continue
        if rng.random() < 0.2:
            del value[key]
        elif rng.random() < 0.1:
            for _ in range(rng.choice((3, 200, 900))):
                value[key] = [value[key]]
        else:
            value[key] = copy.deepcopy(rng.choice(_WRONG))
        return


def run(cases: int, *, seed: int, folder: Path) -> dict[str, tuple[array[float], array[int]]]:
    """Read damaged files; of each format, how many seconds each took, and whether it was refused.

    Raises
    ------
    AssertionError
        For anything but a log or a declared error; it names the case.
    """
    took = {name: (array("d"), array("b")) for name in SAMPLES}
    for case in tqdm(range(cases), desc=f"seed {seed}", disable=None):
        rng = random.Random(f"{seed}/{case}")
        name = rng.choices(list(SAMPLES), [0.1 if name.endswith(".db") else 1.0 for name in SAMPLES])[0]
        path = folder / f"case{case}"
        path.write_bytes(damaged(name, rng))
        refused = False
        began = time.perf_counter()
        try:
            read(path, skip_bad=rng.random() < 0.5)
        except BanditRouteError:
            refused = True
        except Exception as error:
            raise AssertionError(f"case {case} of seed {seed}, {name}: {error!r}; the file is {path}") from error
        for figures, figure in zip(took[name], (time.perf_counter() - began, refused), strict=True):
            figures.append(figure)
        for left in folder.iterdir():
            left.unlink()
    return took


@command(
    seeds=1, options=[click.option("--cases", default=100_000, show_default=True, help="Damaged files of a seed.")]
)
def main(*, files: list[Path], seeds: int, cases: int) -> list[Row]:
    """Damaged files of every format: how many are refused, and how long the slowest takes.

    An error that is not declared, or a log that is not whole, ends the run and names the case.
    """
    rows = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            run(min(cases, 1000), seed=-1, folder=Path(folder))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found = run(cases, seed=seed, folder=Path(folder))
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, (seconds, refused) in found.items():
            rows.append(row(name, "readers", "refused", list(refused)))
            rows.append(row(name, "readers", "seconds", list(seconds), higher_is_better=False))
        rows.append(row("all", "readers", "more_bytes_than_after_1000_cases", [(after - before) * 1024.0]))
    return rows


if __name__ == "__main__":
    main()
