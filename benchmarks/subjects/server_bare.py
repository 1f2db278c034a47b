"""Minimal server: Starlette, msgspec, and one SQLite upsert with fsync for each request.

It has no authentication, no validation, no metrics, and no update of single fields. Arguments: port, file.
"""

import sqlite3
import sys

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

port, file = sys.argv[1:]
database = sqlite3.connect(file, isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute("CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, agent_id TEXT, body BLOB)")


async def report(request: Request) -> Response:
    body = await request.body()
    run = msgspec.json.decode(body)
    database.execute(
        "INSERT INTO tasks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        (run["id"], request.path_params["agent_id"], body),
    )
    return Response(msgspec.json.encode(run), media_type="application/json")


app = Starlette(routes=[Route("/agent-execution/{agent_id}/report_task", report, methods=["POST"])])
uvicorn.run(app, port=int(port), log_level="error", access_log=False)
