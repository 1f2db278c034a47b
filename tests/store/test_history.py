"""History, page by page."""

from itertools import chain

import pytest

from store.reports import NOON, submission
from xpander_server.store import Store, TaskQuery
from xpander_server.store import task_query as history_module


def pages(store: Store, question: TaskQuery, limit: int) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = store.history(question, limit=limit, cursor=cursor)
        found.append([task.id for task in page.tasks])
        cursor = page.next_cursor
        if cursor is None:
            return found


def ask(since: int | None = None, until: int | None = None, **filters: str) -> TaskQuery:
    return TaskQuery(organization_id="org", filters=filters, since=since, until=until)


def test_tasks_of_the_same_microsecond_are_all_paged_once(store):
    store.commit([submission(str(number)) for number in range(10)])
    found = pages(store, ask(agent_id="agent"), 3)
    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert sorted(chain(*found)) == sorted(map(str, range(10)))


@pytest.mark.parametrize("cursor", ["AAAA", "e30", "WzEsMl0", "W10", "A", "WzEsImFcdTAwMDAiXQ"])
def test_a_cursor_that_the_store_never_gave_is_refused(store, cursor):
    with pytest.raises(ValueError, match="cursor"):
        store.history(ask(), limit=1, cursor=cursor)


def test_a_walk_is_not_disturbed_by_new_tasks(store):
    store.commit([submission(str(number), now=NOON + number) for number in range(6)])
    first = store.history(ask(), limit=3)
    store.commit([submission(f"new {number}", now=NOON + 10 + number) for number in range(5)])
    second = store.history(ask(), limit=3, cursor=first.next_cursor)
    assert [task.id for task in (*first.tasks, *second.tasks)] == ["5", "4", "3", "2", "1", "0"]


def test_what_is_rare_is_found_in_bounded_steps_in_order(store, monkeypatch):
    monkeypatch.setattr(history_module, "SEEK_ROWS", 4)
    monkeypatch.setattr(history_module, "SEEK_SECONDS", -1.0)  # each page looks once
    rare = {3, 4, 17}
    store.commit([submission(f"{n:02}", now=NOON + n, input="a needle" if n in rare else "hay") for n in range(20)])
    found = pages(store, ask(q="NEEDLE"), 10)
    assert list(chain(*found)) == ["17", "04", "03"]
    assert len(found) == 6
    assert pages(store, ask(q="needle"), 1)[0] == ["17"]


def test_with_time_left_a_page_looks_on_until_it_is_full(store, monkeypatch):
    monkeypatch.setattr(history_module, "SEEK_ROWS", 4)
    monkeypatch.setattr(history_module, "SEEK_SECONDS", 60.0)
    store.commit([submission(f"{n:02}", now=NOON + n, is_success=n % 5 == 0) for n in range(20)])
    assert pages(store, ask(status="completed"), 3) == [["15", "10", "05"], ["00"]]


def test_what_looks_alike_in_json_is_not_found(store):
    store.report(submission(input="line\nbreak", used_tools=["a", "b"]))
    assert pages(store, ask(q="nb"), 9) == [[]]
    assert pages(store, ask(tool=","), 9) == [[]]
    assert pages(store, ask(q="E\nB"), 9) == [["t"]]


@pytest.mark.parametrize("filters", [{"status": "paused"}, {"internal_status": "x"}])
def test_what_no_task_can_be_is_not_looked_for(store, filters):
    store.report(submission())
    assert pages(store, ask(**filters), 9) == [[]]


def test_a_range_of_time_begins_with_since_and_ends_before_until(store):
    store.commit([submission(str(n), now=NOON + n) for n in range(5)])
    assert pages(store, ask(since=NOON + 1, until=NOON + 3), 9) == [["2", "1"]]
    assert pages(store, ask(since=NOON + 1, until=NOON + 3, status="executing", agent_id="agent"), 9) == [["2", "1"]]
