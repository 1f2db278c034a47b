"""Where tasks and keys are kept: SQLAlchemy Core over SQLite."""

from xpander_server.store.engine import StoreError, StoreUnavailable
from xpander_server.store.store import DEFAULT_ORGANIZATION, Page, Store

__all__ = ["DEFAULT_ORGANIZATION", "Page", "Store", "StoreError", "StoreUnavailable"]
