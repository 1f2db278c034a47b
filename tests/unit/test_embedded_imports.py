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


@pytest.mark.parametrize(
    ("fields", "is_priced"),
    [({}, False), ({"llm_response": {"model": "gpt-4o", "usage": {"prompt_tokens": 3}}}, True)],
    ids=["without a model", "with a model"],
)
def test_first_report_imports_only_what_it_needs(fields, is_priced, tmp_path):
    command = [sys.executable, "-c", PROGRAM, json.dumps(fields)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = set(json.loads(done.stdout))
    assert loaded & SLOW == set()
    assert (PRICES in loaded) is is_priced
