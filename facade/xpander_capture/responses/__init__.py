"""Provider responses: assembly of streams, and what a response states about its call.

Each API has one module with its shape and the address of its documentation. All of them read dicts and objects by name
and import no SDK. `usage` has the token counts of all APIs in one table.
"""

from xpander_capture.responses.summarize import accumulate_stream, summarize_response
from xpander_capture.responses.summary import ResponseSummary
from xpander_capture.responses.usage import include_cache

__all__ = ["ResponseSummary", "accumulate_stream", "include_cache", "summarize_response"]
