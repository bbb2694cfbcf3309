"""Hostile text in any argument changes neither path, header nor query."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from iottly_async import Config, ConfigurationError, IottlyError, IottlySession, RateLimiter
from iottly_async.transport import AiohttpTransport, Outgoing
from tests.support.raw_server import RawRequest, RawServer, answering
from tests.support.scale import sized

SHARP = "/\\?#%&=+;:@.,~ \t\r\n\0\x7f\x85\xa0\u2028\u202e\ufeff\u2215\uff0f\ud800é漢😀'\"<>|[]{}"
"""Characters with a meaning in URLs, headers or lines."""

texts = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=st.sampled_from(list(SHARP + "ab.")), max_size=12),
    st.sampled_from(["", ".", "..", "...", "%2e%2e", "a/../b", "a%2fb", "a\r\nX: y", "a b"]),
)

Use = Callable[[IottlySession, str], Awaitable[Any]]

over_sockets = settings(max_examples=sized(12, 2000))
"""Each example needs a server, a session and a call: few in every run, many in a long one."""


def project(session: IottlySession) -> Any:
    """A project with a plain id."""
    return session.project("p1")


# Each use of an id: what is called, and the path's segments with None where the id stands.
IDS: list[tuple[str, Use, list[str | None]]] = [
    ("project", lambda s, i: s.project(i).inspect(), ["v1.0", "project", None, "inspect"]),
    (
        "license",
        lambda s, i: project(s).licenses.get(i),
        ["v1.0", "project", "p1", "license", None],
    ),
    (
        "device",
        lambda s, i: project(s).devices.get(i),
        ["v1.0", "project", "p1", "device", None, "props"],
    ),
    (
        "rename",
        lambda s, i: project(s).devices.rename(i, "x"),
        ["v1.0", "project", "p1", "device", None, "props"],
    ),
    (
        "command",
        lambda s, i: project(s).commands.send(i, "echo"),
        ["v1.0", "project", "p1", "device", None, "command"],
    ),
    (
        "recent",
        lambda s, i: project(s).messages.recent(i),
        ["v1.0", "project", "p1", "messages", None],
    ),
    (
        "page",
        lambda s, i: project(s).messages.page(i),
        ["v1.0", "project", "p1", "device", None, "messages", "paginated"],
    ),
    ("fleet-device", lambda s, i: s.devices.get(i), ["v1", "devices", None]),
    (
        "fleet-command",
        lambda s, i: s.commands.send(i, "uptime"),
        ["v1", "devices", None, "commands"],
    ),
    ("result", lambda s, i: s.commands.get(i), ["v1", "commands", None]),
]


def requests_of(use: Use, text: str) -> list[RawRequest]:
    """Return the requests that one use sends; the library may raise its errors."""

    async def run() -> list[RawRequest]:
        async with RawServer(answering(200, b"{}")) as server:
            config = Config(base_url=server.url, timeout=10)
            async with IottlySession("key", config=config, limiter=RateLimiter()) as session:
                with suppress(IottlyError):
                    await use(session, text)
            return server.requests

    return asyncio.run(run())


HEADERS = {
    "host",
    "accept",
    "accept-encoding",
    "user-agent",
    "authentication",
    "authorization",
    "content-type",
    "content-length",
    "connection",
}


def assert_plain(received: RawRequest) -> None:
    """Assert that a request has its headers, once each, and a valid request line."""
    names = [name for name, _ in received.headers]
    assert len(set(names)) == len(names)
    assert set(names) <= HEADERS
    assert received.head.count(b"\n") == received.head.count(b"\r\n") == len(names) + 2
    line = received.line
    assert line.isascii()
    assert line.isprintable()
    assert line.count(" ") == 2


@pytest.mark.parametrize(("name", "use", "shape"), IDS, ids=[name for name, _, _ in IDS])
@over_sockets
@given(text=texts)
def test_an_id_stays_one_segment(name: str, use: Use, shape: list[str | None], text: str) -> None:
    """An id is refused, or arrives unchanged as one segment of the path."""
    received = requests_of(use, text)
    if not received:
        return
    assert len(received) == 1
    assert_plain(received[0])
    path = urlsplit(received[0].line.split(" ")[1]).path
    segments = path.split("/")[1:]
    assert len(segments) == len(shape)
    for segment, expected in zip(segments, shape, strict=True):
        assert unquote(segment) == (text if expected is None else expected)


@pytest.mark.parametrize(
    "good", ["dev_01j3k", "3781de91-d446-4c64-825d-756dd60f2dab", "<token>", "a b", "é", "a:b@c"]
)
def test_an_ordinary_id_is_sent(good: str) -> None:
    """An ordinary id is accepted."""
    assert len(requests_of(lambda session, text: session.devices.get(text), good)) == 1


@over_sockets
@given(text=texts)
def test_a_filter_stays_one_parameter(text: str) -> None:
    """Whatever a filter holds, the query has two parameters."""
    query = {"payload": {text: text}, "type": text}
    received = requests_of(lambda s, _: project(s).messages.recent("d1", query=query), "")
    if not received:
        return
    assert_plain(received[0])
    found = parse_qs(urlsplit(received[0].line.split(" ")[1]).query, strict_parsing=True)
    assert set(found) == {"numMessages", "queryJson"}
    assert json.loads(found["queryJson"][0]) == query


@over_sockets
@given(name=texts, values=st.dictionaries(texts, texts, max_size=3))
def test_a_command_is_json_whatever_it_holds(name: str, values: dict[str, str]) -> None:
    """A command's name and values are sent in the body, and arrive unchanged."""
    received = requests_of(lambda s, _: project(s).commands.send("d1", name, values), "")
    if not received:
        return
    assert_plain(received[0])
    body = json.loads(received[0].body)
    assert body["cmd_type"] == name
    assert all(key.startswith(f"{name}.") for key in body["values"])
    assert sorted(body["values"].values()) == sorted(values.values())


