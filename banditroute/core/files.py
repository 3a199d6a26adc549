"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield the name of a new file in the folder of ``path``, and give it that name once it is written.

    A file that has the name stays as it is until then, and if anything raises. A link that has the name is replaced;
    the file it leads to is not touched. The data is on disk before the name is given.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "out.txt"
    ...     with written_whole(path) as part:
    ...         _ = part.write_text("whole")
    ...     path.read_text(), len(list(path.parent.iterdir()))
    ('whole', 1)
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        mask = os.umask(0)  # a temporary file can be read by its owner alone; this one gets the usual mode
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        yield part
        os.fsync(handle)
        os.close(handle)
        handle = -1
        part.replace(path)
    finally:
        if handle >= 0:
            os.close(handle)
        part.unlink(missing_ok=True)
