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
