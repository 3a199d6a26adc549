"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "banditroute_epoch",
        sa.Column("id", _serial, nullable=False),
        sa.Column("router", sa.String(255), nullable=False),
        sa.Column("features_version", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_banditroute_epoch"),
        sa.UniqueConstraint(
            "router",
            "features_version",
            "dimension",
            name="uq_banditroute_epoch_router_features_version_dimension",
        ),
    )
    op.create_table(
        "banditroute_arm",
        sa.Column("router", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("input_usd_per_million_tokens", sa.Double()),
        sa.Column("output_usd_per_million_tokens", sa.Double()),
        sa.PrimaryKeyConstraint("router", "name", name="pk_banditroute_arm"),
    )
    op.create_table(
        "banditroute_decision",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("epoch_id", _serial, nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("arm", sa.String(255), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("preference", sa.Text(), nullable=False),
        sa.Column("arms", sa.Text(), nullable=False),
        sa.Column("probabilities", sa.LargeBinary(), nullable=False),
        sa.Column("x", sa.LargeBinary()),
        sa.Column("session", sa.Text()),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("prompt", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_banditroute_decision"),
        sa.ForeignKeyConstraint(["epoch_id"], ["banditroute_epoch.id"], name="fk_banditroute_decision_epoch_id"),
    )
    op.create_index("ix_banditroute_decision_epoch_id", "banditroute_decision", ["epoch_id"])
    op.create_table(
        "banditroute_feedback",
        sa.Column("id", _serial, nullable=False),
        sa.Column("decision_id", sa.String(32), nullable=False),
        sa.Column("objective", sa.String(255), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("epoch_id", _serial, nullable=False),
        sa.Column("folded_version", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_banditroute_feedback"),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["banditroute_decision.id"], name="fk_banditroute_feedback_decision_id"
        ),
        sa.ForeignKeyConstraint(["epoch_id"], ["banditroute_epoch.id"], name="fk_banditroute_feedback_epoch_id"),
        sa.UniqueConstraint("decision_id", "objective", name="uq_banditroute_feedback_decision_id_objective"),
    )
    op.create_index(
        "ix_banditroute_feedback_pending",
        "banditroute_feedback",
        ["epoch_id", "id"],
        sqlite_where=sa.text("folded_version IS NULL"),
        postgresql_where=sa.text("folded_version IS NULL"),
    )
    op.create_table(
        "banditroute_statistics",
        sa.Column("epoch_id", _serial, nullable=False),
        sa.Column("arm", sa.String(255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("epoch_id", "arm", name="pk_banditroute_statistics"),
        sa.ForeignKeyConstraint(["epoch_id"], ["banditroute_epoch.id"], name="fk_banditroute_statistics_epoch_id"),
    )
