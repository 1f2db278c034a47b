"""The store: every operation of the server on its database."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, select

from xpander_server.clock import now
from xpander_server.domain.metrics import Amounts
from xpander_server.domain.pricing import OwnPrices, PricesNotLoaded, load_prices
from xpander_server.domain.task import Task
from xpander_server.store import erasure, previews, repricing, retention
from xpander_server.store.commit import Outcome, Submission, commit
from xpander_server.store.engine.database import open_database
from xpander_server.store.engine.errors import StoreError, StoreUnavailable
from xpander_server.store.engine.limits import LIST, MAINTENANCE, METRICS, WRITE, Limits
from xpander_server.store.erasure import ErasureSelection
from xpander_server.store.health import HealthCheck
from xpander_server.store.keys import KeyTable
from xpander_server.store.metrics.queries import MetricsQuery, MetricsResult, read_agents
from xpander_server.store.metrics.rebuild import complete_upgrade, rebuild_metrics
from xpander_server.store.own_prices import OwnPriceTable
from xpander_server.store.repricing import Repriced, Selection
from xpander_server.store.schema.migrate import migrate
from xpander_server.store.schema.tables import tasks
from xpander_server.store.sessions import SessionTable
from xpander_server.store.span_batch import SpanBatch
from xpander_server.store.span_refusals import SpanRefusalTable
from xpander_server.store.task_query import Page, TaskQuery, cursor_after
from xpander_server.store.task_tree import TaskTree, count_children, read_tree
from xpander_server.store.view_summary import ViewSummary, sorted_page, summarize_view

DEFAULT_ORGANIZATION = "local"
"""The organization of tasks that name none, as on a developer's machine."""


