"""Add the tables of metrics, the model and the cost of tasks, and an index for the history of an organization."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, the index and the tables."""
    op.add_column("tasks", sa.Column("model", sa.String(255)))
    op.add_column("tasks", sa.Column("cost", sa.BigInteger))
    op.create_index("tasks_of_organization", "tasks", ["organization_id", "created_at"])
    op.create_table(
        "metric_rollups",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("agent_id", sa.String(255), primary_key=True),
        sa.Column("hours", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amounts", sa.Text, nullable=False),
    )
    op.create_table(
        "metric_movements",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amounts", sa.Text, nullable=False),
    )
    op.create_table(
        "retention",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("forgotten_before", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("retention")
    op.drop_table("metric_movements")
    op.drop_table("metric_rollups")
    op.drop_index("tasks_of_organization", "tasks")
    op.drop_column("tasks", "cost")
    op.drop_column("tasks", "model")
