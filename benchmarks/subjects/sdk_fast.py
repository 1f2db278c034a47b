"""Our SDK with the transport of the extra `fast`."""

from httpx_aiohttp import AiohttpTransport

from benchmarks.subjects import harness, sdk
from xpander_sdk import TransportSettings

# aiohttp has no synchronous form.
if __name__ == "__main__":
    harness.main(None, sdk.async_session(transport=TransportSettings(async_http=AiohttpTransport)))
