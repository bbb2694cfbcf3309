"""The settings: frozen, keyword-only, checked when built.

The key is not among them: it is an argument of the session, so that a
configuration can be logged, compared and pickled.
"""

from __future__ import annotations

import os
import ssl as _ssl
from datetime import timedelta
from ipaddress import ip_address
from math import isfinite
from typing import Literal
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

from .errors import ConfigurationError

Seconds = float | timedelta
TimestampFormat = Literal["iso", "iso-z", "epoch-ms", "epoch-s"]

DEFAULT_BASE_URL = "https://api.cloud.iottly.com"
TIMESTAMP_FORMATS: tuple[TimestampFormat, ...] = ("iso", "iso-z", "epoch-ms", "epoch-s")


def seconds(value: object, *, name: str, zero: bool = False) -> float:
    """`value`, a number of seconds or a timedelta, as a float.

    Args:
        value: what the caller gave.
        name: the argument's name, for the error's text.
        zero: whether 0 is accepted.

    Raises:
        ConfigurationError: it is no finite number, or not above 0 (not below 0).
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigurationError(
            f"{name} must be a finite number of seconds or a timedelta, not {value!r}"
        )
    if value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise ConfigurationError(f"{name} must be {least} seconds, not {value!r}")
    return float(value)


def whole(value: object, *, name: str, least: int, most: int | None = None) -> int:
    """`value` as a whole number within its bounds.

    Raises:
        ConfigurationError: it is not an int, or outside `least`..`most`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ConfigurationError(f"{name} must be {bounds}, not {value}")
    return value


def flag(value: object, *, name: str) -> bool:
    """`value`, True or False.

    Raises:
        ConfigurationError: it is neither.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")
    return value


def _seconds(_: object, attribute: Attribute[float], value: object) -> None:
    seconds(value, name=attribute.name, zero=attribute.name in _MAY_BE_ZERO)


_MAY_BE_ZERO = frozenset({"settle", "initial_delay"})


def _to_seconds(value: Seconds) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _number(default: int, least: int, most: int | None = None) -> int:
    def check(_: object, attribute: Attribute[int], value: object) -> None:
        whole(value, name=attribute.name, least=least, most=most)

    made: int = field(default=default, validator=check)
    return made


def _flag(default: bool) -> bool:
    def check(_: object, attribute: Attribute[bool], value: object) -> None:
        flag(value, name=attribute.name)

    made: bool = field(default=default, validator=check)
    return made


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how soon a failed attempt is tried again.

    Answers of 429 do not count as attempts: the limiter makes them wait, and the
    call's deadline, or `max_refusals`, ends them.

    Attributes:
        max_attempts: attempts in all, the first included; 1 means no retry. Default 4.
        initial_delay: seconds, the upper bound of the first pause; it doubles with
            each attempt and full jitter is applied. Default 0.2.
        max_delay: seconds, the upper bound of any computed pause. Default 10.
        max_refusals: how many answers of 429 one call bears. Default 20.
        budget: tokens of the retry quota that all calls of a session share: a retry
            costs 5 of them, one after a timeout 10; a call that succeeds gives back what
            its retries cost, or 1 where it needed none. It stops a storm of retries
            during an outage, and is not noticed otherwise. Default 500.
    """

    max_attempts: int = _number(4, 1)
    initial_delay: float = field(default=0.2, converter=_to_seconds, validator=_seconds)
    max_delay: float = field(default=10.0, converter=_to_seconds, validator=_seconds)
    max_refusals: int = _number(20, 0)
    budget: int = _number(500, 0)


def _check_format(_: object, attribute: Attribute[str], value: object) -> None:
    if value not in TIMESTAMP_FORMATS:
        known = ", ".join(TIMESTAMP_FORMATS)
        raise ConfigurationError(f"{attribute.name} must be one of {known}, not {value!r}")


def _check_ssl(_: object, attribute: Attribute[_ssl.SSLContext | None], value: object) -> None:
    if value is not None and not isinstance(value, _ssl.SSLContext):
        raise ConfigurationError(
            f"{attribute.name} must be an ssl.SSLContext or None, not {value!r}; "
            "verification cannot be switched off, but a context may trust your own authority"
        )
    if value is None:
        return
    if value.verify_mode is not _ssl.CERT_REQUIRED or not value.check_hostname:
        raise ConfigurationError(
            f"{attribute.name} must be a context that verifies certificate and host name, as "
            "ssl.create_default_context() does; to trust an authority of your own, use its "
            "load_verify_locations()"
        )
    if value.minimum_version not in (_ssl.TLSVersion.TLSv1_2, _ssl.TLSVersion.TLSv1_3):
        raise ConfigurationError(
            f"{attribute.name} must be a context of TLS 1.2 or newer; set its minimum_version "
            "to ssl.TLSVersion.TLSv1_2"
        )


