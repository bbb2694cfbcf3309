"""The address of a stream's protocol: which are accepted, and where the key goes."""

from __future__ import annotations

import pytest

from iottly_async import Config, ConfigurationError
from iottly_async.auth import ApiKey
from iottly_async.stream.address import opening_url, stream_address
from iottly_async.stream.protocol import HeaderKey, QueryKey

CONFIG = Config(base_url="https://api.example.com")
KEY = ApiKey("a+b/c=")


@pytest.mark.parametrize(
    ("address", "url", "is_service"),
    [
        ("/v1/stream", "https://api.example.com/v1/stream", True),
        ("/feed?kind=all", "https://api.example.com/feed?kind=all", True),
        ("wss://API.example.com:443/feed", "https://API.example.com:443/feed", True),
        ("wss://live.example.com/feed", "https://live.example.com/feed", False),
        ("https://live.example.com:8443", "https://live.example.com:8443/", False),
        ("wss://live.example.com?x=1", "https://live.example.com/?x=1", False),
        ("wss://api.example.com:8080/feed", "https://api.example.com:8080/feed", False),
        ("ws://127.0.0.1:9000/feed", "http://127.0.0.1:9000/feed", False),
        ("ws://[::1]:9000/feed", "http://[::1]:9000/feed", False),
    ],
)
def test_a_path_or_a_whole_url_is_accepted(address: str, url: str, is_service: bool) -> None:
    """A path is on the service's host; only a stream there is counted in the quota."""
    found = stream_address(address, CONFIG)
    assert (found.origin + found.target, found.is_service) == (url, is_service)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "feed",
        "live.example.com/feed",
        "ftp://live.example.com/feed",
        "ws://live.example.com/feed",
        "http://live.example.com/feed",
        "wss://user:password@live.example.com/feed",
        "wss://@live.example.com/feed",
        "wss:///feed",
        "wss://live.example.com/feed#here",
        "wss://live.example.com\\@evil.example.com/",
        "wss://live.example.com/a feed",
        "/feed\r\nHost: evil.example.com",
        "/fééd",
        "wss://live.example.com:0/feed",
        b"/feed",
        None,
    ],
)
def test_any_other_address_is_refused(address: object) -> None:
    """The key is sent neither in clear text nor to a host that is not plainly named."""
    with pytest.raises(ConfigurationError, match="the address of the stream's protocol"):
        stream_address(address, CONFIG)


def test_plain_http_is_accepted_if_it_is_asked_for() -> None:
    """`Config.allow_plain_http` holds for streams, too, and the error names it."""
    with pytest.raises(ConfigurationError, match="allow_plain_http=True"):
        stream_address("ws://live.example.com/feed", CONFIG)
    config = Config(allow_plain_http=True)
    assert stream_address("ws://live.example.com/feed", config).origin == "http://live.example.com"


@pytest.mark.parametrize(("address", "mark"), [("/feed", "?"), ("/feed?x=1", "&")])
def test_a_key_in_the_query_is_encoded_and_redacted(address: str, mark: str) -> None:
    """The parameter follows the address's own query, and the repr of the URL hides it."""
    found = stream_address(address, CONFIG)
    url = opening_url(found, QueryKey("token"), KEY)
    assert str(url) == f"https://api.example.com{address}{mark}token=a%2Bb%2Fc%3D"
    assert repr(url) == "<redacted>"
    assert str(opening_url(found, HeaderKey(), KEY)) == f"https://api.example.com{address}"


def test_an_address_shows_no_query() -> None:
    """A query of the user's own may hold a secret, too."""
    assert "secret" not in repr(stream_address("wss://live.example.com/feed?x=secret", CONFIG))


@pytest.mark.parametrize("name", ["", "a b", "a&b", "a=b", "é", 7])
def test_a_parameter_that_could_change_the_query_is_refused(name: str) -> None:
    """The name is not encoded, so it must be plain."""
    with pytest.raises(ConfigurationError, match="name must be"):
        QueryKey(name)


@pytest.mark.parametrize(
    ("name", "prefix"), [("", "Bearer "), ("X Key", ""), ("X-Key", "a\r\nb"), ("X-Key", None)]
)
def test_a_header_that_cannot_be_sent_is_refused(name: str, prefix: str) -> None:
    """It is refused when the protocol is made, not when the stream connects."""
    with pytest.raises(ConfigurationError):
        HeaderKey(name, prefix)