@over_sockets
@given(name=texts)
def test_a_name_is_json_whatever_it_holds(name: str) -> None:
    """A device's new name is sent in the body, and arrives unchanged."""
    received = requests_of(lambda s, _: project(s).devices.rename("d1", name), "")
    if received:
        assert_plain(received[0])
        assert json.loads(received[0].body) == {"name": name}


@pytest.mark.parametrize("through", [False, True], ids=["own", "given"])
@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\0", "/a\x7f", "/é", "/a\ud800"])
async def test_a_target_cannot_end_its_line(target: str, through: bool) -> None:
    """The transport refuses a target that is more than one word of a request line."""
    async with (
        RawServer(answering(200, b"{}")) as server,
        aiohttp.ClientSession() as http,
    ):
        transport = AiohttpTransport(Config(base_url=server.url), http if through else None)
        with suppress(IottlyError):
            await transport.send(Outgoing("GET", target, {}))
        await transport.aclose()
        for received in server.requests:
            assert_plain(received)


# --- the key ---------------------------------------------------------------------------------


@over_sockets
@given(key=texts)
@example(key="a\r\nX-Evil: 1")
@example(key="ключ")
@example(key="a\x7f")
def test_a_key_stays_in_its_header(key: str) -> None:
    """A key is refused, and never shown, or is the value of its one header."""

    async def run() -> list[RawRequest]:
        async with RawServer(answering(200, b"{}")) as server:
            config = Config(base_url=server.url, timeout=10)
            async with IottlySession(key, config=config, limiter=RateLimiter()) as session:
                for call in (session.ping(), session.devices.get("d")):
                    with pytest.raises(IottlyError):
                        await call
            return server.requests

    try:
        old, new = asyncio.run(run())
    except ConfigurationError as error:
        reported = str(error)
        assert not key or not all("!" <= character <= "~" for character in key)
        assert len(key) < 4 or key not in reported
        return
    for received in (old, new):
        assert_plain(received)
    assert dict(old.headers)["authentication"] == f"bearer {key}"
    assert dict(new.headers)["authorization"] == f"Bearer {key}"


# --- the base URL ----------------------------------------------------------------------------

hosts = st.one_of(
    st.sampled_from(
        [
            *("api.cloud.iottly.com", "127.0.0.1", "localhost", "[::1]", "127.0.0.1.evil.example"),
            *("evil.example", "127.1", "0x7f.1", "2130706433", "0.0.0.0", "[::ffff:1.2.3.4]"),
            *("localhost.", "LOCALHOST", "loc%61lhost", "127.0.0.1%00", "[::1%25lo]", "[::1", ""),
        ]
    ),
    st.text(alphabet=st.sampled_from(list(SHARP + "abc.0")), max_size=12),
)
urls = st.one_of(
    st.builds(
        lambda scheme, user, host, port, rest: f"{scheme}://{user}{host}{port}{rest}",
        st.sampled_from(["https", "http", "HTTPS", "ftp", "file", "", "https:https"]),
        st.sampled_from(["", "", "user:password@", "@", "a@b@"]),
        hosts,
        st.sampled_from(["", "", ":443", ":0", ":99999", ":-1", ":x", ":", ":80:81"]),
        st.sampled_from(["", "", "/", "/v1", "//", "?x=1", "#x", "/../", "\\@evil.example", "/."]),
    ),
    texts,
)


@given(url=urls)
@example(url="https://api.example\\@evil.example")
@example(url="https://api.example\t.evil.example")
@example(url="http://127.0.0.1@evil.example")
def test_a_base_url_is_one_host_to_every_reader(url: str) -> None:
    """An accepted URL is https or loopback, without user, path or query, to all parsers."""
    try:
        accepted = Config(base_url=url).base_url
    except ConfigurationError as error:
        reported = str(error)
    else:
        assert_one_host(accepted)
        return
    assert "password" not in reported or "must not hold" in reported


def assert_one_host(accepted: str) -> None:
    """Assert that both parsers read the same host, and nothing else."""
    parts = urlsplit(accepted)
    assert (parts.path, parts.query, parts.fragment, parts.username) == ("", "", "", None)
    assert parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")
    read = URL(f"{accepted}/v1/devices/d", encoded=True)
    assert read.raw_host is not None
    assert parts.hostname is not None
    assert read.raw_host.casefold() == parts.hostname.casefold()
    assert read.port == (parts.port or {"https": 443, "http": 80}[parts.scheme])
    assert (read.raw_path, read.user, read.query_string) == ("/v1/devices/d", None, "")
