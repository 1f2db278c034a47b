"""Pages of the history."""

from itertools import chain

import pytest

from store.reports import NOON, submission
from xpander_server.store import Store, TaskQuery
from xpander_server.store import task_query as task_query_module


def pages(store: Store, query: TaskQuery, limit: int) -> list[list[str]]:
    """Return the ids of the tasks on each page."""
    ids_of_pages, cursor = [], None
    while True:
        page = store.history(query, limit=limit, cursor=cursor)
        ids_of_pages.append([task.id for task in page.tasks])
        cursor = page.next_cursor
        if cursor is None:
            return ids_of_pages


def query(since: int | None = None, until: int | None = None, **filters: str) -> TaskQuery:
    """Return a query of the organization "org"."""
    return TaskQuery(organization_id="org", filters=filters, since=since, until=until)


def test_tasks_of_the_same_microsecond_are_on_one_page_each(store):
    store.commit([submission(str(number)) for number in range(10)])
    ids_of_pages = pages(store, query(agent_id="agent"), 3)
    assert [len(page) for page in ids_of_pages] == [3, 3, 3, 1]
    assert sorted(chain(*ids_of_pages)) == sorted(map(str, range(10)))


@pytest.mark.parametrize("cursor", ["AAAA", "e30", "WzEsMl0", "W10", "A", "WzEsImFcdTAwMDAiXQ"])
def test_a_foreign_cursor_is_rejected(store, cursor):
    with pytest.raises(ValueError, match="cursor"):
        store.history(query(), limit=1, cursor=cursor)


def test_new_tasks_do_not_move_the_next_page(store):
    store.commit([submission(str(number), now=NOON + number) for number in range(6)])
    first = store.history(query(), limit=3)
    store.commit([submission(f"new {number}", now=NOON + 10 + number) for number in range(5)])
    second = store.history(query(), limit=3, cursor=first.next_cursor)
    assert [task.id for task in (*first.tasks, *second.tasks)] == ["5", "4", "3", "2", "1", "0"]


def test_rare_tasks_are_found_in_order_over_several_pages(store, monkeypatch):
    monkeypatch.setattr(task_query_module, "SEEK_ROWS", 4)
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", -1.0)  # each page reads one chunk
    rare = {3, 4, 17}
    store.commit([submission(f"{n:02}", now=NOON + n, input="a needle" if n in rare else "hay") for n in range(20)])
    ids_of_pages = pages(store, query(q="NEEDLE"), 10)
    assert list(chain(*ids_of_pages)) == ["17", "04", "03"]
    assert len(ids_of_pages) == 6
    assert pages(store, query(q="needle"), 1)[0] == ["17"]


def test_a_page_reads_chunks_until_it_is_full_or_its_time_is_over(store, monkeypatch):
    monkeypatch.setattr(task_query_module, "SEEK_ROWS", 4)
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", 60.0)
    store.commit([submission(f"{n:02}", now=NOON + n, is_success=n % 5 == 0) for n in range(20)])
    assert pages(store, query(status="completed"), 3) == [["15", "10", "05"], ["00"]]


def test_json_syntax_and_escapes_do_not_match(store):
    store.report(submission(input="line\nbreak", used_tools=["a", "b"]))
    assert pages(store, query(q="nb"), 9) == [[]]
    assert pages(store, query(tool=","), 9) == [[]]
    assert pages(store, query(q="E\nB"), 9) == [["t"]]


@pytest.mark.parametrize("filters", [{"status": "paused"}, {"internal_status": "x"}])
def test_a_filter_that_no_task_can_meet_returns_an_empty_page(store, filters):
    store.report(submission())
    assert pages(store, query(**filters), 9) == [[]]


def test_a_time_range_includes_since_and_excludes_until(store):
    store.commit([submission(str(n), now=NOON + n) for n in range(5)])
    assert pages(store, query(since=NOON + 1, until=NOON + 3), 9) == [["2", "1"]]
    assert pages(store, query(since=NOON + 1, until=NOON + 3, status="executing", agent_id="agent"), 9) == [["2", "1"]]
