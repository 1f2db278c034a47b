"""Hypothesis strategies for the model test: reports, times of report and filters."""

from typing import Any

from hypothesis import strategies as st

from contract.task_model import REPORTED_TIMES, TOKEN_KINDS

AGENTS = ("agent", "agent/with a slash", "агент%2F?#")
RUNS = ("run-1", "run-2", "run/3", "run 4 ü🙂", "run%5")
USERS = ("user", "user/2")

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
_TOKEN_COUNTS = st.one_of(st.none(), st.integers(-3, 20), st.sampled_from([-(10**12), 10**12]))
_DOCUMENTS = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.just(10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        _TEXTS,
        st.none(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_TIMESTAMPS = st.sampled_from(
    ["1971-01-01T00:00:00Z", "2020-02-29t12:00:00.123456+05:30", "2021-06-01T00:00:00.5Z", "2999-12-31T23:59:59Z"]
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "input": _TEXTS,
    "llm_response": _DOCUMENTS,
    "tokens": st.fixed_dictionaries({}, optional=dict.fromkeys((*TOKEN_KINDS, "total_tokens"), _TOKEN_COUNTS)),
    "is_success": st.booleans(),
    "result": _TEXTS,
    "duration": st.one_of(st.integers(-1, 5), st.floats(-1e9, 1e9), st.sampled_from([0.1, 0.2, 1500])),
    "used_tools": st.lists(st.sampled_from(["search", "fetch", "ü"]), max_size=4),
    "user_id": st.sampled_from(USERS),
    "parent_task_id": st.sampled_from(RUNS),
    "triggering_agent_id": st.sampled_from(AGENTS),
    **dict.fromkeys(REPORTED_TIMES, _TIMESTAMPS),
}
REPORTS = st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in _FIELDS.items()})
"""Bodies of reports without an id."""
REPORT_OFFSETS = st.sampled_from([None, None, None, -3600, -7200, -7200 * 2, 240, 250, 10**8])
"""Times of report, in seconds after the start of an example.

None stands for the time of arrival. The others are far enough from it, so that their order is certain: in the past,
less than five minutes in the future, and too far in the future to be used.
"""
BATCHES = st.lists(
    st.tuples(st.sampled_from(AGENTS), st.sampled_from(RUNS), REPORTS, REPORT_OFFSETS), min_size=1, max_size=5
)
"""Agents, runs, reports and times of report of a batch. Reports of the same run are frequent."""
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.sampled_from(USERS),
        "parent_task_id": st.sampled_from(RUNS),
        "triggering_agent_id": st.sampled_from(AGENTS),
        "status": st.sampled_from(["completed", "failed", "executing", "stopped"]),
    },
)
"""Filters of the history."""
