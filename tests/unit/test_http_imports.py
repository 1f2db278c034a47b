"""Imports of a program that reports over HTTP, which pays for them with its first report."""

import json
import subprocess
import sys

PROGRAM = """
import json, socket, sys
from xpander_sdk import Backend, Configuration, ConnectionFailedError, RetryPolicy

with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
backend = Backend(Configuration(base_url=f"http://127.0.0.1:{port}", api_key="key", retry=RetryPolicy(attempts=1)))
try:
    backend.report_external_task("agent-1", result="4")
except ConnectionFailedError:
    print(json.dumps(sorted(sys.modules)))
"""


def test_synchronous_report_imports_no_event_loop_and_no_other_http_client():
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}  # without a proxy
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    loaded = set(json.loads(done.stdout))
    assert "httpcore" in loaded
    assert loaded & {"asyncio", "urllib.request", "http.client", "httpx", "aiohttp"} == set()
