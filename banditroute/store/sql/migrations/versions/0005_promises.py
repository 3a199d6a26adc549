"""Columns that keep promises: a key and settings of each epoch, totals by period, and the last group of each writer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TALLY = sa.table(
    "banditroute_tally",
    *(sa.column(name) for name in ("router", "budget", "period", "requests", "spent", "balance")),
)


def upgrade() -> None:
    op.add_column("banditroute_epoch", sa.Column("random_key", sa.String(32)))
    op.add_column("banditroute_epoch", sa.Column("fold_settings", sa.Text()))
    # A key cannot be changed in place everywhere; there is one row for each budget.
    rows = [dict(row) for row in op.get_bind().execute(sa.select(_TALLY)).mappings()]
    op.drop_table("banditroute_tally")
    op.create_table(
        "banditroute_tally",
        sa.Column("router", sa.String(255), nullable=False),
        sa.Column("budget", sa.String(300), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.Double(), nullable=False),
        sa.Column("balance", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("router", "budget", "period", name="pk_banditroute_tally"),
    )
    op.bulk_insert(_TALLY, rows)
    op.create_table(
        "banditroute_last_group",
        sa.Column("writer", sa.String(32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_banditroute_last_group"),
    )
