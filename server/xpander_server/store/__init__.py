"""Storage of tasks, metrics and API keys: SQLAlchemy Core on SQLite and PostgreSQL."""

from xpander_server.store.commit import Submission
from xpander_server.store.engine.errors import QueueFull, StoreError, StoreUnavailable
from xpander_server.store.engine.sqlite import missing_file
from xpander_server.store.erasure import ErasureSelection
from xpander_server.store.excerpts import Excerpt
from xpander_server.store.keys import KeyRow, KeyTable, NameTaken
from xpander_server.store.metrics.queries import MetricsResult
from xpander_server.store.sessions import SessionRow, SessionTable
from xpander_server.store.span_batch import SpanBatch, StoredSpan
from xpander_server.store.span_refusals import Cause, SpanRefusal, new_refusal
from xpander_server.store.span_writer import SpanWriter
from xpander_server.store.store import DEFAULT_ORGANIZATION, Store
from xpander_server.store.task_filters import UNPRICED
from xpander_server.store.task_query import Page, TaskQuery
from xpander_server.store.task_tree import MAX_COUNT, TaskTree, TreeTask
from xpander_server.store.view_summary import ViewSummary
from xpander_server.store.writer import Writer

__all__ = [
    "DEFAULT_ORGANIZATION",
    "MAX_COUNT",
    "UNPRICED",
    "Cause",
    "ErasureSelection",
    "Excerpt",
    "KeyRow",
    "KeyTable",
    "MetricsResult",
    "NameTaken",
    "Page",
    "QueueFull",
    "SessionRow",
    "SessionTable",
    "SpanBatch",
    "SpanRefusal",
    "SpanWriter",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredSpan",
    "Submission",
    "TaskQuery",
    "TaskTree",
    "TreeTask",
    "ViewSummary",
    "Writer",
    "missing_file",
    "new_refusal",
]
