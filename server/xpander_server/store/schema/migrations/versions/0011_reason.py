"""Add the reason of a failure to tasks. Tasks of an older version keep none until a report changes them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    op.add_column("tasks", sa.Column("reason", sa.Text))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("tasks", "reason")
