"""Tables for processes that share what they learn: numbers, states, orphans, snapshots, sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("banditroute_epoch", sa.Column("heard", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("banditroute_epoch", sa.Column("pruned", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE banditroute_epoch SET heard = (SELECT count(DISTINCT decision_id) FROM banditroute_feedback "
        "WHERE epoch_id = banditroute_epoch.id AND folded_version IS NOT NULL)"
    )
    op.add_column("banditroute_decision", sa.Column("ordinal", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(  # ids begin with their time
        "UPDATE banditroute_decision SET ordinal = numbered.ordinal FROM ("
        "SELECT id, row_number() OVER (PARTITION BY epoch_id ORDER BY id) - 1 AS ordinal FROM banditroute_decision"
        ") AS numbered WHERE banditroute_decision.id = numbered.id"
    )
    op.drop_index("ix_banditroute_decision_epoch_id", "banditroute_decision")
    op.create_index("ix_banditroute_decision_epoch_id_id", "banditroute_decision", ["epoch_id", "id"])
    op.add_column("banditroute_feedback", sa.Column("source", sa.String(255)))
    op.create_table(
        "banditroute_orphan",
        sa.Column("decision_id", sa.String(32), nullable=False),
        sa.Column("objective", sa.String(255), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("source", sa.String(255)),
        sa.Column("kept_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", "objective", name="pk_banditroute_orphan"),
    )
    op.create_table(
        "banditroute_snapshot",
        sa.Column("epoch_id", _serial, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("arm", sa.String(255), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("epoch_id", "version", "arm", name="pk_banditroute_snapshot"),
        sa.ForeignKeyConstraint(["epoch_id"], ["banditroute_epoch.id"], name="fk_banditroute_snapshot_epoch_id"),
    )
    op.create_table(
        "banditroute_state",
        sa.Column("router", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("router", "name", name="pk_banditroute_state"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # The index of what is pending holds what was folded until a vacuum: let that come early.
        op.execute(
            "ALTER TABLE banditroute_feedback SET "
            "(autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
        )
        # Sums of random numbers do not compress; the attempt costs more than all the rest of a fold.
        op.execute("ALTER TABLE banditroute_statistics ALTER COLUMN blob SET STORAGE EXTERNAL")
