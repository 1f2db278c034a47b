"""Reports and settings for the tests of stores."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings

from xpander_server.clock import DAY, HOUR
from xpander_server.store import Submission

NOON = 20_000 * DAY + 12 * HOUR
"""A time, in microseconds since 1970."""

EXAMPLES = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # without Phase.shrink, which takes minutes on a database; add it to debug a failure
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def submission(
    task_id: str = "t",
    *,
    organization_id: str = "org",
    agent_id: str = "agent",
    now: int = NOON,
    reported_at: int | None = None,
    **report: Any,
) -> Submission:
    """Return a submission with these fields of the report."""
    return Submission(organization_id, agent_id, task_id, report, reported_at, now)
