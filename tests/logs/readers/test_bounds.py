"""Logs that would take all memory or never end: each is refused, or read within bounds."""

import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banditroute.errors import InvalidInputError
from banditroute.logs import open_log, read_log
from banditroute.logs.readers import source

CALL = {"request_id": "r", "spend": 0.1, "startTime": 1.0, "model": "small"}


def test_one_long_prompt_does_not_widen_the_others(write):
    texts = ["short", "x" * 1_000_000]
    log = read_log(write([{**CALL, "messages": [{"role": "user", "content": text}]} for text in texts] * 5000))
    assert sum(map(len, log.prompts)) == 5000 * 1_000_005  # as one array of text it would take 40 GB


def test_a_dictionary_is_not_unpacked_beyond_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LINE_BYTES", 1000)
    codes = pa.array(np.zeros(50_000, np.int32))
    columns = {"arm": pa.array(["a"] * 50_000), "quality": np.zeros(50_000)}
    for length, message in ((2000, "row 1: prompt is longer than 1,000 bytes"), (900, None)):
        prompts = pa.DictionaryArray.from_arrays(codes, ["p" * length])
        pq.write_table(pa.table({**columns, "prompt": prompts}), tmp_path / "log.parquet")
        if message:
            with pytest.raises(InvalidInputError, match=message):
                read_log(tmp_path / "log.parquet")
        else:
            assert sum(map(len, open_log(tmp_path / "log.parquet").tables())) == 50_000


def test_a_dictionary_is_not_unpacked_beyond_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_ALWAYS_ALLOWED_BYTES", 2**20)
    prompts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000, np.int32)), ["p" * 5000])
    pq.write_table(pa.table({"arm": ["a"] * 50_000, "quality": np.zeros(50_000), "prompt": prompts}), tmp_path / "log")
    with pytest.raises(InvalidInputError, match="unpacks to more than 1,000 times its size"):
        read_log(tmp_path / "log")


def test_blank_lines_end(write, monkeypatch):
    monkeypatch.setattr(source, "_MOST_BLANK_LINES", 1000)
    line = json.dumps(CALL).encode() + b"\n"
    path = write(gzip.compress(line + b"\n" * 5000 + line))
    with pytest.raises(InvalidInputError, match="follows 1,000 blank lines"):
        read_log(path)
    assert len(read_log(path, skip_bad=True)) == 1
    assert len(read_log(write(line + b"\n" * 500 + line))) == 2
    with pytest.raises(InvalidInputError, match="begins with 1,000 blank lines"):
        read_log(write(b"\n" * 5000 + line))


def test_the_end_of_a_long_line_is_not_looked_for_without_end(write, monkeypatch):
    monkeypatch.setattr(source, "LINE_BYTES", 1000)
    line = json.dumps(CALL).encode() + b"\n"
    log = read_log(write(line + b"\0" * 100_000 + b"\n" + line), skip_bad=True)
    assert (len(log), log.skipped) == (1, {"line": 2})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InvalidInputError, match="is a pipe or a device"):
            open_log(path)
