"""Add the table of prices that organizations have set."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "own_prices",
        sa.Column("organization_id", sa.String(100), primary_key=True),
        sa.Column("provider", sa.String(100), primary_key=True),
        sa.Column("model", sa.String(255), primary_key=True),
        sa.Column("prompt", sa.BigInteger, nullable=False),
        sa.Column("completion", sa.BigInteger, nullable=False),
        sa.Column("cache_read", sa.BigInteger),
        sa.Column("cache_write", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("own_prices")
