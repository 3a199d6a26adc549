"""Number the decisions of a router, and keep named pieces of state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("banditroute_decision", sa.Column("ordinal", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(  # ids begin with their time
        "UPDATE banditroute_decision SET ordinal = numbered.ordinal FROM ("
        "SELECT id, row_number() OVER (PARTITION BY epoch_id ORDER BY id) - 1 AS ordinal FROM banditroute_decision"
        ") AS numbered WHERE banditroute_decision.id = numbered.id"
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
