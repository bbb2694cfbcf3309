"""URLs of servers, parsed strictly and in the same way on every Python. Pure.

`urllib.parse.urlsplit` reads ``http://[::1]evil`` as the host ``::1`` on Python 3.11, and raises
`ValueError` on later ones. Redis's client and aiohttp parse again, each in its own way. So what
all of them read alike is accepted here, and everything else is refused.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from attrs import field, frozen

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_LABEL: Final = range(1, 64)
_LONGEST: Final = 253
_HIGHEST_PORT: Final = 65535


@frozen
class ServerUrl:
    """The parts of a URL.

    Attributes:
        scheme: in small letters.
        user: the part before the ``@`` of the host, not shown; None if there is no ``@``.
        host: as it was written; an IPv6 address without its brackets.
        port: None if there is none.
        path: with its leading slash; empty if there is none.
        rest: the query and the fragment, with their ``?`` and ``#``; not shown.
    """

    scheme: str
    user: str | None = field(repr=False)
    host: str
    port: int | None
    path: str
    rest: str = field(repr=False)


def parse_server_url(url: str) -> ServerUrl | None:
    """The parts of ``scheme://[user@]host[:port][/path][?query]``.

    Args:
        url: any text.

    Returns:
        The parts; None if the text is no such URL: its host must be a name of ASCII letters,
        digits, ``.``, ``-`` and ``_``, or an IP address, that of version 6 in brackets.
    """
    found = _URL.fullmatch(url)
    if found is None or not url.isascii() or not url.isprintable() or "\\" in url:
        return None
    scheme, authority, path, rest = found.groups()
    user, at, place = authority.rpartition("@")
    parts = _HOST.fullmatch(place)
    if parts is None or "[" in user or "]" in user:  # yarl takes any bracket for an IPv6 address
        return None
    host = parts[1].strip("[]")
    port = None if parts[2] is None else int(parts[2])
    if port is not None and not 0 < port <= _HIGHEST_PORT:
        return None
    if not (is_ipv6(host) if place.startswith("[") else _is_name(host)):
        return None
    return ServerUrl(scheme.lower(), user if at else None, host, port, path, rest)


def is_ipv6(host: str) -> bool:
    """Whether a text, without brackets, is an IP address of version 6."""
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST and all(len(label) in _LABEL for label in labels)
