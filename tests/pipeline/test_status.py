"""Every status of an answer, from the API and from a proxy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iottly_async import (
    ApiError,
    BadRequestError,
    CommandOutcomeUnknownError,
    ConflictError,
    DeviceOfflineError,
    ForbiddenError,
    IottlyError,
    NotFoundError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    UnauthorizedError,
    UnexpectedRedirectError,
)
from tests.support.calls import GET, POST, PUT, Verb, each_verb, failure_of, session_on
from tests.support.canary import shows_key
from tests.support.raw_server import Peer, RawServer, answering, head

HTML = b"<html><body><h1>It was the proxy</h1></body></html>"
ONE_REFUSAL: dict[str, Any] = {
    "retry": RetryPolicy(max_attempts=2, initial_delay=0.001, max_delay=0.001, max_refusals=1)
}


def envelope(verb: Verb, code: str = "some_code") -> bytes:
    """Make an error in the form of the verb's generation."""
    if verb is PUT:
        return b'{"error": "it was the API"}'
    error = {"code": code, "message": "it was the API", "request_id": "req_7"}
    return json.dumps({"error": error}).encode()


async def refused(
    verb: Verb, status: int, body: bytes, *lines: str, **settings: Any
) -> IottlyError:
    """Make a call that is always answered so; assert that each attempt arrived once."""
    async with (
        RawServer(answering(status, body, *lines)) as server,
        session_on(server, None, **settings) as session,
    ):
        error = await failure_of(verb.make(session))
        assert len(server.requests) == error.attempts
        assert session.quota.in_flight == 0
    assert error.status == status
    return error


KINDS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: ApiError,
    418: ApiError,
    451: ApiError,
}


@pytest.mark.parametrize("own", [True, False], ids=["api", "proxy"])
@pytest.mark.parametrize("status", KINDS)
@each_verb
async def test_a_client_error_is_final(verb: Verb, status: int, own: bool) -> None:
    """A 4xx is raised at once, and a command was surely not taken."""
    error = await refused(verb, status, envelope(verb) if own else HTML)
    assert type(error) is KINDS[status]
    assert error.attempts == 1
    assert error.sent == "yes"
    facts = ("some_code", "req_7") if own and verb is not PUT else (None, None)
    assert (error.code, error.request_id) == facts
    assert ("it was the API" in str(error)) == own
    assert "proxy</h1>" not in str(error)


@pytest.mark.parametrize("status", [400, 404, 409, 422, 503])
@pytest.mark.parametrize("verb", [GET, POST], ids=lambda verb: verb.method)
async def test_an_offline_device_is_known_by_its_code(verb: Verb, status: int) -> None:
    """The code `device_offline` decides the class, whatever the status."""
    error = await refused(verb, status, envelope(verb, "device_offline"))
    reported = error.__cause__ if isinstance(error, CommandOutcomeUnknownError) else error
    assert type(reported) is DeviceOfflineError
    assert error.request_id == "req_7"


@pytest.mark.parametrize("own", [True, False], ids=["api", "proxy"])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
@each_verb
async def test_a_passing_failure_is_tried_again(verb: Verb, status: int, own: bool) -> None:
    """A 408 or 5xx that may pass is tried again; the outcome of a command is unknown."""
    error = await refused(verb, status, envelope(verb) if own else HTML)
    kind = ApiError if status == 408 else ServerError
    if verb.command:
        assert type(error) is CommandOutcomeUnknownError
        assert type(error.__cause__) is kind
        assert (error.attempts, error.sent) == (1, "maybe")
    else:
        assert type(error) is kind
        assert (error.attempts, error.sent) == (2, "yes")
    assert error.request_id == ("req_7" if own and verb is not PUT else None)


@pytest.mark.parametrize("status", [501, 505, 507, 599])
@each_verb
async def test_a_lasting_failure_is_not_tried_again(verb: Verb, status: int) -> None:
    """A server error that does not pass is raised at once."""
    error = await refused(verb, status, HTML)
    reported = error.__cause__ if verb.command else error
    assert type(reported) is ServerError
    assert error.attempts == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-origin", "other-origin"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@each_verb
async def test_a_redirect_is_not_followed(verb: Verb, status: int, elsewhere: bool) -> None:
    """A redirect is an error (D12); the request is sent once, and nowhere else."""

    async def listens(peer: Peer) -> None:
        await peer.stall()

    async with RawServer(listens) as other:
        location = f"{other.url}/stolen" if elsewhere else "/v1/moved"
        error = await refused(verb, status, b"", f"Location: {location}")
        assert not other.peers
    assert type(error) is UnexpectedRedirectError
    assert (error.attempts, error.sent) == (1, "yes")
    assert "stolen" not in str(error)


