"""Imports of a program with an embedded store, which pays for them with its first report."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from xpander_sdk import Backend, Configuration

backend = Backend(Configuration(base_url="sqlite:///store.db"))
backend.report_external_task("agent-1", result="4", **json.loads(sys.argv[1]))
print(json.dumps(sorted(sys.modules)))
"""
# Of migrations, of PostgreSQL, of traces, of HTTP, and of prices.
SLOW = {"alembic", "sqlalchemy.dialects.postgresql", "psycopg", "xpander_capture.spans", "httpx", "httpcore"}
PRICES = "genai_prices"
AUDIO = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"audio_tokens": 4}}


@pytest.mark.parametrize(
    ("fields", "needs_library"),
    [
        ({}, False),
        ({"llm_response": {"model": "gpt-4o", "usage": {"prompt_tokens": 3}}}, False),
        ({"tokens": {"prompt_tokens": 3}}, False),
        ({"llm_response": {"model": "gpt-audio", "usage": AUDIO}}, True),
    ],
    ids=["nothing to price", "frequent model", "tokens alone", "tokens of audio"],
)
def test_first_report_imports_only_what_it_needs(fields, needs_library, tmp_path):
    command = [sys.executable, "-c", PROGRAM, json.dumps(fields)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = set(json.loads(done.stdout))
    assert loaded & SLOW == set()
    assert (PRICES in loaded) is needs_library


AFTER_PREPARATION = """
import json, sys
from xpander_server.domain.pricing import load_prices
from xpander_server.embedded import Embedded

store = Embedded("sqlite:///store.db")
store.prepare(is_async=False)
load_prices()
before = set(sys.modules)
headers = [(b"content-type", b"application/json")]
for body in [{"result": "4"}, {"calls": [{"model": "gpt-4o", "tokens": {"prompt_tokens": 3}}]}, {"result": 5}]:
    store.call("POST", b"/agent-execution/a/report_task", headers, json.dumps(body).encode())
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_report_imports_nothing_while_another_thread_may_fork(tmp_path):
    command = [sys.executable, "-c", AFTER_PREPARATION]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == []
