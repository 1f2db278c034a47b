"""Add the error, the model calls, the conversation and the metadata of tasks, and the indexes to find tasks by them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns, the indexes and the table."""
    for name in ("error", "calls", "call_costs", "metadata"):
        op.add_column("tasks", sa.Column(name, sa.Text))
    op.add_column("tasks", sa.Column("conversation_id", sa.String(255)))
    for name, column in (("tasks_of_conversation", "conversation_id"), ("tasks_of_parent", "parent_task_id")):
        condition = sa.text(f"{column} IS NOT NULL")
        columns = ["organization_id", column, "created_at"]
        op.create_index(name, "tasks", columns, sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "metadata_pairs",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("digest", sa.LargeBinary(16), primary_key=True),
        sa.Column("created_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.String(255), primary_key=True),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("metadata_pairs")
    op.drop_index("tasks_of_parent", "tasks")
    op.drop_index("tasks_of_conversation", "tasks")
    for name in ("conversation_id", "metadata", "call_costs", "calls", "error"):
        op.drop_column("tasks", name)
