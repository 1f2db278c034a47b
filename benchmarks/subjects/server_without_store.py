"""Our application with validation and responses, but without storage.

Arguments: port, file of a store that stays empty.
"""

import sys
from collections.abc import Sequence

import uvicorn

from xpander_server.api.app import create_app
from xpander_server.auth.authentication import SingleOrganizationAuthenticator
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.protocol import HttpProtocol
from xpander_server.store import Store, Submission

port, file = sys.argv[1:]


class NoWriter:
    """Writer that stores nothing."""

    async def report(self, submission: Submission) -> Task:
        """Return the task of the report."""
        return submission.merge_into(None)

    async def report_all(self, submissions: Sequence[Submission]) -> list[Task]:
        """Return the task of each report."""
        return [submission.merge_into(None) for submission in submissions]


authenticator = SingleOrganizationAuthenticator("bench")
app = create_app(Store(f"sqlite:///{file}"), authenticator, run_in_threadpool, writer=NoWriter())
uvicorn.run(
    app, port=int(port), log_level="error", access_log=False, lifespan="off", http=HttpProtocol, proxy_headers=False
)
