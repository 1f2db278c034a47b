"""Add the indexes of failed and of executing tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_INDEXES = (
    ("tasks_failed", ["organization_id", "created_at"], "is_success IS 0", "is_success IS false"),
    ("tasks_failed_of_agent", ["organization_id", "agent_id", "created_at"], "is_success IS 0", "is_success IS false"),
    ("tasks_executing", ["organization_id", "created_at"], "is_success IS NULL", "is_success IS NULL"),
)


def upgrade() -> None:
    """Add the indexes."""
    for name, columns, sqlite, postgresql in _INDEXES:
        op.create_index(name, "tasks", columns, sqlite_where=sa.text(sqlite), postgresql_where=sa.text(postgresql))


def downgrade() -> None:
    """Drop them."""
    for name, *_ in _INDEXES:
        op.drop_index(name, "tasks")
