"""Create the tables of tasks and API keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tasks",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("agent_id", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("input", sa.Text),
        sa.Column("llm_response", sa.Text),
        sa.Column("tokens", sa.Text),
        sa.Column("is_success", sa.Boolean),
        sa.Column("result", sa.Text),
        sa.Column("duration", sa.Float),
        sa.Column("used_tools", sa.Text),
        sa.Column("user_id", sa.String(255)),
        sa.Column("parent_task_id", sa.String(255)),
        sa.Column("triggering_agent_id", sa.String(255)),
        sa.Column("reported_at", sa.Text, nullable=False),
    )
    op.create_index("tasks_of_agent", "tasks", ["organization_id", "agent_id", "created_at"])
    op.create_index("tasks_of_user", "tasks", ["organization_id", "user_id", "created_at"])
    op.create_table(
        "api_keys",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("salt", sa.LargeBinary(16), primary_key=True),
        sa.Column("tag", sa.SmallInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("api_keys_by_tag", "api_keys", ["tag"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("api_keys")
    op.drop_table("tasks")
