"""An index of sessions, so that one outcome can be given to all decisions of one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    given = sa.text("session IS NOT NULL")
    op.create_index(
        "ix_banditroute_decision_session",
        "banditroute_decision",
        ["epoch_id", "session", "id"],
        sqlite_where=given,
        postgresql_where=given,
    )
