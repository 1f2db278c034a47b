"""Groups of failures: errors are equal apart from numbers, ids and quoted parts."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.domain.error_groups import MAX_SAMPLES, Failure, group_errors, normalize_error

WORDS = st.lists(st.text(st.sampled_from("abcxyz"), min_size=1, max_size=7), min_size=1, max_size=5).map(" ".join)
IDS = st.one_of(st.uuids().map(str), st.uuids().map(lambda each: f"req_1{each.hex}"))
QUOTED = st.text(st.characters(exclude_characters="\"'`“”«»", exclude_categories=["Cs"]), max_size=20)
FAILURES = st.builds(
    Failure,
    task_id=st.uuids().map(str),
    agent_id=st.sampled_from(["a", "b", "c"]),
    created_at=st.integers(0, 10**15),
    error=st.sampled_from(["timeout after 5 ms", "timeout after 6 ms", "no model 'x'", "no model 'y'", ""]),
)


@pytest.mark.parametrize(
    ("error", "pattern"),
    [
        ("Timeout after 1,200.5 ms\n  while calling 'search'", "Timeout after # ms while calling …"),
        ("HTTP 429: retry in 20 s", "HTTP #: retry in # s"),
        (f"task {uuid.UUID(int=7)} failed", "task # failed"),
        ("request req_011CSHoEe7 of `f(x)` failed", "request # of … failed"),
        ("can't read the user's file, don't retry", "can't read the user's file, don't retry"),
        ("", ""),
    ],
)
def test_pattern_has_no_numbers_ids_and_quoted_parts(error, pattern):
    assert normalize_error(error) == pattern


@given(words=WORDS, rest=WORDS, first=st.integers(0), second=st.integers(0))
def test_errors_that_differ_in_a_number_have_one_pattern(words, rest, first, second):
    assert normalize_error(f"{words} {first} {rest}") == normalize_error(f"{words} {second} {rest}")


@given(words=WORDS, rest=WORDS, first=IDS, second=IDS)
def test_errors_that_differ_in_an_id_have_one_pattern(words, rest, first, second):
    assert normalize_error(f"{words} {first} {rest}") == normalize_error(f"{words} {second} {rest}")


@given(words=WORDS, rest=WORDS, first=QUOTED, second=QUOTED, marks=st.sampled_from(['""', "''", "``", "“”", "«»"]))
def test_errors_that_differ_in_a_quoted_part_have_one_pattern(words, rest, first, second, marks):
    errors = [f"{words} {marks[0]}{quoted}{marks[1]} {rest}" for quoted in (first, second)]
    assert normalize_error(errors[0]) == normalize_error(errors[1])


@given(first=WORDS, second=WORDS)
def test_errors_with_other_words_have_other_patterns(first, second):
    assert (normalize_error(first) == normalize_error(second)) == (first == second)


@given(st.text(st.sampled_from("ab1 '\"`“”«»-_.") | st.characters(exclude_categories=["Cs"]), max_size=60))
def test_pattern_of_a_pattern_is_the_pattern(error):
    pattern = normalize_error(error)
    assert normalize_error(pattern) == pattern
    assert not any(character.isdecimal() for character in pattern)


@given(st.lists(FAILURES, max_size=40, unique_by=lambda failure: failure.task_id), st.randoms())
def test_groups_contain_each_failure_once_in_any_order(failures, random):
    groups = group_errors(failures)
    assert sum(group.count for group in groups) == len(failures)
    assert [group.count for group in groups] == sorted((group.count for group in groups), reverse=True)
    for group in groups:
        members = [failure for failure in failures if normalize_error(failure.error) == group.pattern]
        times = [failure.created_at for failure in members]
        assert (group.first_seen, group.last_seen, group.count) == (min(times), max(times), len(members))
        assert sum(count for _, count in group.agents) == group.count
        assert len(group.samples) == min(MAX_SAMPLES, group.count)
        assert group.samples[0].created_at == max(times)
    shuffled = failures[:]
    random.shuffle(shuffled)
    assert group_errors(shuffled) == groups


def test_very_long_error_of_quotation_marks_takes_little_time():
    assert len(normalize_error("'\"" * 100_000)) <= 1_000
