"""Ids of runs that the caller gives no id."""

import time
import uuid

from xpander_sdk.reporting.run_ids import new_run_id


def test_ids_are_uuids_of_version_7_with_the_time():
    before = time.time_ns() // 1_000_000
    run_id = uuid.UUID(new_run_id())
    assert (run_id.version, run_id.variant) == (7, uuid.RFC_4122)
    assert before <= run_id.int >> 80 <= time.time_ns() // 1_000_000


def test_later_ids_are_greater():
    first = new_run_id()
    time.sleep(0.002)
    assert first < new_run_id()


def test_ids_of_one_millisecond_differ():
    assert len({new_run_id() for _ in range(10_000)}) == 10_000
