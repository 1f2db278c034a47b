"""The rule of runs on the recorded spans of agent frameworks, in any order and any division."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.recorded_spans import RUNS, assert_runs, document, split
from xpander_capture.spans import Run, explain, find_runs, from_json, group_by_trace, parse_spans, summarize, to_json


def find_all(spans) -> list[Run]:
    return [run for trace in group_by_trace(spans).values() for run in find_runs(trace, is_final=True).runs]


@pytest.mark.parametrize("name", RUNS)
def test_recording_has_exactly_these_runs(name):
    assert_runs(find_all(map(summarize, parse_spans(document(name)))), RUNS[name])


@pytest.mark.parametrize("name", RUNS)
def test_each_run_has_a_time_an_id_and_its_calls(name):
    for run in find_all(map(summarize, parse_spans(document(name)))):
        assert run.created_at is not None
        assert run.finished_at is not None
        assert run.duration == pytest.approx((run.finished_at - run.created_at) / 1e6, abs=2e-6)
        assert run.reported_at == run.finished_at
        assert run.task_id == f"{run.trace_id}-{run.span_id}"
        assert not run.is_provisional
        for call in run.calls:
            assert call["model"]
            assert call["duration"] >= 0


@given(name=st.sampled_from(list(RUNS)), randomness=st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(name, randomness: random.Random):
    data = document(name)
    spans = [from_json(to_json(summarize(span))) for part in split(data) for span in parse_spans(part)]
    shuffled = spans + randomness.sample(spans, randomness.randrange(len(spans)))
    randomness.shuffle(shuffled)
    expected = {run.task_id: run for run in find_all(spans)}
    assert {run.task_id: run for run in find_all(shuffled)} == expected


def test_creation_of_an_agent_is_no_run_and_is_explained():
    spans = [summarize(span) for span in parse_spans(document("langchain-openllmetry"))]
    ignored = [span for trace in group_by_trace(spans).values() for span in find_runs(trace, is_final=True).ignored]
    assert explain(ignored) == "2 spans of steps outside of a run (create_agent) ignored"
