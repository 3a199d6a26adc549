"""The tables: the log of decisions and feedback, the statistics that were folded from it, and other state.

Decisions and feedback are the truth, statistics a cache that can be made again from them. An *epoch* is what
may be learned together: one router, one version of the features, one dimension. An arm is its name, here as in the
application; the table of arms says what a router can choose now, and at which prices.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

PREFIX: Final = "banditroute_"
VERSION_TABLE: Final = f"{PREFIX}alembic_version"
REVISION: Final = "0006"
"""The revision of the schema that is written here; the newest file of ``migrations/versions``."""

metadata: Final = MetaData(
    naming_convention={  # every constraint has a name, without which SQLite cannot migrate it
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class Blob(LargeBinary):
    """Bytes as the driver gives them: a damaged value of another type can be read, and is refused where it is used."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Return None: nothing is converted."""


# SQLite numbers rows by itself only where the type is spelled INTEGER (64 bits there).
_Serial: Final = BigInteger().with_variant(Integer(), "sqlite")

epoch: Final = Table(
    f"{PREFIX}epoch",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("router", String(255), nullable=False),
    Column("features_version", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    # Goes up by one with each fold, correction and erasure: a process that polls it knows when to reload statistics.
    Column("version", BigInteger, nullable=False),
    Column("heard", BigInteger, nullable=False, server_default="0"),  # decisions of which feedback was folded
    Column("pruned", BigInteger, nullable=False, server_default="0"),  # decisions that were too old to keep
    Column("random_key", String(32)),  # drawn when the epoch begins: it tells a restored database from the lost one
    Column("fold_settings", Text),  # JSON: what folding depends on, such as half-lives; NULL: not recorded yet
    UniqueConstraint("router", "features_version", "dimension"),
)

arm: Final = Table(
    f"{PREFIX}arm",
    metadata,
    Column("router", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("active", Boolean, nullable=False),  # whether the router that was opened last can choose it
    Column("input_usd_per_million_tokens", Double),
    Column("output_usd_per_million_tokens", Double),
)

decision: Final = Table(
    f"{PREFIX}decision",
    metadata,
    # 32 hexadecimal digits, the first 12 its time: the primary key is the index by time too.
    Column("id", String(32), primary_key=True),
    Column("epoch_id", ForeignKey(epoch.c.id), nullable=False),
    Column("decided_at", Double, nullable=False),  # Unix time in seconds
    Column("arm", String(255), nullable=False),
    Column("propensity", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("preference", Text, nullable=False),  # JSON object: objective -> weight
    Column("arms", Text, nullable=False),  # JSON list of the K eligible arms
    Column("probabilities", Blob, nullable=False),  # K little-endian float64
    Column("x", Blob),  # d little-endian float64; NULL if there were no features
    Column("session", Text),
    Column("tags", Text, nullable=False),  # JSON list
    Column("input_tokens", BigInteger),
    Column("prompt", Text),  # only where the application asked for it
    Column("ordinal", BigInteger, nullable=False, server_default="0"),  # how many its router had made before
    Column("reserved", Text),  # JSON object: budget -> what the decision is expected to take; NULL without budgets
)
Index(None, decision.c.epoch_id, decision.c.id)  # the latest of an epoch, and those too old to keep
_of_a_session = decision.c.session.is_not(None)
Index(
    f"ix_{decision.name}_session",
    decision.c.epoch_id,
    decision.c.session,
    decision.c.id,
    sqlite_where=_of_a_session,
    postgresql_where=_of_a_session,
)

feedback: Final = Table(
    f"{PREFIX}feedback",
    metadata,
    Column("id", _Serial, primary_key=True),  # the order of arrival
    Column("decision_id", ForeignKey(decision.c.id), nullable=False),
    Column("objective", String(255), nullable=False),
    Column("value", Double, nullable=False),
    Column("received_at", Double, nullable=False),  # Unix time in seconds
    Column("epoch_id", ForeignKey(epoch.c.id), nullable=False),  # the decision's, for the index of what is pending
    # The epoch's version that folded it. NULL: pending. 0: it counts for nothing, as the decision has no context, as
    # what was learned was rolled back, or as it says what paging took.
    Column("folded_version", BigInteger),
    Column("source", String(255)),  # who reported it, where the application says so
    UniqueConstraint("decision_id", "objective"),
)
_pending = feedback.c.folded_version.is_(None)
Index(
    f"ix_{feedback.name}_pending",
    feedback.c.epoch_id,
    feedback.c.id,
    sqlite_where=_pending,
    postgresql_where=_pending,
)

orphan: Final = Table(  # feedback that came before its decision could be seen
    f"{PREFIX}orphan",
    metadata,
    Column("decision_id", String(32), primary_key=True),
    Column("objective", String(255), primary_key=True),
    Column("value", Double, nullable=False),
    Column("received_at", Double, nullable=False),  # Unix time in seconds, by the router's clock
    Column("source", String(255)),
    Column("kept_at", Double, nullable=False),  # when its decision was made: Unix time in seconds, by the machine's
)

statistics: Final = Table(
    f"{PREFIX}statistics",
    metadata,
    Column("epoch_id", ForeignKey(epoch.c.id), primary_key=True),
    Column("arm", String(255), primary_key=True),
    Column("version", BigInteger, nullable=False),  # the epoch's, when the blob last changed
    Column("blob", Blob, nullable=False),
    Column("crc32", BigInteger, nullable=False),  # of the blob
)

snapshot: Final = Table(  # statistics as they were after some folds, to go back to
    f"{PREFIX}snapshot",
    metadata,
    Column("epoch_id", ForeignKey(epoch.c.id), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("arm", String(255), primary_key=True),
    Column("blob", Blob, nullable=False),
    Column("crc32", BigInteger, nullable=False),
    Column("taken_at", Double, nullable=False),  # Unix time in seconds
    Column("by_hand", Boolean, nullable=False, server_default=false()),  # whether it is kept however old it is
)

state: Final = Table(
    f"{PREFIX}state",
    metadata,
    Column("router", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("blob", Blob, nullable=False),
    Column("crc32", BigInteger, nullable=False),  # of the blob
    Column("updated_at", Double, nullable=False),  # Unix time in seconds
)

tally: Final = Table(  # what all processes of a router have counted together for each budget
    f"{PREFIX}tally",
    metadata,
    Column("router", String(255), primary_key=True),
    Column("budget", String(300), primary_key=True),
    Column("period", BigInteger, primary_key=True, autoincrement=False),  # number of the hour or day since 1970, else 0
    Column("requests", BigInteger, nullable=False),  # of that period
    Column("spent", Double, nullable=False),
    Column("balance", Double, nullable=False),
)

last_group: Final = Table(  # of each process that writes: a COMMIT whose answer was lost is recognised by it
    f"{PREFIX}last_group",
    metadata,
    Column("writer", String(32), primary_key=True),  # drawn by each process
    Column("number", BigInteger, nullable=False),
    Column("written_at", Double, nullable=False),  # Unix time in seconds, by the machine's
)
