"""Short forms of the chaos tests. Run `chaos_test.py` (`make chaos`) for the long forms."""

import os

import pytest

from server.chaos_test import ONLY_ROOT, SCENARIOS, is_right

SHORT = {
    "killed_database": (2, 0.5),
    "failover": (1, 1.0),
    "vanished_host": (1, 12.0),
    "frozen_database": (1, 4.0),
    "frozen_server": (1, 2.0),
    "full_disk": (1, 5.0),
    "full_disk_of_postgresql": (1, 5.0),
}
"""Number of faults and seconds of each, by scenario."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_answered_reports_survive_a_fault_and_reports_continue_after_it(name):
    if name in ONLY_ROOT and os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    result = SCENARIOS[name][0](*SHORT[name])
    assert is_right(result), result
    assert result["runs"] > 0
