"""A store: every question that the server asks of its database."""

from collections.abc import Sequence

from sqlalchemy import make_url, select
from sqlalchemy.exc import ArgumentError

from xpander_server.clock import HOUR
from xpander_server.domain.task import Conflict, Task
from xpander_server.store import previews, retention
from xpander_server.store.commit import Submission, commit
from xpander_server.store.engine.database import open_database
from xpander_server.store.engine.errors import StoreError
from xpander_server.store.keys import KeyTable
from xpander_server.store.metrics.queries import MetricsResult, Range
from xpander_server.store.metrics.rebuild import rebuild
from xpander_server.store.schema.migrate import migrate
from xpander_server.store.schema.tables import tasks
from xpander_server.store.sessions import SessionTable
from xpander_server.store.task_query import Page, TaskQuery

DEFAULT_ORGANIZATION = "local"
"""Whose the tasks are where nobody names an organisation: on one's own machine."""


class Store:
    """Tasks, their metrics, and keys, in a database. Safe to share between threads; one for each process.

    Args:
        url: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; made, or brought up to date, where it
            needs to be.

    Raises:
        StoreError: the URL names no store that we can use, or a newer version of ours made it.
    """

    def __init__(self, url: str) -> None:
        self._database = open_database(url)
        try:
            migrate(self._database)
        except Exception as error:
            self._database.close()
            raise StoreError(f"Cannot open the store {_shown(url)}: {error}") from None
        self.keys = KeyTable(self._database.read, self._database.write)
        self.sessions = SessionTable(self._database)

    def close(self) -> None:
        self._database.close()

    def pause(self) -> None:
        """Close the database, and hold back who wants it, until `resume`."""
        self._database.pause()

    def resume(self) -> None:
        self._database.resume()

    def ping(self) -> None:
        """Return if the store answers."""
        self._database.read(lambda connection: connection.execute(select(1)))

    def commit(self, submissions: Sequence[Submission]) -> list[Task | Conflict]:
        """Merge reports into their tasks, durably, all in one transaction.

        Returns:
            For each report its task after it, or why it was refused; a refusal changes nothing.
        """
        return self._database.write(lambda connection: commit(connection, submissions))

    def report(self, submission: Submission) -> Task:
        """Merge one report into its task, durably.

        Raises:
            Conflict: the task belongs to another agent; nothing is changed.
        """
        (outcome,) = self.commit([submission])
        if isinstance(outcome, Conflict):
            raise outcome
        return outcome

    def task(self, organization_id: str, task_id: str) -> Task | None:
        query = select(tasks).where(tasks.c.organization_id == organization_id, tasks.c.id == task_id)
        row = self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else Task(**row._mapping)

    def history(self, question: TaskQuery, *, limit: int, cursor: str | None = None) -> Page:
        """Tasks, newest first, without their documents.

        Args:
            cursor: where to start, as the page before gave it.

        Raises:
            ValueError: the cursor is none of ours.
        """
        return self._database.read(lambda connection: question.page(connection, limit=limit, cursor=cursor))

    def previews(self, question: TaskQuery, *, limit: int, cursor: str | None = None) -> Page:
        """As `history`, with what a line about a task tells, and of long texts only the beginning.

        Raises:
            ValueError: the cursor is none of ours.
        """
        return self._database.read(lambda connection: previews.page(connection, question, limit=limit, cursor=cursor))

    def metrics(
        self,
        organization_id: str,
        agent_id: str | None = None,
        *,
        since: int | None = None,
        until: int | None = None,
        hours: int | None = None,
        top_agents: int = 0,
    ) -> MetricsResult:
        """What tasks add up to that were first seen from `since` to before `until`.

        Args:
            agent_id: None for all agents of the organisation.
            hours: 1 or 24, for a series of spans of as many hours.
            top_agents: of how many agents, the busiest, to tell what each adds up to.
        """
        wanted = Range(organization_id, agent_id, since, until)
        return self._database.read(lambda connection: wanted.totals(connection, hours=hours, top_agents=top_agents))

    def rebuild_metrics(self) -> None:
        """Make all metrics anew from the tasks; while that goes on, reports wait."""
        self._database.write(rebuild)

    def delete_before(self, before: int) -> int:
        """Delete the tasks that were first seen before a time; their metrics stay.

        It is done in small transactions, so that reports need not wait. What is forgotten counts by whole hours:
        `before` is rounded down to one, and a range that cuts through such an hour finds nothing of it.

        Args:
            before: microseconds since 1970.

        Returns:
            How many tasks there were.
        """
        before = before // HOUR * HOUR
        return sum(
            self._forget(organization_id, before)
            for organization_id in self._database.read(lambda connection: retention.organizations(connection, before))
        )

    def _forget(self, organization_id: str, before: int) -> int:
        forgotten = 0
        while True:
            count = self._database.write(
                lambda connection: retention.delete_before(connection, organization_id, before)
            )
            forgotten += count
            if count < retention.AT_A_TIME:
                return forgotten


def _shown(url: str) -> str:
    try:
        # Without what follows the "?" as well: a password may be there, too.
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "at this URL"
