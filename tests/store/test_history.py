"""Pages of the history."""

import time
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import Connection, Select, func, select

from store.reports import NOON, submission
from xpander_server.clock import HOUR
from xpander_server.store import Excerpt, Store, StoreUnavailable, TaskQuery
from xpander_server.store import task_query as task_query_module
from xpander_server.store.engine.limits import Limits
from xpander_server.store.schema.tables import metadata_pairs


def pages(store: Store, query: TaskQuery, limit: int) -> list[list[str]]:
    """Return the ids of the tasks on each page."""
    ids_of_pages, cursor = [], None
    while True:
        page = store.history(query, limit=limit, cursor=cursor)
        ids_of_pages.append([task.id for task in page.tasks])
        cursor = page.next_cursor
        if cursor is None:
            return ids_of_pages


def query(since: int | None = None, until: int | None = None, **filters: str | list[str]) -> TaskQuery:
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
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", -1.0)  # each page tests one task
    monkeypatch.setattr(task_query_module, "MIN_SEEK_ROWS", 1)
    rare = {3, 4, 17}
    store.commit([submission(f"{n:02}", now=NOON + n, input="a needle" if n in rare else "hay") for n in range(20)])
    ids_of_pages = pages(store, query(q="NEEDLE"), 10)
    assert list(chain(*ids_of_pages)) == ["17", "04", "03"]
    assert len(ids_of_pages) == 21
    assert [page for page in pages(store, query(q="needle"), 1) if page] == [["17"], ["04"], ["03"]]


def test_a_page_tests_some_tasks_even_if_its_time_is_over(store, monkeypatch):
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", -1.0)
    last = task_query_module.MIN_SEEK_ROWS - 1
    for number in range(last + 2):
        store.report(submission(f"{number:02}", now=NOON - number, input="a needle" if number == last else "hay"))
    assert pages(store, query(q="needle"), 10) == [[f"{last}"], []]


def test_a_page_executes_statements_until_it_is_full_or_its_time_is_over(store, monkeypatch):
    monkeypatch.setattr(task_query_module, "SEEK_ROWS", {"sqlite": 4, "postgresql": 4})
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


FILTERED = {
    "plain": {},
    "alpha": {"conversation_id": "c1", "user_id": "u1", "metadata": {"env": "test", "a=b": "c"}},
    "beta": {"conversation_id": "c1", "parent_task_id": "alpha", "metadata": {"env": "prod", "customer": "acme"}},
    "gamma": {"parent_task_id": "alpha", "user_id": "u1", "metadata": {"env": "prod", "customer": 'a"b\\n'}},
    "delta": {"calls": [{"model": "gpt-4o", "tokens": {"prompt_tokens": 9}}, {"model": "gpt-4o-mini"}]},
}


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"conversation_id": "c1"}, ["beta", "alpha"]),
        ({"conversation_id": "c1", "user_id": "u1"}, ["alpha"]),
        ({"parent_task_id": "alpha"}, ["gamma", "beta"]),
        ({"parent_task_id": "alpha", "conversation_id": "c1"}, ["beta"]),
        ({"metadata": ["env=prod"]}, ["gamma", "beta"]),
        ({"metadata": ["env=pro"]}, []),
        ({"metadata": ["env=prod", "customer=acme"]}, ["beta"]),
        ({"metadata": ["customer=acme", "env=test"]}, []),
        ({"metadata": ["env=prod", 'customer=a"b\\n']}, ["gamma"]),
        ({"metadata": ["env=prod"], "agent_id": "agent"}, ["gamma", "beta"]),
        ({"metadata": ["env=prod"], "agent_id": "other"}, []),
        ({"metadata": ["env=prod"], "conversation_id": "c1", "status": "executing"}, ["beta"]),
        ({"model": "gpt-4o"}, ["delta"]),
        ({"model": "gpt-4o-mini"}, ["delta"]),
        ({"model": "gpt"}, []),
    ],
)
def test_tasks_are_found_by_their_extended_fields(store, filters, ids):
    reports = [submission(name, now=NOON + n, **fields) for n, (name, fields) in enumerate(FILTERED.items())]
    store.commit([*reports, submission("foreign", organization_id="foreign", metadata={"env": "prod"})])
    assert list(chain(*pages(store, query(**filters), 1))) == ids
    assert list(chain(*pages(store, query(**filters), 9))) == ids


def test_metadata_are_found_in_their_latest_form(store):
    store.report(submission(metadata={"env": "test", "keep": "1"}))
    store.report(submission(metadata={"env": "prod", "keep": "1"}, created_at="2020-01-01T00:00:00Z"))
    assert pages(store, query(metadata=["env=test"]), 9) == [[]]
    assert pages(store, query(metadata=["env=prod"], until=NOON), 9) == [["t"]]
    assert pages(store, query(metadata=["keep=1"], since=NOON), 9) == [[]]
    store.report(submission(metadata={}))
    assert pages(store, query(metadata=["keep=1"]), 9) == [[]]


