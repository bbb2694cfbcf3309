"""URLs are parsed strictly, by everything that takes one, and alike on every Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import aiohttp
import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from iottly_async import Config, ConfigurationError, IottlySession, RateLimiter, SetupError
from iottly_async.ingest import open_store
from iottly_async.ingest.partitions import PartitionSource
from iottly_async.ratelimit import RedisLimiter
from iottly_async.stream.address import stream_address
from iottly_async.urls import parse_server_url
from iottly_async.webhooks import RedisSeenKeys

HOSTS: Final = [
    *("[::1]evil", "[::1]evil:80", "evil[::1]", "[zz]", "[::1", "::1]", "[]", "[127.0.0.1]"),
    *("::1", "a..b", ".a", "x" * 64, "x." * 127 + "x", "h:0", "h:65536", "h:x", "h:80:80", ":80"),
    *("h%41", "h,i", "h|i", "h~", "[fe80::1%25eth0]", "1.2.3.4]", "[::1]]", "[::1]:", "h:+80"),
]


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://api.example", "api.example", None),
        ("HTTPS://API.example.:8443", "API.example.", 8443),
        ("http://[::1]:80", "::1", 80),
        ("http://[2001:db8::1]/x?y#z", "2001:db8::1", None),
        ("redis://user:p%40ss@my_redis:6379/0", "my_redis", 6379),
        ("http://127.0.0.1:65535", "127.0.0.1", 65535),
    ],
)
def test_the_parts_of_a_url(url: str, host: str, port: int | None) -> None:
    """They are those that yarl, which aiohttp uses, finds; user and query are not shown."""
    parts = parse_server_url(url)
    assert parts is not None
    assert (parts.host, parts.port) == (host, port)
    assert (URL(url).raw_host or "").lower() == host.lower()
    assert "p%40ss" not in repr(parts)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "take",
    [
        lambda host: Config(base_url=f"https://{host}"),
        lambda host: PartitionSource(project="p", base_url=f"https://{host}"),
        lambda host: stream_address(f"wss://{host}/x", Config()),
        lambda host: RedisLimiter(f"redis://:secret@{host}"),
        lambda host: RedisSeenKeys(f"rediss://:secret@{host}/1"),
    ],
    ids=["Config", "PartitionSource", "stream", "RedisLimiter", "RedisSeenKeys"],
)
def test_a_wrong_host_is_refused_when_it_is_given(take: Callable[[str], Any], host: str) -> None:
    """It is a `ConfigurationError` at once, and the error shows no password."""
    with pytest.raises(ConfigurationError) as refused:
        take(host)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["[::1]evil", "evil[::1]", "[zz]", "[::1", "h:x", "h:80:80"])
def test_a_wrong_host_of_a_database_is_refused(host: str) -> None:
    """A store is opened later, but its URL is checked when it is named."""
    with pytest.raises(ConfigurationError, match="malformed"):
        open_store(f"postgresql://user@{host}/telemetry")


@pytest.mark.parametrize("path", ["/x", "/0/1", "/word@host"])
def test_a_redis_database_is_a_number(path: str) -> None:
    """Redis's own client would take database 0 instead, without a word."""
    with pytest.raises(ConfigurationError, match="url must be redis://"):
        RedisLimiter(f"redis://host{path}")


@pytest.mark.parametrize("host", ["[::1]evil", "[zz]", "ho st", "h:0", "h:99999", "a..b", ":80"])
@pytest.mark.parametrize("given", [False, True], ids=["of the environment", "of a session"])
async def test_a_wrong_proxy_is_refused(
    host: str, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a byte is sent."""
    proxy = f"http://{host}"
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", "" if given else proxy)
    config = Config(base_url="https://api.invalid", trust_env=not given)
    async with aiohttp.ClientSession(proxy=proxy if given else None) as http:
        session = IottlySession(
            "a-key", config=config, http=http if given else None, limiter=RateLimiter()
        )
        async with session:
            with pytest.raises(SetupError, match="proxy"):
                await session.devices.get("dev_1")


@example("[@1")
@example("a]@1")
@given(st.text(st.sampled_from("[]:/@?#%.-_~1af\\ "), max_size=20))
def test_what_is_accepted_is_read_alike_by_yarl(authority: str) -> None:
    """For any text of characters that have a meaning: the same host, or it is refused."""
    parts = parse_server_url(f"http://{authority}")
    if parts is not None:
        url = URL(f"http://{authority}", encoded=True)
        assert (url.raw_host or "").lower() == parts.host.lower()
        assert url.explicit_port == parts.port


def test_a_configuration_that_was_checked_stays_so() -> None:
    """A copy with another URL is checked, too."""
    with pytest.raises(ConfigurationError, match="base_url must be https://host"):
        evolve(Config(), base_url="http://[::1]evil")
