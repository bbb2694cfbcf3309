"""Whole answers whose content differs from the documents."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from attrs import frozen

from iottly_async import CommandOutcomeUnknownError, DecodeError, IottlyError, IottlySession
from tests.support.calls import GET, KEY, POST, PUT, Verb, each_verb, failure_of, session_on
from tests.support.raw_server import Peer, RawServer, Script, answer, answering

# --- bodies that are no answer at all ------------------------------------------------------

NO_ANSWER = {
    "empty": b"",
    "whitespace": b" \r\n\t ",
    "html": b"<!DOCTYPE html><html><body>It works!</body></html>",
    "array": b"[]",
    "null": b"null",
    "text": b'"dev_1"',
    "number": b"17",
    "cut": b'{"id": "dev_1"',
    "two": b'{"id": "dev_1"}{"id": "dev_1"}',
    "utf-16": '{"id": "dev_1"}'.encode("utf-16"),
    "nan": b'{"id": "dev_1", "ID": "d1", "command_id": "c", "status": "x", "more": NaN}',
    "infinite": b'{"id": "dev_1", "ID": "d1", "command_id": "c", "status": "x", "more": 1e999}',
    "bad-utf-8": b'{"id": "dev_1", "ID": "d1", "command_id": "c", "status": "\xff\xfe"}',
    "lone-surrogate": b'{"id": "dev_1", "ID": "d1", "command_id": "c", "status": "\\ud800"}',
    "long-number": b'{"id": "dev_1", "ID": "d1", "command_id": "c", "status": %s}' % (b"7" * 5000),
    "deep": b'{"id": "dev_1", "ID": "d1", "command_id": "c", "status": "x", "more": %s%s}'
    % (b"[" * 10_000, b"]" * 10_000),
}


@pytest.mark.parametrize("name", NO_ANSWER)
@each_verb
async def test_a_success_without_its_content(verb: Verb, name: str) -> None:
    """A 200 whose body is not the documented object is a DecodeError, and is not tried again."""
    body = NO_ANSWER[name]
    async with RawServer(answering(200, body)) as server, session_on(server) as session:
        error = await failure_of(verb.make(session))
        assert len(server.requests) == error.attempts == 1
    reported = error
    if verb.command:
        assert type(error) is CommandOutcomeUnknownError
        assert isinstance(error.__cause__, IottlyError)
        reported = error.__cause__
    assert type(reported) is DecodeError
    assert reported.path.startswith("$")
    assert reported.sent == "yes"
    assert reported.__context__ is None
    assert len(str(reported)) < 300


@each_verb
async def test_a_204_has_no_content(verb: Verb) -> None:
    """A 204 where content is documented is a DecodeError."""
    script: Script = answering(204, b"")
    async with RawServer(script) as server, session_on(server) as session:
        error = await failure_of(verb.make(session))
        assert type(error) is (CommandOutcomeUnknownError if verb.command else DecodeError)
        assert len(server.requests) == error.attempts == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n",
        b"{}",
        b'{"status": 200, "error": null}',
        b"[]",
        b'"ok"',
        b"OK",
        b"\xef\xbb\xbf{}",
    ],
    ids=repr,
)
async def test_a_command_whose_answer_has_no_documented_content_is_done(body: bytes) -> None:
    """The project API does not document the content of a command's answer; none is needed."""
    async with RawServer(answering(200, body)) as server, session_on(server) as session:
        await session.project("p1").commands.send("d1", "echo", {"content": "hi"})
        assert len(server.requests) == 1