def _check_retry(_: object, attribute: Attribute[RetryPolicy], value: object) -> None:
    if not isinstance(value, RetryPolicy):
        raise ConfigurationError(f"{attribute.name} must be a RetryPolicy, not {value!r}")


@frozen(kw_only=True)
class Config:
    """Every setting of a session.

    Attributes:
        base_url: scheme and host (and port), without a generation's path. https, or
            http on a loopback address. Default ``https://api.cloud.iottly.com``.
        timeout: seconds for a whole call: queueing, waiting for quota, attempts and
            pauses. Pages of a walk do not count the wait for quota. Default 60.
        attempt_timeout: seconds for one attempt, connecting included. Default 20.
        connect_timeout: seconds for name look-up, TCP and TLS together. Default 10.
        max_connections: how many requests are under way at once. Default 100.
        retry: a `RetryPolicy`.
        page_size: messages that a walk asks for in one request, 1 to 100. Default 100.
        first_page: the number that the service gives its first page, 0 or 1 (D3).
            Default 1.
        timestamp_format: how times are sent (D2): "iso" is the naive UTC ISO text that
            the API itself emits; "iso-z", "epoch-ms", "epoch-s". Default "iso".
        settle: seconds before the server's now at which walks end, for messages that
            become visible late (D11). Default 5.
        max_response_bytes: the largest answer accepted, decoded. Default 16 MiB.
        trust_env: whether proxies and .netrc of the environment are used. Default False.
        ssl: an `ssl.SSLContext` of your own, which verifies and has TLS 1.2 or newer as
            its least; None is the system's trust.
        allow_plain_http: accept an http URL to a host that is not loopback; the key
            then travels in clear text. Default False.

    Raises:
        ConfigurationError: a value is not as above; the text names it.
    """

    base_url: str = field(default=DEFAULT_BASE_URL)
    timeout: float = field(default=60.0, converter=_to_seconds, validator=_seconds)
    attempt_timeout: float = field(default=20.0, converter=_to_seconds, validator=_seconds)
    connect_timeout: float = field(default=10.0, converter=_to_seconds, validator=_seconds)
    max_connections: int = _number(100, 1)
    retry: RetryPolicy = field(factory=RetryPolicy, validator=_check_retry)
    page_size: int = _number(100, 1, 100)
    first_page: int = _number(1, 0, 1)
    timestamp_format: TimestampFormat = field(default="iso", validator=_check_format)
    settle: float = field(default=5.0, converter=_to_seconds, validator=_seconds)
    max_response_bytes: int = _number(16 * 1024 * 1024, 1024)
    trust_env: bool = _flag(False)
    ssl: _ssl.SSLContext | None = field(default=None, validator=_check_ssl)
    allow_plain_http: bool = _flag(False)

    def __attrs_post_init__(self) -> None:
        # The one field whose form is normalised: no trailing slash, so that a path can follow.
        url = check_base_url(self.base_url, allow_plain_http=self.allow_plain_http)
        object.__setattr__(self, "base_url", url)

    @classmethod
    def from_env(cls) -> Config:
        """The defaults, with `base_url` from ``IOTTLY_BASE_URL`` where that is set.

        Raises:
            ConfigurationError: the URL is not accepted; one of plain http to another host
                than loopback is not, for which there is `allow_plain_http` in `Config(...)`.
        """
        url = os.environ.get("IOTTLY_BASE_URL")
        if not url:
            return cls()
        return cls(base_url=check_base_url(url, allow_plain_http=False, name="IOTTLY_BASE_URL"))


def check_base_url(url: object, *, allow_plain_http: bool, name: str = "base_url") -> str:
    """The base URL without a trailing slash, if it is one that the key may be sent to.

    Args:
        url: as it was given.
        allow_plain_http: whether http is taken to any host.
        name: where it was given, for the error.

    Raises:
        ConfigurationError: not a URL of scheme and host, with user, path, query or
            fragment, or http to a host that is not loopback.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"{name} must be a URL of visible ASCII, such as https://api.cloud.iottly.com"
        )
    url = url.rstrip("/")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or parts.scheme not in ("https", "http") or port == 0:
        raise ConfigurationError(f"{name} must be https://host[:port], not {_shown(url)}")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{name} must not hold a user or password")
    if "\\" in url or parts.path or "?" in url or "#" in url:
        raise ConfigurationError(
            f"{name} must be the host alone, without path or query, not {_shown(url)}; "
            "the library adds /v1.0/ and /v1/"
        )
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(host):
        otherwise = ", or allow_plain_http=True" if name == "base_url" else ""
        raise ConfigurationError(
            f"{name} {_shown(url)} would send the key in clear text; use https, "
            f"or a loopback address{otherwise}"
        )
    return url


def _shown(url: str) -> str:
    """A URL fit for an error's text: what stands before an @ may be a password."""
    return repr(url.split("?")[0].rpartition("@")[2][:120])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
