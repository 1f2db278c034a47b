"""Run of a trace as a report, in the form that the merge of reports expects."""

from typing import cast

from xpander_capture.spans import Run
from xpander_server.clock import format_timestamp
from xpander_server.contract import Report
from xpander_server.json_text import as_text


def run_report(run: Run) -> Report:
    """Return the report of a run, without agent, id and time of report."""
    fields = {
        **run.report_fields(),
        "llm_response": None if run.llm_response is None else as_text(run.llm_response),
        "created_at": format_timestamp(run.created_at),
        "finished_at": format_timestamp(run.finished_at),
    }
    return cast(Report, fields)
