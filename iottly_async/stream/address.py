"""The address of a stream's WebSocket, checked, and the request that opens it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from ..auth import ApiKey, RedactedStr
from ..config import Config, check_base_url
from ..errors import ConfigurationError
from .credential import Credential, FrameKey, HeaderKey, QueryKey
from .protocol import StreamProtocol, Subscription

_NAME: Final = "the address of the stream's protocol"
_SCHEMES: Final = {"wss": "https", "ws": "http", "https": "https", "http": "http"}


class RedactedBytes(bytes):
    """Bytes whose repr is ``<redacted>``; otherwise they are themselves."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<redacted>"


@frozen
class StreamAddress:
    """Where a stream's WebSocket is.

    Attributes:
        origin: scheme, host and port, as in `Config.base_url`.
        target: path and query.
        is_service: whether it is on the host of `Config.base_url`, whose quota it then uses.
    """

    origin: str
    target: str = field(repr=False)
    is_service: bool


def stream_address(address: Any, config: Config) -> StreamAddress:
    """Check the address of a protocol.

    Args:
        address: a path or a whole URL, as `StreamProtocol.address` says.
        config: the session's settings.

    Returns:
        The address.

    Raises:
        ConfigurationError: it is neither; or a URL of plain http that would send the key in
            clear text; or one with a user, a password or a fragment.
    """
    if not isinstance(address, str) or not _is_plain(address) or "#" in address:
        raise ConfigurationError(
            f"{_NAME} must be a path or a URL of visible ASCII without '#' and '\\', such as "
            "/v1/stream or wss://live.example.com/feed"
        )
    if address.startswith("/"):
        return StreamAddress(config.base_url, address, True)
    scheme, separator, rest = address.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _SCHEMES:
        raise ConfigurationError(f"{_NAME} must begin with / or with wss://")
    host = rest.partition("/")[0].partition("?")[0]
    origin = check_base_url(
        f"{_SCHEMES[scheme]}://{host}", allow_plain_http=config.allow_plain_http, name=_NAME
    )
    target = rest[len(host) :]
    if not target.startswith("/"):
        target = f"/{target}"
    return StreamAddress(origin, target, _same_origin(origin, config.base_url))


def _is_plain(address: str) -> bool:
    return address.isascii() and address.isprintable() and not {" ", "\\"} & {*address}


def _same_origin(one: str, other: str) -> bool:
    def parts(url: str) -> tuple[str, str | None, int]:
        split = urlsplit(url)
        return split.scheme, split.hostname, split.port or (443 if split.scheme == "https" else 80)

    return parts(one) == parts(other)


def opening_url(address: StreamAddress, credential: Credential | None, key: ApiKey) -> RedactedStr:
    """The URL to open, with the key in its query if the credential says so."""
    url = address.origin + address.target
    if isinstance(credential, QueryKey):
        mark = "&" if "?" in address.target else "?"
        url += f"{mark}{credential.name}={quote(key.text, safe='')}"
    return RedactedStr(url)


def opening_headers(credential: Credential | None, key: ApiKey) -> dict[str, str]:
    """The header that has the key; none if the credential is sent otherwise."""
    if not isinstance(credential, HeaderKey):
        return {}
    return {credential.name: RedactedStr(credential.prefix + key.text)}


def opening_frames(
    protocol: StreamProtocol, subscription: Subscription, key: ApiKey
) -> Sequence[str | bytes]:
    """The frames to send first, which show themselves nowhere if the key is in them."""
    if not isinstance(protocol.credential, FrameKey):
        return protocol.opening(subscription, None)
    frames = protocol.opening(subscription, key.text)
    return [
        RedactedStr(frame) if isinstance(frame, str) else RedactedBytes(frame) for frame in frames
    ]
