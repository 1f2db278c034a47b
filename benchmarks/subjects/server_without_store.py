"""Our application with validation and responses, but without storage.

Arguments: port, file of a store that stays empty.
"""

import sys

import uvicorn

from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.domain.task import Task, merge
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.protocol import HttpProtocol
from xpander_server.store import Store, Submission

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


app = create_app(Store(f"sqlite:///{file}"), SingleOrganizationAuthenticator("bench"), run_in_threadpool, commit=report)
uvicorn.run(
    app, port=int(port), log_level="error", access_log=False, lifespan="off", http=HttpProtocol, proxy_headers=False
)
