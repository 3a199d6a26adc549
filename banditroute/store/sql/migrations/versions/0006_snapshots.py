"""Snapshots that somebody took by hand, which are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column: sa.Column[bool] = sa.Column("by_hand", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("banditroute_snapshot", column)