class Store:
    """Tasks, metrics, API keys and sessions in a database.

    Threads may share a store; each process opens its own.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`. The file and the schema are created or
            migrated if necessary.
        is_embedded: The process is a caller's program, in which a SQLite store starts no thread.

    Attributes:
        keys: The API keys.
        sessions: The sessions of the web pages.
        own_prices: The prices that organizations have set.
        span_refusals: The spans that were refused lately.
        health: The check of whether the store can be read and written.

    Raises:
        StoreError: The URL is not that of a usable store, or a newer version of this program created the store.
    """

    def __init__(self, url: str, *, is_embedded: bool = False) -> None:
        self._database = open_database(url, is_embedded=is_embedded)
        try:
            migrate(self._database, after_upgrade=complete_upgrade)
        except Exception as error:
            self._database.close()
            raise StoreError(f"Cannot open the store {_without_password(url)}: {error}") from None
        self.keys = KeyTable(self._database.read, self._database.write)
        self.sessions = SessionTable(self._database)
        self.own_prices = OwnPriceTable(self._database)
        self.span_refusals = SpanRefusalTable(self._database)
        self.health = HealthCheck(self._database)

    def close(self) -> None:
        """Close all connections to the database."""
        self._database.close()

    def pause(self) -> None:
        """Close the database; other threads that use the store wait until `resume`."""
        self._database.pause()

    def resume(self) -> None:
        """Let the threads that wait since `pause` use the store again."""
        self._database.resume()

    def interrupt(self) -> None:
        """Make all calls in progress and all later ones fail with `StoreUnavailable`, so that their threads can end."""
        self._database.interrupt()

    def commit(
        self, submissions: Sequence[Submission], *, skip_locked: bool = False, limits: Limits = WRITE
    ) -> list[Outcome]:
        """Merge reports into their tasks in one durable transaction.

        Args:
            submissions: The reports.
            skip_locked: Whether the reports of tasks that are locked have the outcome `RowLocked`.
            limits: The limits of the transaction.

        Returns:
            For each report its task after the merge, or the reason for which it changes nothing.

        Raises:
            RowLocked: Another transaction has locked a task for too long; nothing is changed.
            StoreUnavailable: The database does not respond; the reports may be stored or not.
        """
        prices_of = self.own_prices.of_organization

        def call(connection: Connection) -> list[Outcome]:
            return commit(connection, submissions, skip_locked=skip_locked, prices_of=prices_of)

        try:
            return self._database.write(call, limits)
        except PricesNotLoaded:  # only a program with an embedded store, which has not loaded them at its start
            load_prices()
            return self._database.write(call, limits)

    def commit_spans(self, batches: Sequence[SpanBatch], *, limits: Limits = WRITE) -> list[int]:
        """Store spans, and merge the runs of their traces into tasks, in one durable transaction.

        Args:
            batches: The spans of one or more requests.
            limits: The limits of the transaction.

        Returns:
            For each batch the number of spans that were refused, because their trace has too many.

        Raises:
            RowLocked: Another transaction has locked a row for too long; nothing is changed.
            StoreUnavailable: The database does not respond; the spans may be stored or not.
        """
        from xpander_server.store.traces import commit_spans  # here: a program with an embedded store has no spans

        load_prices()
        prices_of = self.own_prices.of_organization
        return self._database.write(lambda connection: commit_spans(connection, batches, prices_of), limits)

    def recompute_traces(self, now: int) -> int:
        """Compute the runs of traces whose time has come, and delete the spans of old traces.

        Args:
            now: The present time, in microseconds since 1970.

        Returns:
            The number of traces.
        """
        from xpander_server.store.traces import recompute_due

        total = 0
        prices_of = self.own_prices.of_organization
        while count := self._database.write(lambda connection: recompute_due(connection, now, prices_of)):
            total += count
        return total

    def report(self, submission: Submission) -> Task:
        """Merge one report into its task durably, and return the task.

        Raises:
            Conflict: The task belongs to another agent; nothing is changed.
            StoreUnavailable: The database does not respond; nothing is changed.
        """
        (outcome,) = self.commit([submission])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def report_all(self, submissions: Sequence[Submission]) -> list[Outcome | Exception]:
        """Merge reports into their tasks durably, in one transaction, and return the outcome of each.

        Raises:
            StoreUnavailable: The database does not respond; the reports may be stored or not.
        """
        try:
            return [*self.commit(submissions)]
        except StoreUnavailable:
            raise
        except Exception as error:
            # An error in one report must not fail the others.
            if len(submissions) == 1:
                return [error]
            return [self.report_all([submission])[0] for submission in submissions]

    def task(self, organization_id: str, task_id: str) -> Task | None:
        """Return a task with all its documents, or None."""
        query = select(tasks).where(tasks.c.organization_id == organization_id, tasks.c.id == task_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else Task(**row._mapping)

    def history(self, query: TaskQuery, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of tasks, newest first, without their documents; a long `result` is an `Excerpt`.

        Args:
            query: The tasks to return.
            limit: The largest number of tasks.
            cursor: The `next_cursor` of the page before; None for the first page.

        Raises:
            ValueError: The cursor was not returned by this server.
        """
        return self._database.read(lambda connection: query.page(connection, limit=limit, cursor=cursor), LIST)

    def sorted_history(
        self, query: TaskQuery, figure: str, *, limit: int, cursor: str | None = None
    ) -> tuple[Page, int | None]:
        """Return a page of tasks as `history` does, in the order of a figure; see `view_summary.sorted_page`.

        Args:
            query: The tasks to return. `oldest_first` puts the smallest figure first.
            figure: `duration`, `tokens` or `cost`.
            limit: The largest number of tasks.
            cursor: The `next_cursor` of the page before; None for the first page.

        Returns:
            The page, and the time of creation of the oldest task that was tested if there are older ones.

        Raises:
            ValueError: The cursor was not returned by this server.
        """
        return self._database.read(
            lambda connection: sorted_page(connection, query, figure, limit=limit, cursor=cursor), LIST
        )

    def previews(self, query: TaskQuery, *, limit: int, cursor: str | None = None) -> Page:
        """Return a page of tasks, newest first, in which `input` and `result` are cut after about 300 characters.

        Args:
            query: The tasks to return.
            limit: The largest number of tasks.
            cursor: The `next_cursor` of the page before; None for the first page.

        Raises:
            ValueError: The cursor was not returned by this server.
        """
        return self._database.read(
            lambda connection: previews.read_page(connection, query, limit=limit, cursor=cursor), LIST
        )

    def failures(self, query: TaskQuery, *, limit: int, seconds: float) -> Page:
        """Return the newest tasks of a query with their `reason`, and the starts of `error` and `result`.

        Args:
            query: The tasks; its filters must be covered by an index.
            limit: The largest number of tasks.
            seconds: Time after which no further task is read.
        """
        return self._database.read(
            lambda connection: previews.read_failures(connection, query, limit=limit, seconds=seconds), LIST
        )

    def view(self, query: TaskQuery) -> ViewSummary:
        """Return the figures of the newest tasks that match a query; see `ViewSummary` for their limit."""
        return self._database.read(lambda connection: summarize_view(connection, query), LIST)

    def sorted_previews(self, organization_id: str, ids: Sequence[str]) -> list[Task]:
        """Return previews of tasks, as `previews` does, in the order of their ids."""
        return self._database.read(lambda connection: previews.read_previews(connection, organization_id, ids), LIST)

    def tree(self, task: Task) -> TaskTree:
        """Return the tasks that started a task, and those that it started."""
        return self._database.read(lambda connection: read_tree(connection, task), LIST)

    def child_counts(self, organization_id: str, task_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of children of the tasks that have any; see `task_tree.count_children`."""
        if not task_ids:
            return {}
        return self._database.read(lambda connection: count_children(connection, organization_id, task_ids), LIST)

    def neighbors(self, query: TaskQuery, task: Task) -> tuple[str | None, str | None]:
        """Return the ids of the tasks before and after a task in a query's history.

        None stands for no task, and for one that a search has not found in the time of a page.
        """

        def read(connection: Connection) -> tuple[str | None, str | None]:
            newer, older = (
                evolve(query, oldest_first=oldest_first).page(
                    connection, limit=1, cursor=cursor_after(task), columns=previews.REQUIRED
                )
                for oldest_first in (not query.oldest_first, query.oldest_first)
            )
            return newer.tasks[0].id if newer.tasks else None, older.tasks[0].id if older.tasks else None

        return self._database.read(read, LIST)

    def metrics(
        self,
        organization_id: str,
        agent_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hours: int | None = None,
        top_agents: int = 0,
        previous: tuple[int, int] | None = None,
    ) -> MetricsResult:
        """Return the metrics of the tasks created from `since` to before `until`.

        Args:
            organization_id: The organization.
            agent_id: The agent; None for all agents of the organization.
            since: The start of the range, in microseconds since 1970; None for no limit.
            until: The end of the range, exclusive, in microseconds since 1970; None for no limit.
            hours: The length of a time bucket of the series: 1 or 24; None for no series.
            top_agents: The number of agents to return separate sums for: those with the most runs.
            previous: The start and the end of another time range whose sum is returned; None for no other.
        """
        query = MetricsQuery(
            organization_id=organization_id,
            agent_id=agent_id,
            since=since,
            until=until,
            bucket_hours=hours,
            top_agents=top_agents,
            previous=previous,
        )
        return self._database.read(query.run, METRICS)

    def agent_metrics(
        self, organization_id: str, agent_ids: Sequence[str], *, since: int | None, until: int | None
    ) -> dict[str, Amounts]:
        """Return the sums of some agents, as `metrics` does, by the id of the agent.

        Args:
            organization_id: The organization.
            agent_ids: The agents.
            since: The start of the range, in microseconds since 1970; None for no limit.
            until: The end of the range, exclusive, in microseconds since 1970; None for no limit.
        """
        return self._database.read(
            lambda connection: read_agents(connection, organization_id, agent_ids, since=since, until=until), METRICS
        )

    def rebuild_metrics(self) -> None:
        """Compute all metrics again from the tasks; reports wait until it is done."""
        self._database.write(rebuild_metrics, MAINTENANCE)

    def reprice(
        self,
        organization_id: str | None = None,
        *,
        since: int | None = None,
        model: str | None = None,
        is_all: bool = False,
        is_dry_run: bool = False,
    ) -> Repriced:
        """Compute stored costs at the prices that are known now; the metrics change by the difference.

        The repricing uses small transactions with pauses between them, so that reports get half of the time.

        Args:
            organization_id: The organization; None for all of them.
            since: The time of the oldest task, in microseconds since 1970; None for no limit.
            model: The model whose tasks are repriced, whether they have a cost or not; None for any model.
            is_all: Whether tasks that have a cost are repriced, too.
            is_dry_run: Whether nothing is changed.

        Returns:
            The numbers of examined, newly priced and changed tasks.
        """
        load_prices()
        started_at = now()
        organizations = [organization_id] if organization_id else self._database.read(repricing.find_organizations)
        total = Repriced(0, 0, 0)
        for name in organizations:
            own_prices = OwnPrices(self.own_prices.list_prices(name))
            selection = Selection(organization_id=name, since=since, until=started_at, model=model, is_all=is_all)
            total += repricing.reprice_selection(self._database, selection, own_prices, is_dry_run=is_dry_run)
        return total

    def delete_before(self, before: int) -> int:
        """Delete the tasks created before a time; their metrics stay.

        The deletion uses small transactions with pauses between them, so that reports get half of the time. Metrics of
        deleted tasks exist by full hours only: `before` is rounded down to the start of an hour, and a metrics query
        whose range starts or ends within such an hour does not count the deleted tasks of that hour.

        Args:
            before: The time, in microseconds since 1970.

        Returns:
            The number of deleted tasks.
        """
        return retention.delete_before(self._database, before)

    def erase(self, selection: ErasureSelection, *, actor: str, now: int) -> int:
        """Erase the contents of tasks; their metrics stay. Record in the audit log who did it.

        Args:
            selection: The tasks to erase.
            actor: The name of the key, or of the user of the command line.
            now: The present time, in microseconds since 1970.

        Returns:
            The number of erased tasks. If it is 0, nothing is recorded.
        """
        return erasure.erase(self._database, selection, actor=actor, now=now)

    def audit_log(self, organization_id: str, limit: int) -> list[Mapping[str, Any]]:
        """Return the latest entries of the audit log of an organization, newest first."""
        return self._database.read(lambda connection: erasure.read_audit_log(connection, organization_id, limit))


def _without_password(url: str) -> str:
    # The query string is removed as well, because it may contain a password. A password that is not encoded may contain
    # any character, so everything up to the last @ is replaced.
    return re.sub(r"//([^:@/]*)(:.*)?@", r"//\1:***@", url.partition("?")[0])
