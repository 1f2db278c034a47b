"""Add the tables of erased tasks and of the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "erased_tasks",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("agent_id", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("is_success", sa.Boolean),
        sa.Column("duration", sa.Float),
        sa.Column("tokens", sa.Text),
        sa.Column("used_tools", sa.Text),
        sa.Column("model", sa.String(255)),
        sa.Column("cost", sa.BigInteger),
        sa.Column("calls", sa.Text),
        sa.Column("call_costs", sa.Text),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_log",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("audit_log")
    op.drop_table("erased_tasks")
