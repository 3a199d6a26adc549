"""The text of a file as UTF-8 with line feeds, however the file is packed, encoded and broken into lines."""

from __future__ import annotations

import codecs
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from banditroute.core.addresses import shown_address
from banditroute.errors import InvalidInputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_XZ = b"\xfd7zXZ\x00"
_NO_TEXTS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"ARROW1": "an Arrow or Feather file; give the frame, or write it as Parquet",
    b"FEA1": "a Feather file; give the frame, or write it as Parquet",
    b"ORC": "an ORC file; write it as Parquet",
    b"Obj\x01": "an Avro file; write it as Parquet",
}
_WIDE = (  # the longer mark first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PART_BYTES = 2**16  # that are read at once; by the first ones encoding and line ends are recognised


@contextmanager
def text_of(address: str) -> Iterator[io.BufferedReader]:
    """Open a text file. Bytes that are no text in its encoding become U+FFFD in UTF-16 and UTF-32, and stay in UTF-8.

    It may be packed by gzip, bzip2, zstandard, LZ4 or xz, and lines may end in line feeds, carriage returns or both.

    Raises
    ------
    InvalidInputError
        If its first bytes are those of a file that holds no text.
    OSError
        If it cannot be read, also later: when packed data is damaged or cut off.
    """
    with open(address, "rb") as file:
        head = file.read(8)
    for magic, what in _NO_TEXTS.items():
        if head.startswith(magic):
            raise InvalidInputError(f"{shown_address(address)} is {what}")
    try:
        with _unpacked(address, head) as packed, io.BufferedReader(packed, _PART_BYTES) as file:
            first = file.peek()
            encoding = next((name for mark, name in _WIDE if first.startswith(mark)), None)
            text = first.decode(encoding or "latin-1", "replace")
            returns = "\r" in text and "\n" not in text
            if encoding is None and not returns:
                yield file
            else:
                yield io.BufferedReader(_Recoded(file, encoding, returns=returns), _PART_BYTES)
    except (EOFError, lzma.LZMAError) as error:  # of xz; the other packers raise OSError
        raise OSError(str(error)) from error


def _unpacked(address: str, head: bytes) -> Any:
    """Return the stream of a file's content, unpacked by what its first bytes say."""
    if head.startswith(_XZ):
        return lzma.open(address)
    import pyarrow as arrow

    found = (name for magic, name in _COMPRESSIONS.items() if head.startswith(magic))
    return arrow.input_stream(address, compression=next(found, None))


class _Recoded(io.RawIOBase):
    """The bytes of another stream, in UTF-8 and with line feeds.

    Parameters
    ----------
    stream
        The other stream.
    encoding
        Its encoding; None: UTF-8.
    returns
        Whether its lines end in carriage returns alone.
    """

    def __init__(self, stream: io.BufferedReader, encoding: str | None, *, returns: bool) -> None:
        self._stream = stream
        self._decoder = None if encoding is None else codecs.getincrementaldecoder(encoding)("replace")
        self._returns = returns
        self._ready = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill ``buffer`` and return how many bytes it got; 0 at the end."""
        view = memoryview(buffer).cast("B")
        more = True
        while not self._ready and more:
            part = self._stream.read(_PART_BYTES)
            more = bool(part)
            if self._decoder is not None:
                part = self._decoder.decode(part, final=not more).encode()
            self._ready = part.replace(b"\r", b"\n") if self._returns else part
        count = min(len(view), len(self._ready))
        view[:count], self._ready = self._ready[:count], self._ready[count:]
        return count
