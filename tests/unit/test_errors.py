import copy
import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from xpander_sdk import errors


def error_for(status: int, body: bytes = b"", attempts: int = 1, headers=None):
    info = errors.RequestInfo(attempts=attempts, report_id="r", request_id="ours")
    return errors.error_from_response(status, headers or {}, body, info, None, str)


@pytest.mark.parametrize(
    ("status", "kind", "built_in"),
    [
        (400, errors.InvalidReportError, ValueError),
        (401, errors.AuthenticationError, PermissionError),
        (403, errors.PermissionDeniedError, PermissionError),
        (404, errors.NotFoundError, LookupError),
        (408, errors.TimedOutError, TimeoutError),
        (409, errors.ConflictError, Exception),
        (413, errors.TooLargeError, Exception),
        (415, errors.InvalidReportError, ValueError),
        (422, errors.InvalidReportError, ValueError),
        (429, errors.RateLimitedError, Exception),
        (500, errors.ServerError, Exception),
        (520, errors.ServerError, Exception),
        (302, errors.ContractError, Exception),
        (418, errors.ContractError, Exception),
    ],
)
def test_status_determines_error_class(status, kind, built_in):
    error = error_for(status)
    assert type(error) is kind
    assert isinstance(error, built_in)
    assert isinstance(error, errors.ModuleException)
    assert (error.status_code, error.report_id) == (status, "r")


def test_request_id_of_response_replaces_own():
    assert error_for(500).request_id == "ours"
    assert error_for(500, headers={"x-request-id": "theirs"}).request_id == "theirs"


def test_redirect_is_an_error_with_its_location():
    assert "redirects to https://elsewhere" in str(error_for(307, headers={"location": "https://elsewhere"}))


def test_text_contains_status_and_detail():
    assert str(error_for(404, b'{"detail": "no such task"}')) == "[404] no such task"


def test_text_contains_number_of_attempts():
    assert str(error_for(500, b'{"detail": "broken"}', attempts=4)) == "[500] broken (after 4 attempts)"


def test_error_can_be_created_from_status_and_description():
    error = errors.ModuleException(404, "not here")
    assert (error.status_code, error.description, str(error)) == (404, "not here", "[404] not here")


def test_validation_error_names_fields():
    body = b'{"detail": [{"loc": ["body", "duration"], "msg": "is too long", "type": "maximum"}]}'
    error = error_for(422, body)
    assert error.description == "body.duration: is too long"
    assert error.problems == [{"loc": ["body", "duration"], "msg": "is too long", "type": "maximum"}]


@pytest.mark.parametrize(
    ("body", "description"),
    [
        (b"", "The backend gave no reason."),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"[1]", "[1]"),
        (b'"text"', '"text"'),
        (b'{"detail": 5}', '{"detail": 5}'),
        (b'{"detail": []}', '{"detail": []}'),
        (b'{"message": "x"}', '{"message": "x"}'),
        (b"\xff\xfe", "��"),
        (b"[" * 100_000, "[" * 2_000),
    ],
)
def test_any_body_becomes_a_description(body, description):
    assert error_for(502, body).description == description


@pytest.mark.parametrize("character", ["\x1b[31m", "\x07", "\x9b", "\x7f", "\u202e", "\u2028"])
def test_control_characters_of_a_response_are_escaped(character):
    detail = f"before{character}after\nFAKE LOG LINE"
    headers = {"x-request-id": f"id{character}", "location": character}
    for status in (302, 401, 422, 502):
        for body in (detail.encode(), json.dumps({"detail": detail}).encode()):
            error = error_for(status, body, headers=headers)
            assert f"{error}{error.request_id}{error.args}".isprintable()
            assert "after FAKE" in str(error) or status == 302


def all_kinds(kind: type[errors.ModuleException] = errors.ModuleException) -> Iterator[type[errors.ModuleException]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from all_kinds(subclass)


def create_error(kind: type[errors.ModuleException]) -> errors.ModuleException:
    """Return an error whose attributes all have a value."""
    if issubclass(kind, errors.OutboxError):
        error: errors.ModuleException = kind("no room", "run-1")  # type: ignore[arg-type, call-arg]
    else:
        info = errors.RequestInfo(attempts=3, report_id="run-1", request_id="request-1")
        problem = {"loc": ["body", "duration"], "msg": "is too long", "type": "maximum"}
        error = kind(503, "because", info, retry_after=2.5, problems=[problem])
    error.add_note("a note of the program")
    return error


def raise_error(kind: type[errors.ModuleException]) -> None:
    raise create_error(kind)


def error_of_pool(kind: type[errors.ModuleException]) -> errors.ModuleException:
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(errors.ModuleException) as caught:
        pool.apply(raise_error, (kind,))
    return caught.value


def error_of_executor(kind: type[errors.ModuleException]) -> errors.ModuleException:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool, pytest.raises(errors.ModuleException) as caught:
        pool.submit(raise_error, kind).result()
    return caught.value


def assert_equal_errors(error: errors.ModuleException, expected: errors.ModuleException) -> None:
    attributes = {name: value for name, value in vars(error).items() if name != "__notes__"}
    assert type(error) is type(expected)
    assert attributes == {name: value for name, value in vars(expected).items() if name != "__notes__"}
    assert "a note of the program" in error.__notes__
    assert (str(error), error.args) == (str(expected), expected.args)
    if isinstance(expected, OSError):
        assert isinstance(error, OSError)
        assert (error.errno, error.strerror) == (expected.errno, expected.strerror)


@pytest.mark.parametrize("kind", list(all_kinds()), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)) for protocol in range(6)),
    ],
    ids=["copy", "deepcopy", *(f"pickle {protocol}" for protocol in range(6))],
)
def test_copy_of_error_has_all_attributes(kind, duplicate: Callable[[Any], Any]):
    error = create_error(kind)
    assert_equal_errors(duplicate(error), error)


@pytest.mark.parametrize("kind", [errors.TimedOutError, errors.InvalidReportError, errors.OutboxFullError])
@pytest.mark.parametrize("error_in_process", [error_of_pool, error_of_executor])
def test_error_leaves_a_worker_process_with_all_attributes(kind, error_in_process):
    assert_equal_errors(error_in_process(kind), create_error(kind))
