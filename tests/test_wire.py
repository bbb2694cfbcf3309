"""Requests and answers as values, without a connection."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import errors
from iottly_async.wire import Answer, Request, Route, read_answer, segment, target

READ = Route("devices.get", "GET", "v1.0")


def request() -> Request[bytes]:
    """A call whose result is its answer's body."""
    return Request(READ, "/v1.0/x", lambda answer: answer.body)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, b'{"error": "no such cmd_type"}', errors.BadRequestError, "no such cmd_type"),
        (401, b'{"error": "bad token"}', errors.UnauthorizedError, "401 bad token"),
        (403, b'{"error": "no access"}', errors.ForbiddenError, "403 no access"),
        (404, b'{"error": "none"}', errors.NotFoundError, "404 none"),
        (409, b'{"error": {"code": "busy", "message": "m"}}', errors.ConflictError, "409 m"),
        (409, b'{"error": {"code": "device_offline"}}', errors.DeviceOfflineError, "409"),
        (404, b'{"error": {"code": "device_offline"}}', errors.DeviceOfflineError, "404"),
        (429, b'{"error": "slow down"}', errors.RateLimitedError, "429 slow down"),
        (500, b"<html>oops</html>", errors.ServerError, "a proxy's, perhaps"),
        (503, b"", errors.ServerError, "503"),
        (302, b"", errors.UnexpectedRedirectError, "not followed"),
        (418, b'{"error": "teapot"}', errors.ApiError, "418 teapot"),
        (404, b"<html>", errors.NotFoundError, "not in the API's own form"),
        (400, b'{"error": 7}', errors.BadRequestError, "not in the API's own form"),
        (400, b'{"error": "a\\u0000b\\nc"}', errors.BadRequestError, "400 a b c"),
    ],
)
def test_a_status_becomes_its_error(
    status: int, body: bytes, kind: type[errors.ApiError], words: str
) -> None:
    """Each status becomes one error class, in either generation's form or a proxy's."""
    with pytest.raises(errors.ApiError) as raised:
        read_answer(request(), Answer(status, {}, body))
    assert type(raised.value) is kind
    assert words in str(raised.value)
    assert raised.value.status == status
    assert raised.value.sent == "yes"


def test_the_fleet_apis_error_carries_its_facts() -> None:
    """An error holds the code and the request id of the v1 form."""
    body = b'{"error": {"code": "device_offline", "message": "m", "request_id": "req_1"}}'
    with pytest.raises(errors.DeviceOfflineError) as raised:
        read_answer(request(), Answer(409, {}, body))
    assert (raised.value.code, raised.value.request_id) == ("device_offline", "req_1")


def test_a_long_explanation_is_cut() -> None:
    """An error never holds a whole body."""
    body = b'{"error": "' + b"x" * 100_000 + b'"}'
    with pytest.raises(errors.BadRequestError) as raised:
        read_answer(request(), Answer(400, {}, body))
    assert len(str(raised.value)) < 400


def test_a_404_is_empty_only_for_pages_and_from_the_api() -> None:
    """The paginated endpoint's 404 is an empty page (D4); a proxy's 404 never is."""
    call = Request(READ, "/x", lambda answer: answer.body, empty_on_404=lambda _: b"none")
    assert read_answer(call, Answer(404, {}, b'{"error": "no messages"}')) == b"none"
    with pytest.raises(errors.NotFoundError):
        read_answer(call, Answer(404, {}, b"<html>nothing here</html>"))


NOW = datetime(2026, 5, 6, 14, 22, tzinfo=UTC)
DATE = format_datetime(NOW, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "Wed, 06 May 2026 14:22:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Wed, 06 May 2026 14:21:30 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Wed, 06 May 2026 14:22:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_or_ignored(headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After is seconds, or a date against the answer's Date; anything else is ignored."""
    assert Answer(503, headers, b"").retry_after == seconds


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "a\nb", "\0"])
def test_an_id_that_changes_the_path_is_refused(bad: str) -> None:
    """The error names the argument; nothing is sent."""
    with pytest.raises(errors.ConfigurationError, match="device_id"):
        segment(bad, name="device_id")


@given(st.text())
def test_no_id_changes_the_shape_of_a_path(value: str) -> None:
    """An accepted id is one segment, and decodes to itself."""
    try:
        path = target("v1.0", ["device", segment(value, name="device_id"), "props"])
    except errors.ConfigurationError:
        return
    parts = urlsplit(f"https://host{path}")
    assert parts.path.split("/")[:3] == ["", "v1.0", "device"]
    assert parts.path.count("/") == 4
    assert unquote(parts.path.split("/")[3]) == value
    assert not parts.query
    assert not parts.fragment
    assert path.isascii()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_adds_a_query_parameter(value: str) -> None:
    """A value in the query stays one value."""
    query = urlsplit(target("v1", ["devices"], [("a", value), ("b", "1")])).query
    assert [unquote(part.partition("=")[2]) for part in query.split("&")] == [value, "1"]
