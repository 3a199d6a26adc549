"""Text files as programs and people write them: packed, in other encodings, with other line ends."""

import lzma

import pytest

from banditroute.errors import InvalidInputError
from banditroute.logs import DecisionLog, read_log
from banditroute.logs.readers.text_file import text_of

ROWS = "arm,propensity,quality\nsmall,0.5,1\ngroß,0.25,0\n"
RECORDS = '{"arm": "small", "propensity": 0.5, "quality": 1}\n{"arm": "groß", "propensity": 0.25, "quality": 0}\n'


def read(path, content, name="log.csv"):
    (path / name).write_bytes(content)
    return read_log(path / name)


def check(log: DecisionLog):
    assert [log.arms[k] for k in log.chosen] == ["small", "groß"]
    assert log.propensities.tolist() == [0.5, 0.25]
    assert log.outcomes["quality"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("text", [ROWS, RECORDS], ids=["CSV", "JSON lines"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("pack", [bytes, lzma.compress], ids=["plain", "xz"])
def test_text_is_read_however_it_was_written(text, encoding, end, pack, tmp_path):
    check(read(tmp_path, pack(text.replace("\n", end).encode(encoding))))


def test_utf_16_of_the_other_byte_order_is_read(tmp_path):
    check(read(tmp_path, "\ufeff".encode("utf-16-be") + ROWS.encode("utf-16-be")))


def test_characters_across_parts_stay_whole(tmp_path):
    prompt = "ß𝄞" * 50_000  # 300 kB in UTF-16
    log = read(tmp_path, f"arm,propensity,quality,prompt\nsmall,0.5,1,{prompt}\n".encode("utf-16"))
    assert log.prompts == (prompt,)


def test_a_carriage_return_in_a_cell_stays(tmp_path):
    log = read(tmp_path, b'arm,propensity,quality,prompt\nsmall,0.5,1,"one\rtwo"\n')
    assert log.prompts == ("one\rtwo",)


def test_half_a_character_at_the_end_is_a_damaged_row(tmp_path):
    with pytest.raises(InvalidInputError, match="row 4: columns are 1"):
        read(tmp_path, ROWS.encode("utf-16") + b"\n")


def test_an_xz_file_that_is_cut_off_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read(tmp_path, lzma.compress(ROWS.encode() * 5000)[:-40])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "a zip archive or an Excel workbook; unpack it"),
        (b"\xd0\xcf\x11\xe0rest", "an Excel workbook; save the sheet as CSV"),
        (b"ARROW1\x00\x00", "an Arrow or Feather file; give the frame"),
        (b"Obj\x01rest", "an Avro file; write it as Parquet"),
        (ROWS.encode("utf-16-le"), "no text in UTF-8; save it as UTF-8"),
        (b"\x00\x01\x02\x03", "no text in UTF-8"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_its_kind(content, words, tmp_path):
    with pytest.raises(InvalidInputError, match=words):
        read(tmp_path, content)


def test_plain_text_is_not_copied(tmp_path):
    (tmp_path / "log").write_bytes(ROWS.encode())
    with text_of(str(tmp_path / "log")) as file:
        assert file.readline() == b"arm,propensity,quality\n"
        assert type(file.raw).__name__ != "_Recoded"
