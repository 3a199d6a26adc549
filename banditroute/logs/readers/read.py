"""Whichever log it is: its format, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.readers.assemble import Assembly
from banditroute.logs.readers.decisions import DECISIONS
from banditroute.logs.readers.dsjson import DSJSON
from banditroute.logs.readers.litellm import LITELLM
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.open_bandit import OPEN_BANDIT
from banditroute.logs.readers.otel import OTEL
from banditroute.logs.readers.outcomes import LONG, WIDE
from banditroute.logs.readers.row_errors import Damage
from banditroute.logs.readers.source import files, look

if TYPE_CHECKING:
    import pyarrow

FORMATS = {each.name: each for each in (DECISIONS, OPEN_BANDIT, DSJSON, LITELLM, OTEL, WIDE, LONG)}
"""Name -> format, in the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A log whose format is known, and of which nothing is read yet.

    Attributes
    ----------
    format
        Its format.
    address
        Where it is.
    readings
        Its files in their order, and how they are read.
    """

    format: Format
    address: str
    readings: tuple[Reading, ...]

    @property
    def skipped(self) -> Mapping[str, int]:
        """Why -> how many rows were passed over for it, so far."""
        return self.readings[0].damage.skipped

    def tables(self) -> Iterator[pyarrow.Table]:
        """Its rows, some thousand at a time: what is read of a log of any size takes bounded memory.

        Of a log of decisions they are in the columns that ``admin.export`` writes, and ``task``; of a table of
        outcomes ``query_id``, ``arm``, ``prompt``, ``task`` and one column for each objective.

        Raises
        ------
        InvalidInputError
            For a file that cannot be read, and for the first row that cannot be used, with its file and number.
        """
        if self.format is DECISIONS and len(self.readings) > 1:
            yield from _each_once(self.readings)
        else:
            for reading in self.readings:
                yield from self.format.read(reading)


def _each_once(readings: Sequence[Reading]) -> Iterator[pyarrow.Table]:
    """Decisions of files without those of earlier ones: a prune that was interrupted exports some again.

    Our ids rise, within a file and from one beginning to the next, so that only those beyond the beginning of the file
    before have to be remembered.
    """
    earlier: set[str] = set()
    for reading in readings:
        own: set[str] = set()
        for table in DECISIONS.read(reading):
            ids = table["id"].to_pylist()
            fresh = [id not in earlier for id in ids]
            for _ in range(len(ids) - sum(fresh)):
                reading.damage.leave_out("decision that an earlier file has")
            own.update(id for id in ids if id is not None)
            yield table.filter(fresh)
        first = min(own, default="")
        earlier = {id for id in earlier if id >= first} | own


def open_log(
    address: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
    router: str | None = None,
) -> LogFile:
    """Find out what a log is, from its content.

    Parameters
    ----------
    address
        A file, compressed (gzip, bzip2, lz4, zstd) or not, a folder of files in one format, whose rows come in the
        order of the files' names, or the URL of a router's database.
    format
        Name of its format, if it is not to be recognised: one of ``FORMATS``.
    columns
        Our name -> the log's name, where it is not the usual one of the format: ``{"quality": "judge_score"}``. A name
        that is no column of ours becomes an objective.
    skip_bad
        Whether rows that cannot be used are passed over, and counted.
    router
        Of our own logs: only the decisions of this router.

    Raises
    ------
    InvalidInputError
        For what cannot be read, is in no known format, or in several.
    InvalidConfigurationError
        For a format that there is not, or that cannot be in such a file, columns that are no texts, and a router of
        what is no log of ours.

    Examples
    --------
    >>> from importlib.resources import files
    >>> log = open_log(str(files("banditroute") / "data" / "paretobandit4" / "paretobandit4.parquet"))
    >>> log.format.name, sum(len(table) for table in log.tables())
    ('long', 7064)
    """
    if format is not None and format not in FORMATS:
        raise InvalidConfigurationError(f"there is no format {format!r}; there are {', '.join(FORMATS)}")
    if not all(isinstance(name, str) for pair in columns.items() for name in pair):
        raise InvalidConfigurationError(f"columns are {columns!r:.200}; give our name -> the log's name, as texts")
    damage = Damage(str(address), skip=skip_bad)
    settings: dict[str, Any] = {"columns": dict(columns), "router": router, "first": {}}
    readings = [Reading(source=look(file), damage=damage.of(file), **settings) for file in files(address)]
    found = [_format(reading, format) for reading in readings]
    for reading, each in zip(readings, found, strict=True):
        has, first = reading.source, readings[0].source
        if each is not found[0]:
            raise InvalidInputError(
                f"{has.address} is {each.name}, {first.address} is {found[0].name}; a folder is one log, in one format"
            )
        if each.of_outcomes and has.container != "jsonl" and {*has.names} != {*first.names}:
            other = ", ".join(sorted({*has.names} ^ {*first.names}))
            raise InvalidInputError(
                f"{has.address} and {first.address} differ in the columns {other}; a folder is one table, with the "
                "same columns in every file"
            )
    if router is not None and found[0] is not DECISIONS:
        raise InvalidConfigurationError(
            f"{address} is in the format {found[0].name}, which names no routers; leave out router="
        )
    return LogFile(format=found[0], address=str(address), readings=tuple(readings))


def _format(reading: Reading, format: str | None) -> Format:
    source = reading.source
    for each in FORMATS.values():
        named = each.name == format
        if named and source.container not in each.containers:
            raise InvalidConfigurationError(
                f"{source.address} is {source.container}; {format} is read from {', '.join(each.containers)}"
            )
        recognised = source.container == "database" or each.knows(reading)
        if named or (format is None and source.container in each.containers and recognised):
            return each
    has = f"; it has {', '.join(map(repr, source.names[:20]))}" if source.names else ""
    raise InvalidInputError(
        f"{source.address} is in no known format{has}; name the format ({', '.join(FORMATS)}), or say which columns "
        "are what with columns="
    )


def read_log(
    address: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
    router: str | None = None,
) -> DecisionLog:
    """Read a log of decisions, whatever its format.

    Parameters
    ----------
    address, format, columns, skip_bad, router
        As :func:`open_log` takes them.

    Raises
    ------
    InvalidInputError
        For what cannot be read, for a table of outcomes, for a row that cannot be used, with its number, for a log
        without any row that can, and for one of several routers.
    InvalidConfigurationError
        For a format that there is not, or that cannot be in such a file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> directory = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(directory.name) / "calls.jsonl"
    >>> _ = path.write_text(
    ...     '{"request_id": "1", "model": "small", "spend": 0.01, "startTime": "2026-01-01T00:00:00Z"}'
    ... )
    >>> log = read_log(path)
    >>> log.arms, log.outcomes["cost_usd"], log.propensities
    (('small',), array([0.01]), None)
    >>> directory.cleanup()
    """
    log = open_log(address, format=format, columns=columns, skip_bad=skip_bad, router=router)
    if log.format.of_outcomes:
        raise InvalidInputError(
            f"{address} is a table of outcomes ({log.format.name}) and holds no decisions; read it with read_outcomes()"
        )
    assembly = Assembly(str(address))
    for table in log.tables():
        assembly.add(table)
    return assembly.log(log.skipped)