@pytest.mark.parametrize("status", [300, 304, 305, 399])
async def test_other_3xx_are_errors_too(status: int) -> None:
    """A 3xx that is not a redirect is an error."""
    async with RawServer(answering(status, b"")) as server, session_on(server) as session:
        assert type(await failure_of(GET.make(session))) is UnexpectedRedirectError


@pytest.mark.parametrize("status", [999, 600])
async def test_a_status_that_does_not_exist(status: int) -> None:
    """A status of 600 or more is a ServerError."""
    async with RawServer(answering(status, HTML)) as server, session_on(server) as session:
        error = await failure_of(GET.make(session))
    assert type(error) is ServerError
    assert error.status == status


# --- 429 and Retry-After --------------------------------------------------------------------

DATE = "Date: Thu, 01 Jan 2026 00:00:10 GMT"
SOON = {
    "absent": (),
    "seconds": ("Retry-After: 0",),
    "date": ("Retry-After: Thu, 01 Jan 2026 00:00:10 GMT", DATE),
    "past-date": ("Retry-After: Thu, 01 Jan 2026 00:00:00 GMT", DATE),
    "garbage": ("Retry-After: soon, perhaps",),
    "negative": ("Retry-After: -5",),
    "absurd": (f"Retry-After: {'9' * 400}",),
    "fraction": ("Retry-After: 0.5e0x",),
}
LATE = {
    "huge": ("Retry-After: 100000",),
    "far-date": ("Retry-After: Fri, 02 Jan 2026 00:00:00 GMT", DATE),
}


@pytest.mark.parametrize("asked", SOON)
@each_verb
async def test_a_refusal_by_the_api_is_tried_again(verb: Verb, asked: str) -> None:
    """After the API's own 429 the call is tried again, commands too (D10)."""
    error = await refused(verb, 429, envelope(verb), *SOON[asked], **ONE_REFUSAL)
    assert type(error) is RateLimitedError
    assert (error.attempts, error.sent) == (2, "yes")
    assert error.request_id == (None if verb is PUT else "req_7")


@pytest.mark.parametrize("asked", SOON)
@each_verb
async def test_a_refusal_by_a_proxy_leaves_a_command_unknown(verb: Verb, asked: str) -> None:
    """After a proxy's 429 reads are tried again; the outcome of a command is unknown."""
    error = await refused(verb, 429, HTML, *SOON[asked], **ONE_REFUSAL)
    if verb.command:
        assert type(error) is CommandOutcomeUnknownError
        assert type(error.__cause__) is RateLimitedError
        assert error.attempts == 1
    else:
        assert type(error) is RateLimitedError
        assert error.attempts == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", LATE)
@each_verb
async def test_a_wait_beyond_the_deadline_is_not_begun(verb: Verb, status: int, asked: str) -> None:
    """If Retry-After passes the deadline, the call fails at once."""
    error = await refused(verb, status, envelope(verb), *LATE[asked])
    reported = error.__cause__ if verb.command and status == 503 else error
    assert type(reported) is (RateLimitedError if status == 429 else ServerError)
    assert error.attempts == 1
    assert error.retry_after is not None
    assert error.retry_after > 3000


@pytest.mark.parametrize("asked", SOON)
async def test_the_retry_after_of_a_503_is_kept(asked: str) -> None:
    """A 503 with any Retry-After, or none, is tried again."""
    error = await refused(GET, 503, envelope(GET), *SOON[asked])
    assert type(error) is ServerError
    assert error.attempts == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_a_call_succeeds_in_its_second_attempt(status: int) -> None:
    """A call succeeds in its second attempt."""

    async def refuses_once(peer: Peer) -> None:
        await peer.request()
        body = envelope(GET)
        await peer.send(head(status, "Retry-After: 0", length=len(body)) + body)
        await peer.request()
        await peer.send(head(200, length=len(GET.body)) + GET.body)

    async with RawServer(refuses_once) as server, session_on(server) as session:
        assert (await GET.make(session)).id == "dev_1"
        assert len(server.requests) == 2


async def test_an_echo_of_the_key_is_not_shown() -> None:
    """If the service repeats the key in its error, our error does not show it."""

    async def echoes(peer: Peer) -> None:
        received = await peer.request()
        credential = dict(received.headers)["authorization"]
        error = {"message": f"no such token: {credential}", "code": credential, "request_id": "r"}
        body = json.dumps({"error": error}).encode()
        await peer.send(head(401, length=len(body)) + body)
        await peer.stall()

    async with RawServer(echoes) as server, session_on(server) as session:
        error = await failure_of(GET.make(session))
    assert "no such token: Bearer <redacted>" in str(error)
    assert not shows_key(repr(error.facts()))
