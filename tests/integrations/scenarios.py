"""Scenarios of a framework, which run in its environment: each one is a function that records runs.

The metadata of the runs name their scenario, so that the tests find them.
"""

import sys
from collections.abc import Callable
from typing import Any

from xpander_sdk import Backend

scenarios: dict[str, Callable[[], Any]] = {}


def scenario(function: Callable[[], Any]) -> Callable[[], Any]:
    scenarios[function.__name__] = function
    return function


def metadata(name: str) -> dict[str, str]:
    return {"scenario": name}


def run_all() -> None:
    """Run all scenarios, or the ones that the command line names, and deliver the reports."""
    for name in sys.argv[1:] or scenarios:
        scenarios[name]()
    backend = Backend()
    if backend.configuration.outbox is not None:
        assert backend.outbox.flush(30)
