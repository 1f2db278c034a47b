"""Queue that is fair between organizations."""

from hypothesis import given
from hypothesis import strategies as st

from xpander_server.store.fair_queue import FairQueue


def put(queue, organization_id, item, size):
    return queue.put_all(organization_id, [(item, size)])


def test_organizations_take_turns():
    queue = FairQueue(100, 100)
    for item in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        assert put(queue, item[0], item, 1)
    assert queue.take(5, 100) == ["a1", "b1", "c1", "a2", "b2"]
    assert put(queue, "c", "c2", 1)
    assert queue.take(100, 100) == ["a3", "c2", "a4"]
    assert queue.take(1, 1) == []


def test_an_organization_may_occupy_as_much_as_is_free():
    queue = FairQueue(100, 10**9)
    for organization_id, share in (("a", 50), ("b", 25), ("c", 13)):
        accepted = [put(queue, organization_id, "item", 1) for _ in range(100)]
        assert accepted == [True] * share + [False] * (100 - share)


def test_an_item_that_exceeds_the_free_size_is_refused():
    queue = FairQueue(100, 100)
    assert not put(queue, "a", "too large", 101)
    assert put(queue, "a", "first", 40)
    assert not put(queue, "a", "second", 40)
    assert put(queue, "b", "other", 40)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)) | st.integers(1, 5), max_size=60))
def test_nothing_is_lost_and_each_organization_keeps_its_order(steps):
    queue, accepted, taken = FairQueue(20, 200), [], []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            taken += queue.take(step, 50)
        elif put(queue, step[0], (step[0], number, step[1]), step[1]):
            accepted.append((step[0], number, step[1]))
        waiting = [item for item in accepted if item not in taken]
        assert len(queue) == len(waiting) <= 20
        assert sum(size for _, _, size in waiting) <= 200
    while items := queue.take(3, 50):
        taken += items
    for organization_id in "abc":
        assert [item for item in taken if item[0] == organization_id] == [
            item for item in accepted if item[0] == organization_id
        ]
    assert put(queue, "a", "new", 100)  # all space is free again: a half of 200
