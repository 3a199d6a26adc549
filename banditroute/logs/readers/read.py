"""Open a log of any format, and read its decisions."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from banditroute.core.addresses import shown_address
from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.readers.assemble import Assembly
from banditroute.logs.readers.decisions import DECISIONS
from banditroute.logs.readers.dsjson import DSJSON
from banditroute.logs.readers.flat import FLAT
from banditroute.logs.readers.litellm import LITELLM
from banditroute.logs.readers.log_format import Format, Reading, shown
from banditroute.logs.readers.names import USUAL_NAMES, our_name, suggestion, usual_columns
from banditroute.logs.readers.open_bandit import OPEN_BANDIT
from banditroute.logs.readers.otel import OTEL
from banditroute.logs.readers.outcomes import LONG, WIDE
from banditroute.logs.readers.row_errors import Damage
from banditroute.logs.readers.source import files, look

if TYPE_CHECKING:
    import pyarrow

FORMATS = {each.name: each for each in (DECISIONS, OPEN_BANDIT, DSJSON, LITELLM, OTEL, FLAT, LONG, WIDE)}
"""Name -> format, in the order in which they are tried."""

_MISSPELT = 0.9  # similarity to one of our names from which on another name is taken for a mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A log whose format is known; its rows have not been read yet.

    Attributes
    ----------
    format
        Its format.
    address
        Its path or URL, or the type of the frame.
    readings
        Its files, in their order.
    """

    format: Format
    address: str
    readings: tuple[Reading, ...]

    @property
    def skipped(self) -> Mapping[str, int]:
        """Reason -> how many rows were left out for it so far."""
        return self.readings[0].damage.skipped

    def tables(self) -> Iterator[pyarrow.Table]:
        """Yield its rows, some thousand at a time, in bounded memory whatever the size of the log.

        A log of decisions has the columns that ``admin.export`` writes, and ``task``. A table of outcomes has
        ``query_id``, ``arm``, ``prompt``, ``task`` and a column for each objective.

        Raises
        ------
        InvalidInputError
            If a file cannot be read, or a row cannot be used; the message names the file and the row. If rows are left
            out, at the end, if none of an arm is left.
        """
        kept: set[str] = set()
        for table in self._tables():
            kept.update(table["arm"].unique().to_pylist())
            yield table
        self.readings[0].damage.check_arms(kept)

    def _tables(self) -> Iterator[pyarrow.Table]:
        if self.format.read_together is not None:
            yield from self.format.read_together(self.readings)
        else:
            for reading in self.readings:
                yield from self.format.read(reading)


def open_log(
    address: Any,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
    router: str | None = None,
) -> LogFile:
    """Find out the format of a log from its content.

    Parameters
    ----------
    address
        A file, compressed (gzip, bzip2, lz4, zstd) or not; a folder of files in one format, which are read in the
        order of their names; the URL of a router's database; or a data frame with the Arrow PyCapsule interface.
    format
        The name of its format, one of ``FORMATS``. Default: recognised.
    columns
        Our name -> the log's, where it is not the usual one of the format: ``{"quality": "judge_score"}``. The log's
        name may be followed by a factor: ``{"latency_seconds": "latency_ms*0.001"}``. A name that is no column of ours
        becomes an objective.
    skip_bad
        Leave out rows that cannot be used, and count them. Default: the first one raises.
    router
        Read only the decisions of this router; for our own logs.

    Raises
    ------
    InvalidInputError
        If it cannot be read, is in no known format, or in several.
    InvalidConfigurationError
        If the format is unknown or cannot be in such a file, if columns are not texts, or if ``router`` is given for a
        log that is not our own.

    Examples
    --------
    >>> from importlib.resources import files
    >>> log = open_log(str(files("banditroute") / "data" / "paretobandit4" / "paretobandit4.parquet"))
    >>> log.format.name, sum(len(table) for table in log.tables())
    ('long', 7064)
    """
    optional("pyarrow", extra="logs")
    if format is not None and format not in FORMATS:
        raise InvalidConfigurationError(
            f"unknown format {format!r:.80}; known formats: {', '.join(FORMATS)}{suggestion(str(format), FORMATS)}"
        )
    if not all(isinstance(name, str) for pair in columns.items() for name in pair):
        raise InvalidConfigurationError(f"columns are {columns!r:.200}; give our name -> the log's name, as texts")
    for ours in columns:
        if our_name(ours) not in USUAL_NAMES and (near := suggestion(ours, USUAL_NAMES, cutoff=_MISSPELT)):
            raise InvalidConfigurationError(f"columns name {ours!r:.80}, which is no column of ours{near}")
    name = shown_address(address) if isinstance(address, str | Path) else f"the {type(address).__name__}"
    damage = Damage(name, skip=skip_bad)
    settings: dict[str, Any] = {"columns": dict(columns), "router": router, "first": {}}
    sources = [look(file) for file in files(address)]
    readings = [Reading(source=each, damage=damage.of(shown_address(each.address)), **settings) for each in sources]
    found = [_format(reading, format) for reading in readings]
    for reading, each in zip(readings, found, strict=True):
        has, first = reading.source, readings[0].source
        if each is not found[0]:
            raise InvalidInputError(
                f"{reading.damage.name} is {each.name}, {readings[0].damage.name} is {found[0].name}; a folder is one "
                "log, in one format"
            )
        if each.of_outcomes and has.container != "jsonl" and {*has.names} != {*first.names}:
            other = shown(sorted({*has.names} ^ {*first.names}))
            raise InvalidInputError(
                f"{reading.damage.name} and {readings[0].damage.name} differ in the columns {other}; a folder is one "
                "table, with the same columns in every file"
            )
    if router is not None and found[0] is not DECISIONS:
        raise InvalidConfigurationError(
            f"{name} is in the format {found[0].name}, which names no routers; leave out router="
        )
    return LogFile(format=found[0], address=name, readings=tuple(readings))