PAGE = b"""\xef\xbb\xbf <!DOCTYPE html>
<html><head><title>Portal</title><style>p {color: red}</style></head>
<body><script>var n = "<p>";</script><p>Please   sign&nbsp;in</p></body></html>"""


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (PAGE, "Please sign&nbsp;in"),
        (b"<ok/>", "200"),
        (b'{"status": 2', "200"),
        (b'{"error": "the broker is away"}', "200 the broker is away"),
        (b"\x1f\x8b\x08\x00", "200"),
    ],
    ids=["html", "xml", "cut", "error", "binary"],
)
async def test_a_command_whose_answer_is_not_the_services_own_is_not_done(
    body: bytes, text: str
) -> None:
    """A 200 with a page, broken JSON or an error leaves the outcome unknown (D16).

    The error's text has what came, without tags and line ends.
    """
    script = answering(200, body, "Content-Type: text/html")
    async with RawServer(script) as server, session_on(server) as session:
        error = await failure_of(session.project("p1").commands.send("d1", "echo"))
        assert len(server.requests) == 1
    assert type(error) is CommandOutcomeUnknownError
    assert text in str(error)
    assert "color" not in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("status", "body", "text", "hint"),
    [
        (500, b'{"error": "list index out of range"}', "500 list index out of range", True),
        (500, b'{"error": "\'NoneType\' object is not subscriptable"}', "is not subscr", True),
        (503, b'{"error": "the broker is away"}', "503 the broker is away", False),
        (502, PAGE, "502, not in the API's own form (text/html): Please sign", False),
        (500, b'{"error": "%s"}' % (b"x" * 5000), "x" * 300 + "…", True),
        (500, b'{"error": "no command for %s"}' % KEY.encode(), "no command for <redacted>", True),
        (500, b"<p>bearer %s</p>" % KEY.encode(), "bearer <redacted>", False),
    ],
    ids=["index", "none", "unavailable", "proxy", "long", "key", "key-in-page"],
)
async def test_the_outcome_of_a_command_is_told_in_the_services_own_words(
    status: int, body: bytes, text: str, hint: bool
) -> None:
    """A command that was answered 5xx may be a typo in its type, so the error says what came.

    With the project API's own 500 it also says that an undeclared type looks like this (D16).
    """
    script = answering(status, body, "Content-Type: text/html")
    async with RawServer(script) as server, session_on(server) as session:
        error = await failure_of(session.project("p1").commands.send("d1", "ecko"))
        assert len(server.requests) == 1
    assert type(error) is CommandOutcomeUnknownError
    assert error.status == status
    assert text in str(error)
    assert KEY not in str(error)
    assert ("does not declare" in str(error)) is hint


async def test_the_outcome_of_a_fleet_command_is_told_too() -> None:
    """The fleet API's own text is in the error, without the project API's hint."""
    body = b'{"error": {"code": "internal", "message": "list index out of range"}}'
    async with RawServer(answering(500, body)) as server, session_on(server) as session:
        error = await failure_of(POST.make(session))
    assert type(error) is CommandOutcomeUnknownError
    assert str(error).endswith("500 list index out of range")
    assert error.code == "internal"


# --- oddities that are accepted --------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b'\xef\xbb\xbf{IDS, "WHAT": "pump"}', "application/json", "pump"),
        (b'{IDS, "WHAT": "gr\xc3\xbcn"}', "text/plain; charset=iso-8859-1", "grün"),
        (b'{IDS, "WHAT": "first", "WHAT": "last"}', "application/json", "last"),
        (b'{IDS, "WHAT": "\\ud83d\\ude00"}', "application/json", "😀"),
        (b' {IDS , \n"WHAT": "a\\u0000b"}\r\n', "", "a\0b"),
    ],
    ids=["bom", "charset", "duplicate-keys", "surrogate-pair", "space"],
)
@each_verb
async def test_an_oddity_that_is_accepted(
    verb: Verb, body: bytes, content_type: str, text: str
) -> None:
    """JSON is read as UTF-8 whatever the header says; a byte order mark is skipped."""
    ids = b'"id": "dev_1", "ID": "d1", "command_id": "cmd_1"'
    what = b"status" if verb.command else b"name"
    data = body.replace(b"IDS", ids).replace(b"WHAT", what)
    script = answering(200, data, f"Content-Type: {content_type}")
    async with RawServer(script) as server, session_on(server) as session:
        assert getattr(await verb.make(session), what.decode()) == text
        assert len(server.requests) == 1


