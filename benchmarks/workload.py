"""Workload of the client benchmark: the report that every client sends, and the task that every client receives.

This module runs in all environments, and its imports add to the time of a first report, so it imports json only.
"""

import json
from typing import Any

AGENT = "agent-123"
KEY = "a-key"
PATH = f"/agent-execution/{AGENT}/report_task"
SIZES = {"1kB": 1, "100kB": 257}  # choices in the provider's response

# Identifies a run in any encoding. It is as long as the id of the report below.
MARK = "run-{:08d}"

TOKENS = {"prompt_tokens": 2140, "completion_tokens": 380}

RESPONSE = json.dumps(
    {
        "id": "ext-job-9921",
        "agent_id": AGENT,
        "organization_id": "org-1",
        "input": {"text": "Summarize the earnings of the fourth quarter", "files": [], "user": None},
        "status": "completed",
        "internal_status": None,
        "created_at": "2026-01-02T03:04:05.678900Z",
        "started_at": "2026-01-02T03:04:05.678900Z",
        "finished_at": "2026-01-02T03:04:10.378900Z",
        "result": "Revenue grew 22% over the year, driven by renewals. " * 9,
        "tokens": {**TOKENS, "cache_read_tokens": 0, "cache_write_tokens": 0, "total_tokens": 2520},
        "used_tools": ["web_search", "fetch_pdf"],
        "duration": 4.7,
        "source": "external",
        "user_id": "user-1",
    },
    separators=(",", ":"),
).encode()


def arguments(size: str) -> dict[str, Any]:
    """Return the arguments of a report, without the tokens, for which each SDK has a different class."""
    text = "Revenue grew 22% over the year: renewals were up by a third, new business by 9%, and churn fell. " * 3
    choice = {"finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", "content": text}}
    return {
        "agent_id": AGENT,
        "id": "ext-job-9921",
        "input": "Summarize the earnings of the fourth quarter",
        "llm_response": {
            "id": "resp-1",
            "model": "a-model",
            "created": 1767323045,
            "choices": [{"index": index, **choice} for index in range(SIZES[size])],
            "usage": {"prompt_tokens": 2140, "completion_tokens": 380, "ratio": 0.177},
        },
        "is_success": True,
        "result": "Revenue grew 22% over the year, driven by renewals. " * 2,
        "duration": 4.7,
        "used_tools": ["web_search", "fetch_pdf"],
    }


def body(size: str) -> bytes:
    """Return the bytes that both SDKs create from the arguments; the stub rejects any others."""
    values = arguments(size)
    tokens = {"completion_tokens": 380, "prompt_tokens": 2140, "cache_read_tokens": 0, "cache_write_tokens": 0}
    report = {
        "id": values["id"],
        "input": values["input"],
        "llm_response": values["llm_response"],
        "tokens": {**tokens, "total_tokens": 2520},
        "is_success": values["is_success"],
        "result": values["result"],
        "duration": values["duration"],
        "used_tools": values["used_tools"],
    }
    return json.dumps(report, separators=(",", ":")).encode()
