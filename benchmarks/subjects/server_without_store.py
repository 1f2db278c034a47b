"""Our application with validation and responses, but without storage.

Arguments: port, file of a store that stays empty.
"""

import sys

import uvicorn

from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.protocol import HttpProtocol
from xpander_server.store import Store, Submission

port, file = sys.argv[1:]


async def report(submission: Submission) -> Task:
    return submission.merge_into(None)


app = create_app(Store(f"sqlite:///{file}"), SingleOrganizationAuthenticator("bench"), run_in_threadpool, commit=report)
uvicorn.run(
    app, port=int(port), log_level="error", access_log=False, lifespan="off", http=HttpProtocol, proxy_headers=False
)
