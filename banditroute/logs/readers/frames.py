"""Data frames of other libraries, as streams of Arrow batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from banditroute.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow


def readable_frame(frame: Any) -> Any:
    """Return a frame as an object that gives an Arrow stream as often as it is asked.

    Anything that offers the Arrow PyCapsule interface is returned as it is: pandas, polars, duckdb, pyarrow. Lazy
    frames (``collect()``) and data sets (``to_table()``, ``with_format("arrow")``) are evaluated.

    Raises
    ------
    InvalidInputError
        If it is no frame.
    """
    import pyarrow as arrow

    if isinstance(frame, arrow.RecordBatchReader):  # gives its rows only once
        return frame.read_all()
    if hasattr(frame, "__arrow_c_stream__"):
        return frame
    if hasattr(frame, "__arrow_c_array__"):
        return arrow.table(frame)
    if hasattr(frame, "collect"):
        return readable_frame(frame.collect())
    if hasattr(frame, "to_table"):  # a pyarrow data set
        return frame.to_table()
    if hasattr(frame, "with_format"):  # a Hugging Face data set
        return frame.with_format("arrow")[:]
    raise InvalidInputError(
        f"the log is a {type(frame).__name__}; give a path, a URL, or a data frame (pandas, polars, duckdb, pyarrow)"
    )


def stream_of(frame: Any) -> pyarrow.RecordBatchReader:
    """Return the rows of a readable frame as a stream of Arrow record batches.

    Raises
    ------
    InvalidInputError
        If a column has values that Arrow cannot hold together.
    """
    import pyarrow as arrow

    try:
        return arrow.RecordBatchReader.from_stream(frame)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the {type(frame).__name__} cannot be read as a table: {' '.join(str(error).split())[:300]}"
        ) from error
