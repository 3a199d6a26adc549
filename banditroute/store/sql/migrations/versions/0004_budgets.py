"""Tables of budgets: what decisions were expected to take, and what all processes have counted together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("banditroute_decision", sa.Column("reserved", sa.Text()))
    op.create_table(
        "banditroute_tally",
        sa.Column("router", sa.String(255), nullable=False),
        sa.Column("budget", sa.String(300), nullable=False),
        sa.Column("period", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.Double(), nullable=False),
        sa.Column("balance", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("router", "budget", name="pk_banditroute_tally"),
    )
