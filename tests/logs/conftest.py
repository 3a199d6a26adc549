"""Logs of all formats, written as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text, bytes, or records as JSON lines."""

    def write(content: str | bytes | Sequence[Mapping[str, Any]], name: str = "log.jsonl") -> Path:
        path = tmp_path / name
        if not isinstance(content, str | bytes):
            content = "".join(json.dumps(record) + "\n" for record in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
