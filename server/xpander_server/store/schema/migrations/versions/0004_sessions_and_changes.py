"""Add the sessions of the web pages, and the latest changes of a task."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("tasks", sa.Column("changes", sa.Text))
    op.create_table(
        "sessions",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("key_salt", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("sessions")
    op.drop_column("tasks", "changes")
