"""Our application, its checks and its answers, with nothing kept. Arguments: port, file of a store that stays empty."""

import sys

import uvicorn

from xpander_server.access import OneOrganization
from xpander_server.app import create_app
from xpander_server.connections import Connection
from xpander_server.running import in_thread
from xpander_server.store import Store, Submission
from xpander_server.tasks import Task, merge

port, file = sys.argv[1:]


async def report(submission: Submission) -> Task:
    return merge(
        None,
        submission.report,
        organization_id=submission.organization_id,
        agent_id=submission.agent_id,
        task_id=submission.task_id,
        reported_at=submission.reported_at,
        now=submission.now,
    )


app = create_app(Store(f"sqlite:///{file}"), OneOrganization("bench"), in_thread, report=report)
uvicorn.run(
    app, port=int(port), log_level="error", access_log=False, lifespan="off", http=Connection, proxy_headers=False
)
