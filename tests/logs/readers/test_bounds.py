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
    texts = ["x" * 1_000_000, *["short"] * 20_000]
    log = read_log(write([{**CALL, "messages": [{"role": "user", "content": text}]} for text in texts]))
    assert sum(map(len, log.prompts)) == 1_100_000  # as one array of text it would take 80 GB


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


def test_rows_of_csv_are_whole_wherever_blocks_end(write, monkeypatch):
    """Cells with newlines and quotes, in blocks of a few bytes to one block."""
    quotes = ['""', '""""', '""""""']
    cells = [f'"a\n,{quotes[i % 3]}\n{i}"' if i % 2 else f"plain {i}" for i in range(60)]
    path = write("arm,quality,prompt\n" + "".join(f"a,1,{cell}\n" for cell in cells), "log.csv")
    expected = read_log(path).prompts
    assert len(expected) == 60
    assert expected[1] == 'a\n,""\n1'
    for size in (1, 7, 50, 333):
        monkeypatch.setattr(source, "_BLOCK_BYTES", size)
        assert read_log(path).prompts == expected


def test_a_quote_that_is_never_closed_costs_a_bounded_part(write, monkeypatch):
    monkeypatch.setattr(source, "LINE_BYTES", 1000)
    rows = "a,1,x\n" * 500
    with pytest.raises(InvalidInputError, match="a row is longer than 1,000 bytes"):
        read_log(write("arm,quality,prompt\n" + rows + 'a,1,"' + "x" * 5000, "log.csv"))
    with pytest.raises(InvalidInputError, match="a row is longer than 1,000 bytes; is a quote not closed"):
        read_log(write("arm,quality,prompt\n" + rows + 'a,1,"x\n' + rows, "log.csv"))


def test_too_many_columns_are_refused(write):
    path = write(",".join(f"c{i}" for i in range(30_000)) + "\n", "log.csv")
    with pytest.raises(InvalidInputError, match="has 30,000 columns; at most 20,000 are read"):
        open_log(path)
