"""Program with a logging handler that reports each record."""

import asyncio
import logging
import sys

from runtimes.programs.common import AGENT_ID, run_scenario
from xpander_sdk import Backend, Task, Tasks

RECORD = "the program's record"


class ReportingHandler(logging.Handler):
    """Handler that reports in one of three forms. Its errors reach the program."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.backend = Backend()
        self.records = 0
        self.tasks: set[asyncio.Task[Task]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        if self.form == "direct":
            self.backend.report_external_task(result=record.getMessage())
        elif self.form == "submitted":
            self.backend.submit_external_task(result=record.getMessage())
        elif asyncio._get_running_loop() is not None:  # the migration of a new file runs in a thread
            report = self.backend.areport_external_task(result=record.getMessage())
            self.tasks.add(asyncio.get_running_loop().create_task(report))


def log_one_record(form: str, level: str) -> list[object]:
    """Return the results that are recorded after the program logged once, and the number of records."""
    handler = ReportingHandler(form)

    async def log_in_event_loop() -> None:
        logging.basicConfig(level=level, handlers=[handler])
        logging.getLogger("program").info(RECORD)
        await wait_for_reports()
        await handler.backend.aclose()  # logs, as the end of the event loop does
        await wait_for_reports()

    async def wait_for_reports() -> None:
        while waiting := [task for task in handler.tasks if not task.done()]:
            await asyncio.gather(*waiting)

    if form == "task":
        asyncio.run(log_in_event_loop())
    else:
        logging.basicConfig(level=level, handlers=[handler])
        logging.getLogger("program").info(RECORD)
    if form == "submitted":
        assert handler.backend.outbox.flush(60)
    handler.backend.close()
    logging.disable()
    sys.stdout.flush()
    return [[task.result for task in Tasks().list(AGENT_ID)], handler.records]


if __name__ == "__main__":
    run_scenario(globals())
