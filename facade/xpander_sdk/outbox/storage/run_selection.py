"""Selection of the reports that a claim takes: which runs go into one request, and which reports into one run.

pending reports, oldest first   a1 b1 a2 c1 b2 …        (letters are runs)
runs of one request             a: [a1, a2]   b: [b1, b2]   c: [c1]
body of the request             one report for each run, merged from its reports
"""

from collections.abc import Iterable
from typing import Any

from attrs import define, field

from xpander_sdk.reporting.report import Report

MAX_BATCH_REPORTS = 200
MAX_BATCH_BYTES = 4_000_000
MAX_CLAIM_BYTES = 1 << 20
"""Size of the reports that are claimed together, in bytes."""
_MAX_CLAIM_REPORTS = 4_096
_SHRINKING_BITS = 2  # Each failed attempt of a run divides the number of runs that are claimed with it by 4.


@define
class SelectedRun:
    """Reports of one run.

    Attributes:
        failed_attempts: Number of earlier attempts that failed.
        seqs: Sequence numbers of the reports.
        reports: The reports, in the order of `seqs`.
        is_complete: Later reports of the run must wait for the next request.
    """

    failed_attempts: int
    seqs: list[int] = field(factory=list)
    reports: list[Report] = field(factory=list)
    is_complete: bool = False


def due_runs(rows: Iterable[tuple[Any, ...]], max_runs: int) -> dict[str, SelectedRun]:
    """Return the oldest due runs that one request can carry, by id.

    Args:
        rows: Due reports, oldest first, as `sql.DUE_REPORTS` returns them. Not all of them are read.
        max_runs: Maximum number of runs. A run that failed lowers it, and an isolated one is returned alone.
    """
    runs: dict[str, SelectedRun] = {}
    limit = max_runs
    size = 0
    for number, (seq, task_id, agent_id, reported_at, body, failed_attempts, isolate_through_seq) in enumerate(rows):
        is_isolated = seq <= isolate_through_seq
        size += len(body)
        if runs and (size > MAX_CLAIM_BYTES or number >= _MAX_CLAIM_REPORTS):
            return runs
        run = runs.get(task_id)
        if run is None:
            limit = min(limit, max(1, max_runs >> (_SHRINKING_BITS * failed_attempts)))
            if runs and (is_isolated or len(runs) >= limit):
                return runs
            run = runs[task_id] = SelectedRun(failed_attempts)
        elif run.is_complete or len(run.seqs) >= MAX_BATCH_REPORTS or agent_id != run.reports[0].agent_id:
            run.is_complete = True
            continue
        run.seqs.append(seq)
        run.reports.append(Report(agent_id=agent_id, id=task_id, reported_at=reported_at, content=body))
        if is_isolated:
            return runs
    return runs


def reports_to_merge(
    rows: Iterable[tuple[Any, ...]], task_id: str, isolate_through_seq: int
) -> tuple[list[int], list[Report]]:
    """Return the oldest reports of a run that one request can carry, with their sequence numbers.

    Args:
        rows: Reports of the run, oldest first, as `sql.REPORTS_OF_RUN` returns them.
        task_id: Id of the run.
        isolate_through_seq: Sequence number up to which each report is sent alone.
    """
    seqs: list[int] = []
    reports: list[Report] = []
    size = 0
    for seq, agent_id, reported_at, body in rows:
        size += len(body)
        if reports:
            is_isolated = seqs[0] <= isolate_through_seq
            if is_isolated or agent_id != reports[0].agent_id or size > MAX_BATCH_BYTES:
                break
        seqs.append(seq)
        reports.append(Report(agent_id=agent_id, id=task_id, reported_at=reported_at, content=body))
    return seqs, reports
