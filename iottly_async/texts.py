"""Texts that people read: addresses without credentials, control characters escaped. Pure."""

from __future__ import annotations

import re
from typing import Final

_HOST: Final = r"(?:\[[0-9A-Za-z:.%]*\]|[^\s:@\[\]]*)(?::\d*)?"
HOSTS: Final = re.compile(rf"{_HOST}(?:,{_HOST})*")
"""One or more hosts with ports. What is anything else may be a part of a password."""

_SECRET_PARAMETER: Final = re.compile(
    r"(\b\w*(?:passw|pwd|secret|token)\w*\s*=\s*)('(?:[^'\\]|\\.)*'?|\S+)", re.IGNORECASE
)
_BEGIN: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?(//)|(?:postgres(?:ql)?|rediss?|https?):", re.IGNORECASE
)
"""How a URL begins. Some schemes are those of a URL also if the slashes are missing."""

_HIDDEN: Final = "…"

_KEY: Final = re.compile(r"(?<![A-Za-z0-9_])ik_[A-Za-z]+_", re.ASCII)

# C0, DEL and C1; bidirectional controls; line and paragraph separators; lone surrogates.
_CONTROLS: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)


def without_secrets(address: str) -> str:
    """Remove what may be a credential from the address of a store, a server or a proxy.

    User, password, query and fragment are left out. A password may hold characters that end
    the part of a URL it stands in. If the parts cannot be told apart for that reason, all of
    them are left out.

    Args:
        address: a URL, also a malformed one; a path; or a text of libpq's, such as
            "host=db password=x".

    Returns:
        The address to show, such as "postgresql://db:5432/telemetry". A path is returned as
        it is.
    """
    begin = _BEGIN.match(address)
    if begin is None:
        if not re.search(r":.*@", address, re.DOTALL):
            return _SECRET_PARAMETER.sub(rf"\1{_HIDDEN}", address)
        scheme, rest = "", address
    elif not begin[1]:
        return begin[0] + _HIDDEN
    else:
        scheme, rest = begin[0], address[begin.end() :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    host = authority.rpartition("@")[2]
    if (authority and "@" in tail) or not HOSTS.fullmatch(host):
        return scheme + _HIDDEN
    return scheme + host + re.split(r"[?#]", tail, maxsplit=1)[0]


def quoted(value: str) -> str:
    """Quote a setting's value that was refused, for an error.

    Args:
        value: as it was given.

    Returns:
        The value in quotes, cut to 80 characters, without credentials. A value that may be an
        API key is not shown.
    """
    if holds_key(value):
        return "what looks like an API key"
    return repr(without_secrets(value)[:80])


def holds_key(text: str) -> bool:
    """Whether a word of a text begins as the service's API keys do."""
    return _KEY.search(text) is not None


def escaped(text: str) -> str:
    """Escape the characters that change what a terminal shows, as JSON escapes them.

    These are the control characters of ASCII and of C1, bidirectional controls, line
    separators and lone surrogates. A text in JSON stays the same JSON.

    Args:
        text: from outside, such as a device's name.

    Returns:
        The text for one line of a terminal or a log.
    """
    return text if text.isascii() and text.isprintable() else _CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
