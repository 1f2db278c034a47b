"""Relatives of a task: ancestors and descendants."""

from store.reports import NOON, submission
from xpander_server.store import Store, task_tree


def add(store, task_id, parent, number=0, **fields):
    store.report(submission(task_id, parent_task_id=parent, now=NOON + number, **fields))


def tree(store, task_id):
    return store.tree(store.task("org", task_id))


def test_descendants_are_listed_below_their_parents_with_levels(store):
    add(store, "root", None)
    add(store, "b", "root", 2)
    add(store, "a", "root", 1, input="x" * 1_000, is_success=False, error="no")
    add(store, "a1", "a", 3)
    add(store, "a1x", "a1", 4)
    relatives = tree(store, "root")
    shown = [(item.task.id, item.level) for item in relatives.descendants]
    assert shown == [("a", 1), ("a1", 2), ("a1x", 3), ("b", 1)]
    assert relatives.is_complete
    first = relatives.descendants[0].task
    assert (len(first.input), first.input[-1], first.reason) == (200, "…", "no")
    add(store, "a1x1", "a1x", 5)
    assert not tree(store, "root").is_complete


def test_ancestors_start_with_the_first_one_of_all(store):
    add(store, "root", "not-stored")
    add(store, "child", "root")
    add(store, "grandchild", "child")
    assert [task.id for task in tree(store, "grandchild").ancestors] == ["root", "child"]


def test_tasks_that_are_their_own_ancestors_are_shown_once(store):
    add(store, "a", "b")
    add(store, "b", "a")
    relatives = tree(store, "a")
    assert [task.id for task in relatives.ancestors] == ["b"]
    assert [item.task.id for item in relatives.descendants] == ["b"]


def test_number_of_descendants_is_limited(store):
    add(store, "root", None)
    for number in range(task_tree.MAX_TASKS + 1):
        add(store, f"child-{number}", "root", number)
    relatives = tree(store, "root")
    assert len(relatives.descendants) == task_tree.MAX_TASKS
    assert not relatives.is_complete


def test_children_are_counted_up_to_a_limit_within_the_organization(store, monkeypatch):
    add(store, "parent", None)
    add(store, "child", "parent")
    add(store, "other-child", "parent")
    add(store, "grandchild", "child")
    store.report(submission("foreign", organization_id="other", parent_task_id="child"))
    assert store.child_counts("org", ["parent", "child", "grandchild"]) == {"parent": 2, "child": 1}
    assert store.child_counts("org", []) == {}
    monkeypatch.setattr(task_tree, "MAX_COUNT", 1)
    monkeypatch.setattr(task_tree, "_CHILD_COUNTS", task_tree._child_counts())
    assert store.child_counts("org", ["parent"]) == {"parent": 1}


def test_children_are_read_from_the_index_of_parents(tmp_path):
    """With IN and ORDER BY, SQLite read all tasks of the organization."""
    store = Store(f"sqlite:///{tmp_path}/store.db")
    parameters = {"organization": "org", "parent": "p", "count": 51}
    compiled = task_tree._CHILDREN.params(parameters).compile(
        dialect=store._database._backend.engine.dialect, compile_kwargs={"literal_binds": True}
    )
    plan = store._database.read(
        lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").fetchall()
    )
    assert "USING INDEX tasks_of_parent (organization_id=? AND parent_task_id=?)" in plan[0][-1]
    store.close()