def _format(reading: Reading, format: str | None) -> Format:
    source = reading.source
    for each in FORMATS.values():
        named = each.name == format
        if named and source.container not in each.containers:
            raise InvalidConfigurationError(
                f"{reading.damage.name} is {source.container}; {format} is read from {', '.join(each.containers)}"
            )
        recognised = source.container == "database" or each.knows(reading)
        if named or (format is None and source.container in each.containers and recognised):
            return each
    twice = next((name for name, count in Counter(source.names).items() if count > 1), None)
    if twice is not None:
        raise InvalidInputError(f"{reading.damage.name} has the column {twice!r:.80} twice; rename one of them")
    has = f"; it has {shown(list(map(repr, source.names)))}" if source.names else ""
    raise InvalidInputError(
        f"{reading.damage.name} is in no known format{has}{_what_is_missing(reading)}; name the format with format= "
        f"({', '.join(FORMATS)}), or say with columns= which column holds which value"
    )


def _what_is_missing(reading: Reading) -> str:
    """Return what the formats of columns still need, and which name may have been misspelt."""
    if reading.source.container == "database" or not reading.source.names:
        return ""
    texts = []
    for each in FORMATS.values():
        if each.needs and reading.source.container in each.containers:
            fields = reading.fields(usual_columns(reading.source.names, each.needs)).columns
            missing = [ours for ours in each.needs if not reading.source.has(fields.get(ours, ""))]
            lacks = [ours + _near(ours, reading.source.names) for ours in missing]
            texts.append(f"{each.name} lacks {', '.join(lacks) or 'nothing'}")
    near = next(
        (
            f"; the column {theirs!r} is not there{suggestion(theirs, reading.source.names)}"
            for theirs in reading.fields({}).columns.values()
            if not reading.source.has(theirs)
        ),
        "",
    )
    return f"; {'; '.join(texts)}{near}"


def _near(ours: str, has: Collection[str]) -> str:
    """Return the column that may hold what a format lacks, in parentheses; nothing without one."""
    near = (difflib.get_close_matches(name, has, n=1, cutoff=0.75) for name in USUAL_NAMES[ours])
    found = next((each[0] for each in near if each), None)
    return "" if found is None else f" (is it {found!r:.80}?)"


def read_log(
    address: Any,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
    router: str | None = None,
) -> DecisionLog:
    """Read a log of decisions of any format: a file, a folder, a database or a data frame.

    Parameters
    ----------
    address, format, columns, skip_bad, router
        As :func:`open_log` takes them.

    Raises
    ------
    InvalidInputError
        If it cannot be read, is a table of outcomes, has a row that cannot be used, has no row that can be used, or
        has decisions of several routers.
    InvalidConfigurationError
        If the format is unknown or cannot be in such a file.

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
            f"{log.address} is a table of outcomes ({log.format.name}) and holds no decisions; "
            "read it with read_outcomes()"
        )
    assembly = Assembly(log.address)
    for table in log.tables():
        assembly.add(table)
    return assembly.log(log.skipped)
