"""Limit the names in metrics: `store.metrics.rebuild.complete_upgrade` changes the data after this revision."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Change no table: the registries of names are rows of metric_rollups."""


def downgrade() -> None:
    """Change no table: earlier versions ignore the registries."""
