"""Add the tables of traces and spans."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "traces",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("trace_id", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("agent_id", sa.String(255)),
        sa.Column("tasks", sa.Text, nullable=False),
    )
    op.create_index("traces_by_due_at", "traces", ["due_at"])
    op.create_table(
        "spans",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("trace_id", sa.String(64), primary_key=True),
        sa.Column("span_id", sa.String(64), primary_key=True),
        sa.Column("summary", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("spans")
    op.drop_table("traces")
