"""Logging handlers that report each record: the records of a report are not reported again."""

import pytest

from runtimes.processes import Target, finish, start
from xpander_sdk import Configuration


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize("form", ["direct", "submitted", "task"])
@pytest.mark.parametrize("destination", ["http", "new file"])
def test_handler_reports_only_the_record_of_the_program(form, level, destination, over_http, tmp_path, monkeypatch):
    target = over_http
    if destination == "new file":
        # The first report imports alembic and creates the tables, which both log at INFO.
        target = Target(Configuration(base_url=f"sqlite:///{tmp_path}/new.db"), "agent-of-the-log")
    monkeypatch.setenv("XPANDER_OUTBOX", str(tmp_path / "outbox.db"))
    program = finish(start(target, "log_handler.log_one_record", form, level, development_mode=False))
    results, records = program.result
    assert results == ["the program's record"]
    assert records < 200
