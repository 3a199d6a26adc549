"""Readers of logs under fire: valid files of every format, damaged at random; only declared errors may come out."""

from __future__ import annotations

import gzip
import json
import math
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from banditroute import Router, SQLStore
from banditroute.errors import BanditRouteError
from banditroute.simulate.readers import convert, open_log, read_log
from banditroute.simulate.readers.form import schema

LINES = 6
_WRONG = (
    None, True, "", "x", "\ud800", "\x00", -1, 0, 1.5, 10**40, 2**63, 1e308, -1e-320, math.nan, math.inf, [], {}, [[]],
    [None], {"": None}, "9" * 5000, "2026-13-99",
)  # fmt: skip
_TOKENS = (b"NaN", b"Infinity", b"1e999", b"null", b'"', b"{", b"[" * 3000, b",", b"\n", b"\x00", b"\xff\xfe", b"-", b"\\ud800")


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
        "request_tags": ["eu"], "messages": [{"role": "user", "content": "Why?"}], "session_id": "s", "status": "success",
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
    arm = ("small", "large")[n % 2]
    return {"query_id": f"q{n // 2}", "model": arm, "prompt": "Why, \"really\"?", "dataset": "sums", "score": 0.5, "cost_usd": 0.1}


def routerbench(n: int) -> dict[str, Any]:
    """A row of a wide table."""
    about = {"sample_id": f"s{n}", "prompt": "Why?", "eval_name": "mmlu"}
    return {**about, "small": 0.5, "small|total_cost": 0.01, "large": 1.0, "large|total_cost": 0.1, "large|model_response": "Because,\nso"}


def open_bandit(n: int) -> dict[str, Any]:
    """A row of the Open Bandit Dataset."""
    return {
        "": n, "timestamp": "2019-11-24 00:00:05.846285+00:00", "item_id": n % 3, "position": 1 + n % 3, "click": n % 2,
        "propensity_score": 0.33, "user_feature_0": "81ce", "user_feature_1": "03a5", "user-item_affinity_0": 0.0,
        "user-item_affinity_1": 2.0,
    }  # fmt: skip


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    """A CSV file."""
    quoted = [[f'"{str(cell).replace(chr(34), chr(34) * 2)}"' for cell in each] for each in ([*rows[0]], *(r.values() for r in rows))]
    return "\n".join(",".join(line) for line in quoted).encode("utf-8", "replace") + b"\n"


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    """A JSON lines file."""
    return "".join(json.dumps(each) + "\n" for each in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet file, in our own form where the rows are decisions."""
    table = pa.Table.from_pylist(rows, schema=schema()) if "arms" in rows[0] else pa.Table.from_pylist(rows)
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
    "open-bandit.csv": (open_bandit, as_csv),
}
"""Name -> what makes its n-th row, and what makes a file of rows; the name's stem is the format's."""


def sample(name: str) -> bytes:
    """A valid file."""
    make, write = SAMPLES[name]
    return write([make(n) for n in range(LINES)])
