"""Our SDK without the extra `fast`, in an environment that has it."""

import sys

from benchmarks.subjects import harness, sdk

if __name__ == "__main__":
    sys.modules["orjson"] = None  # type: ignore[assignment]  # an import raises ImportError now
    harness.main(sdk.session, sdk.async_session())
