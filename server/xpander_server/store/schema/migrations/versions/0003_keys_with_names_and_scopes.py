"""Add names, scopes and times to API keys; existing keys get all scopes, so they keep their permissions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns, and name the existing keys after their salt."""
    every_scope = '["report","read","admin"]'
    op.add_column("api_keys", sa.Column("name", sa.String(100), nullable=False, server_default="key"))
    op.add_column("api_keys", sa.Column("scopes", sa.Text, nullable=False, server_default=every_scope))
    for name in ("expires_at", "revoked_at", "last_used_at"):
        op.add_column("api_keys", sa.Column(name, sa.BigInteger))
    keys = sa.table("api_keys", sa.column("organization_id"), sa.column("salt", sa.LargeBinary), sa.column("name"))
    connection = op.get_bind()
    for organization_id, salt in connection.execute(sa.select(keys.c.organization_id, keys.c.salt)).all():
        one = (keys.c.organization_id == organization_id) & (keys.c.salt == salt)
        connection.execute(sa.update(keys).where(one).values(name=f"key-{salt.hex()[:8]}"))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("last_used_at", "revoked_at", "expires_at", "scopes", "name"):
        op.drop_column("api_keys", name)
