"""Reading of provider responses: `summarize_response` and `accumulate_stream`.

Example:
    >>> from xpander_sdk.responses import summarize_response
    >>> summarize_response({"model": "claude-sonnet-4-5", "usage": {"input_tokens": 9, "output_tokens": 2}}).tokens
    {'prompt_tokens': 9, 'completion_tokens': 2}
"""

from xpander_capture.responses import ResponseSummary, accumulate_stream, summarize_response

__all__ = ["ResponseSummary", "accumulate_stream", "summarize_response"]