def test_deleted_tasks_are_removed_from_the_index_of_metadata(store):
    store.commit([submission("old", now=NOON - 2 * HOUR, metadata={"a": "1"}), submission("new", metadata={"a": "1"})])
    assert store.delete_before(NOON - HOUR) == 1
    assert pages(store, query(metadata=["a=1"]), 9) == [["new"]]
    count = store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(metadata_pairs)))
    assert count == 1


@pytest.mark.parametrize(
    ("name", "value", "index_name"),
    [
        ("conversation_id", "c7", "tasks_of_conversation"),
        ("parent_task_id", "p7", "tasks_of_parent"),
        ("metadata", ["k=7"], "metadata_pairs"),
        ("user_id", "u7", "tasks_of_user"),
    ],
)
def test_an_indexed_filter_reads_its_index_in_order(store, name, value, index_name):
    store.commit(
        [
            submission(
                f"{n}",
                now=NOON + n,
                user_id=f"u{n % 20}",
                conversation_id=f"c{n % 20}",
                parent_task_id=f"p{n % 20}",
                metadata={"k": f"{n % 20}"},
            )
            for n in range(1_000)
        ]
    )
    index, unindexed = query(**{name: value})._choose_index()
    plan = store._database.write(lambda connection: explain(connection, index.select([index.task_id], None, 10)))
    assert index_name in plan
    # Tasks of one microsecond may be sorted; all tasks may not.
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    assert "->  Sort" not in plan
    assert unindexed == {}


def explain(connection: Connection, statement: Select[Any]) -> str:
    compiled = statement.compile(dialect=connection.dialect)
    parameters = tuple(compiled.params[name] for name in compiled.positiontup or ())
    explained = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    connection.exec_driver_sql("ANALYZE")
    return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explained} {compiled}", parameters))


def test_a_list_has_the_start_of_a_long_error(store):
    store.report(submission(error="x" * 10_000, is_success=False))
    (task,) = store.history(query(), limit=9).tasks
    assert isinstance(task.error, Excerpt)
    assert 400 < len(task.error) <= 500


def test_a_list_has_the_start_of_a_long_result(store):
    results = {
        "short": "x" * 100,
        "long": "x" * 10_000,
        "wide": "漢" * 10_000,
        "escaped": "\n" * 10_000,
        "none": None,
    }
    store.commit([submission(name, result=result) for name, result in results.items()])
    listed = {task.id: task.result for task in store.history(query(), limit=9).tasks}
    found = {task.id: task.result for task in store.history(query(status="executing"), limit=9).tasks}
    assert found == listed
    assert {name for name, result in listed.items() if isinstance(result, Excerpt)} == {"long", "wide", "escaped"}
    assert (listed["short"], listed["none"]) == (results["short"], None)
    for name in ("long", "wide", "escaped"):
        assert results[name].startswith(listed[name])
        assert 2_000 < len(listed[name].encode()) <= 4_096
        assert store.task("org", name).result == results[name]


@pytest.mark.parametrize("filters", [{}, {"status": "executing"}])
def test_a_page_ends_when_it_is_large(store, monkeypatch, filters):
    monkeypatch.setattr(task_query_module, "PAGE_CHARACTERS", 10_000)
    store.commit([submission(f"{n}", now=NOON + n, result="x" * 5_000) for n in range(7)])
    ids_of_pages = pages(store, query(**filters), 9)
    assert list(chain(*ids_of_pages)) == [*"6543210"]
    assert max(map(len, ids_of_pages)) == 2


def test_a_list_ends_the_page_after_its_time(store, monkeypatch):
    monkeypatch.setattr(task_query_module, "LIST_SECONDS", -1.0)
    store.commit([submission(f"{n}", now=NOON + n) for n in range(3)])
    assert pages(store, query(), 9) == [["2"], ["1"], ["0"]]


def test_a_text_is_searched_in_the_start_of_a_document(store):
    store.report(submission("near", input="x" * 15_000 + "Needle"))
    store.report(submission("far", input="x" * 17_000 + "Needle"))
    assert pages(store, query(q="needle"), 9) == [["near"]]


def test_a_search_takes_linear_time(store):
    store.commit([submission(str(n), input="a" * 4_000_000, result="A" * 4_000_000) for n in range(2)])
    started = time.monotonic()
    assert list(chain(*pages(store, query(q="a" * 254 + "b"), 9))) == []
    assert sorted(chain(*pages(store, query(q="a" * 255), 9))) == ["0", "1"]
    assert time.monotonic() - started < 2


def test_a_statement_that_takes_too_long_is_stopped(store):
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(60)",
    }

    def read(connection):
        connection.exec_driver_sql(slow[connection.dialect.name])

    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store._database.read(read, Limits(total=10.0, statement=0.05))
    assert time.monotonic() - started < 5
    # The next transaction on the connection has its own limit.
    assert (
        store._database.read(lambda connection: (time.sleep(0.1), connection.exec_driver_sql("SELECT 1").scalar())[1])
        == 1
    )
    assert pages(store, query(), 9) == [[]]