UNREADABLE = {
    "nan": b"NaN",
    "infinite": b"[1e999]",
    "bad-utf-8": b'{"a": "\xff"}',
    "lone-surrogate": b'"\\udfff"',
    "long-number": b"[" + b"7" * 5000 + b"]",
    "deep": b"[" * 10_000 + b"]" * 10_000,
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_unreadable_payload_disturbs_no_other(name: str) -> None:
    """A payload that is not JSON raises an error when it is read, and disturbs no other message."""
    row = b'{"from": "d1", "timestamp": "2026-01-01T00:00:0%d", "type": "x", "payload": %s}'
    rows = [row % (0, b'{"n": 0}'), row % (1, UNREADABLE[name]), row % (2, b'{"n": 2}')]
    body = b'{"messages": [' + b", ".join(rows) + b"]}"
    async with RawServer(answering(200, body)) as server, session_on(server) as session:
        page = await session.project("p1").messages.page("d1")
    first, second, third = page.messages
    assert (first.payload, third.payload) == ({"n": 0}, {"n": 2})
    assert second.payload_json == UNREADABLE[name]
    with pytest.raises(DecodeError):
        _ = second.payload


# --- each field of each model ---------------------------------------------------------------

WRONG: dict[str, list[Any]] = {
    "text": [5, 1.5, True, [], {}],
    "time": ["yesterday", 1.5, True, [], {}, 10**30, {"$date": []}],
    "number": ["5", 1.5, True, [], {}, None],
    "numbered": ["5", 1.5, True, [], {}],
    "array": ["x", 5, True, {}, None],
    "object": ["x", 5, True, [], None],
    "oid": [5, 1.5, True, [], {}, {"$oid": 5}],
    "board": ["x", 5, True, []],
    "any": [],
}


@frozen
class Reading:
    """A call that reads one model, a good answer to it, and its fields.

    Attributes:
        good: the answer.
        fields: the kind of each field by its path. After it stands an exclamation mark if
            the model requires the field, or a question mark if the field may be missing but
            not be of another kind. Any other field may be of any kind (D8).
    """

    name: str
    make: Callable[[IottlySession], Awaitable[Any]]
    good: dict[str, Any]
    fields: dict[str, str]


DEVICE = {
    "ID": "text!",
    "name": "text",
    "macaddress": "text",
    "operatingstatus": "text",
    "token": "text",
    "agent_version": "text",
}
FLEET_DEVICE = {
    "id": "text!",
    "name": "text",
    "project_id": "text",
    "status": "text",
    "last_seen_at": "time",
}
BOARD = {"id": "text", "name": "text", "macaddress": "text", "operatingstatus": "text"}
MESSAGE = {
    "from": "text?",
    "to": "text",
    "timestamp": "time!",
    "devicetimestamp": "time",
    "type": "text",
    "channel": "text",
    "payload": "any",
}
ROW = {
    "from": "d1",
    "to": "p1",
    "timestamp": "2026-01-01T00:00:00.001",
    "devicetimestamp": "2026-01-01T00:00:00",
    "type": "userdefined",
    "channel": "c",
    "payload": {"n": 1},
}
STORED = ROW | {
    "timestamp": {"$date": "2026-01-01T00:00:00.001Z"},
    "devicetimestamp": {"$date": "2026-01-01T00:00:00Z"},
    "_id": {"$oid": "507f1f77bcf86cd799439011"},
}


def within(place: str, fields: dict[str, str]) -> dict[str, str]:
    """Move fields to another place in the answer."""
    return {f"{place}.{name}": kind for name, kind in fields.items()}


READINGS = (
    Reading(
        "inspect",
        lambda session: session.project("p1").inspect(),
        {
            "id": "p1",
            "name": "a",
            "projectgetagenturl": "u",
            "agentfile": "f",
            "agentapihost": "h",
            "board": "b",
        },
        {
            "id": "text!",
            "name": "text",
            "projectgetagenturl": "text",
            "agentfile": "text",
            "agentapihost": "text",
            "board": "text",
        },
    ),
    Reading(
        "license",
        lambda session: session.project("p1").licenses.get("t1"),
        {
            "t1": {
                "status": "paired",
                "board": {"id": "d1", "name": "a", "macaddress": "m", "operatingstatus": "o"},
            }
        },
        {"t1": "object!", "t1.status": "text!", **within("t1.board", BOARD)},
    ),
    Reading(
        "licenses",
        lambda session: session.project("p1").licenses.list(),
        {"t1": {"status": "paired", "board": {"id": "d1", "name": "a"}}},
        {"t1.status": "text!", "t1.board": "board", "t1.board.id": "text"},
    ),
    Reading(
        "devices",
        lambda session: session.project("p1").devices.list(),
        {"count": 1, "errors": None, "devices": [PUT.good]},
        {"devices": "array!", **within("devices.0", DEVICE)},
    ),
    Reading("device", lambda session: session.project("p1").devices.get("d1"), PUT.good, DEVICE),
    Reading("renamed", PUT.make, PUT.good, DEVICE),
    Reading(
        "page",
        lambda session: session.project("p1").messages.page("d1"),
        {"messages": [ROW]},
        {"messages": "array!", **within("messages.0", MESSAGE)},
    ),
    Reading(
        "history",
        lambda session: session.project("p1").messages.recent("d1"),
        {"status": 200, "messages": [STORED]},
        {"messages": "array!", **within("messages.0", MESSAGE | {"_id": "oid"})},
    ),
    Reading(
        "fleet-page",
        lambda session: session.devices.page(1),
        {"data": [GET.good], "meta": {"total": 1, "page": 1, "per_page": 20}},
        {
            "data": "array!",
            "meta": "object!",
            "meta.total": "number!",
            "meta.page": "numbered?",
            "meta.per_page": "numbered?",
            **within("data.0", FLEET_DEVICE),
        },
    ),
    Reading("fleet-device", GET.make, GET.good, FLEET_DEVICE),
    Reading(
        "result",
        lambda session: session.commands.get("cmd_1"),
        {
            "command_id": "cmd_1",
            "status": "completed",
            "exit_code": 0,
            "stdout": "a",
            "stderr": "b",
            "completed_at": "2026-01-01T00:00:00Z",
        },
        {
            "command_id": "text!",
            "status": "text!",
            "exit_code": "number",
            "stdout": "text",
            "stderr": "text",
            "completed_at": "time",
        },
    ),
    Reading("command", POST.make, POST.good, {"command_id": "text!", "status": "text!"}),
)

_ABSENT = object()


def changed(good: dict[str, Any], place: str, value: Any) -> bytes:
    """Change or remove one value of the good answer."""
    answer = copy.deepcopy(good)
    inner: Any = answer
    *way, last = [int(step) if step.isdecimal() else step for step in place.split(".")]
    for step in way:
        inner = inner[step]
    if value is _ABSENT:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(answer).encode()


def variants(reading: Reading) -> Iterator[tuple[str, Any, bool]]:
    """Yield every place, every value to put there, and whether the model accepts it."""
    for place, kind in reading.fields.items():
        needed, any_kind = kind.endswith("!"), not kind.endswith(("!", "?"))
        for value in WRONG[kind.rstrip("!?")]:
            yield place, value, any_kind
        yield place, None, not needed
        yield place, _ABSENT, not needed


def one_after_another(bodies: list[bytes]) -> Script:
    """Make a script that answers each request with the next body; all connections share it."""
    waiting = iter(bodies)

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(answer(200, next(waiting)))

    return play


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.name)
async def test_each_field_missing_null_and_of_each_wrong_type(reading: Reading) -> None:
    """A required field that is missing, or of another type, is named by its JSON path.

    An optional field never fails the call, whatever it is (D8).
    """
    cases = list(variants(reading))
    bodies = [changed(reading.good, place, value) for place, value, _ in cases]
    async with RawServer(one_after_another(bodies)) as server, session_on(server) as session:
        for place, value, stands in cases:
            try:
                await reading.make(session)
            except IottlyError as error:
                reported = error.__cause__ or error
                assert type(reported) is DecodeError, (place, value)
                path = "$" + "".join(
                    f"[{step}]" if step.isdecimal() else f".{step}" for step in place.split(".")
                )
                assert reported.path.startswith((path, path.rpartition(".")[0])), (
                    place,
                    reported.path,
                )
                assert not stands, (place, value, str(reported))
            else:
                assert stands, (place, value)


# --- an answer to another question ----------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (lambda s: s.devices.get("dev_2"), GET.good),
        (lambda s: s.project("p2").inspect(), {"id": "p1"}),
        (lambda s: s.project("p1").devices.get("d2"), PUT.good),
        (lambda s: s.project("p1").devices.rename("d2", "x"), PUT.good),
        (lambda s: s.commands.get("cmd_2"), POST.good),
        (lambda s: s.project("p1").licenses.get("t2"), {"t1": {"status": "available"}}),
        (lambda s: s.project("p1").messages.page("d2"), {"messages": [ROW]}),
        (lambda s: s.project("p1").messages.recent("d2"), {"messages": [STORED]}),
    ],
    ids=["fleet-device", "inspect", "device", "rename", "result", "license", "page", "history"],
)
async def test_an_answer_for_another_id(
    make: Callable[[IottlySession], Awaitable[Any]], body: dict[str, Any]
) -> None:
    """An answer about another id than the requested one is a DecodeError."""
    script = answering(200, json.dumps(body).encode())
    async with RawServer(script) as server, session_on(server) as session:
        error = await failure_of(make(session))
    assert type(error) is DecodeError
