"""Rename metric_movements to metric_deltas, and retention.forgotten_before to retention.deleted_before."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Rename the table, its primary key, and the column."""
    op.rename_table("metric_movements", "metric_deltas")
    op.execute("ALTER TABLE retention RENAME COLUMN forgotten_before TO deleted_before")
    if op.get_context().dialect.name == "postgresql":
        # SQLite renames the index of a primary key together with the table.
        op.execute("ALTER INDEX metric_movements_pkey RENAME TO metric_deltas_pkey")


def downgrade() -> None:
    """Restore the former names."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER INDEX metric_deltas_pkey RENAME TO metric_movements_pkey")
    op.execute("ALTER TABLE retention RENAME COLUMN deleted_before TO forgotten_before")
    op.rename_table("metric_deltas", "metric_movements")
