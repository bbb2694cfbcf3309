"""The settings: frozen, keyword-only and checked when built.

The API key is not a setting. It is an argument of the session, so that a configuration can be
logged, compared and pickled.
"""

from __future__ import annotations

import os
import ssl as _ssl
from datetime import timedelta
from ipaddress import ip_address
from math import inf, isfinite
from typing import Any, Literal

from attrs import Attribute, field, fields_dict, frozen

from .errors import ConfigurationError
from .profiles import PROJECT, read_profile
from .texts import without_secrets
from .urls import parse_server_url

Seconds = float | timedelta
TimestampFormat = Literal["iso", "iso-z", "epoch-ms", "epoch-s"]

DEFAULT_BASE_URL = "https://api.cloud.iottly.com"
TIMESTAMP_FORMATS: tuple[TimestampFormat, ...] = ("iso", "iso-z", "epoch-ms", "epoch-s")


def seconds(value: object, *, name: str, zero: bool = False, endless: bool = False) -> float:
    """Check a duration that a caller gave.

    Args:
        value: a number of seconds, or a timedelta.
        name: of the argument, for the error.
        zero: whether 0 is accepted.
        endless: whether `math.inf` is accepted.

    Returns:
        Seconds.

    Raises:
        ConfigurationError: the value is not a number of seconds, or is out of range.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if endless and isinstance(value, float) and value == inf:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigurationError(
            f"{name} must be a finite number of seconds or a timedelta, not {value!r}"
        )
    if value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise ConfigurationError(f"{name} must be {least} seconds, not {value!r}")
    return float(value)


def whole(value: object, *, name: str, least: int, most: int | None = None) -> int:
    """Check a whole number that a caller gave.

    Args:
        value: what the caller gave.
        name: of the argument, for the error.
        least: the smallest number that is accepted.
        most: the largest number that is accepted; None sets no limit.

    Returns:
        The number.

    Raises:
        ConfigurationError: the value is not an int, or is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ConfigurationError(f"{name} must be {bounds}, not {value}")
    return value


def flag(value: object, *, name: str) -> bool:
    """Check a bool that a caller gave.

    Args:
        value: what the caller gave.
        name: of the argument, for the error.

    Returns:
        The bool.

    Raises:
        ConfigurationError: the value is not a bool.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")
    return value


def _seconds(_: object, attribute: Attribute[float], value: object) -> None:
    name = attribute.name
    seconds(value, name=name, zero=name in _MAY_BE_ZERO, endless=name in _MAY_BE_ENDLESS)


_MAY_BE_ZERO = frozenset({"settle", "initial_delay", "patience"})
_MAY_BE_ENDLESS = frozenset({"patience"})


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

    An answer of 429 does not count as an attempt: the limiter makes the call wait, until the
    call's deadline or `max_refusals` ends it.

    Example:
        ```python
        config = Config(retry=RetryPolicy(max_attempts=2, max_delay=timedelta(seconds=5)))
        ```

    Work that goes by itself, such as a walk, is not bound by this policy as long as its
    patience lasts; see `Config.patience`.

    Attributes:
        max_attempts: attempts of one call, the first included; 1 means no retry. Default 4.
        initial_delay: seconds, or a `timedelta`: the upper bound of the first pause. The
            bound doubles with each attempt, and full jitter is applied. Default 0.2.
        max_delay: seconds, or a `timedelta`: the upper bound of any computed pause.
            Default 10.
        max_refusals: answers of 429 after which a call fails. Default 20.
        budget: tokens of the retry budget that all calls of a session share. A retry costs 5
            tokens, after a timeout 10. A call that succeeds gives back what its retries cost,
            or 1 if it needed none. The budget stops a storm of retries in an outage, and has
            no effect otherwise. Default 500.

    Raises:
        ConfigurationError: a value is not accepted; the text names it.
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
    if value.minimum_version is _ssl.TLSVersion.MINIMUM_SUPPORTED:
        # The default of Debian's Python, which leaves the choice to OpenSSL's configuration.
        value.minimum_version = _ssl.TLSVersion.TLSv1_2
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
    """The settings of a session.

    Example:
        ```python
        config = Config(timeout=30, attempt_timeout=timedelta(seconds=5), page_size=50)
        session = IottlySession(api_key, config=config)
        ```

    Attributes:
        base_url: scheme, host and port, without a path: https, or http to a loopback
            address. Default ``https://api.cloud.iottly.com``.
        timeout: seconds, or a `timedelta`, for a whole call: waiting for a connection and for
            quota, attempts and pauses. For pages of a walk the wait for quota does not count.
            Default 60.
        attempt_timeout: seconds, or a `timedelta`, for one attempt with connecting.
            Default 20.
        patience: seconds, or a `timedelta`, for which work that goes by itself waits out
            failures that pass: walks, filling gaps of a stream, ingestion and its partitions
            (D18). It counts from the first failure of a call until the call succeeds; waits
            for quota do not count. `math.inf` waits without end, and 0 fails after the
            retries of `retry`. Methods that walk take an argument of the same name; `follow`
            and a job that follows wait without end in any case. A call that somebody waits
            for is not patient: `timeout` bounds it. Default 300.
        connect_timeout: seconds, or a `timedelta`, for name resolution, TCP and TLS together.
            Default 10.
        max_connections: the largest number of requests under way at the same time.
            Default 100.
        retry: how often and how soon a failed attempt is tried again. Default
            `RetryPolicy()`.
        page_size: messages that a walk asks for in one request, 1 to 100. Default 100.
        first_page: the number of the service's first page, 0 or 1 (D3). Default 1.
        timestamp_format: how times are sent (D2). "iso", the default, is the naive UTC ISO
            text that the API itself emits; the others are "iso-z", "epoch-ms" and "epoch-s".
        verify_ties: whether walks, following and ingestion prove that a millisecond with more
            messages than a page holds was read whole, or raise `UnstableTieOrderError` (D6).
            False trusts that the service keeps one order among such messages. Default True.
        settle: seconds, or a `timedelta`, that walks end before the server's present time,
            for messages that become visible late (D11). Default 5.
        max_response_bytes: the largest answer that is accepted, in bytes after decompression,
            1024 or more. Default 16,777,216 (16 MiB).
        trust_env: whether proxies and .netrc of the environment are used. A proxy is written
            ``https_proxy=http://host:port``. Default False.
        ssl: an `ssl.SSLContext` of your own, which verifies certificates and host names and
            accepts TLS 1.2 or newer; one without a lowest version of TLS, as Debian's Python
            makes it, gets TLS 1.2 as such. None, the default, is the system's trust.
        allow_plain_http: whether an http URL to a host that is not loopback is accepted. The
            key is then sent in clear text. Default False.

    Raises:
        ConfigurationError: a value is not accepted; the text names it.
    """

    base_url: str = field(default=DEFAULT_BASE_URL)
    timeout: float = field(default=60.0, converter=_to_seconds, validator=_seconds)
    attempt_timeout: float = field(default=20.0, converter=_to_seconds, validator=_seconds)
    patience: float = field(default=300.0, converter=_to_seconds, validator=_seconds)
    connect_timeout: float = field(default=10.0, converter=_to_seconds, validator=_seconds)
    max_connections: int = _number(100, 1)
    retry: RetryPolicy = field(factory=RetryPolicy, validator=_check_retry)
    page_size: int = _number(100, 1, 100)
    first_page: int = _number(1, 0, 1)
    timestamp_format: TimestampFormat = field(default="iso", validator=_check_format)
    verify_ties: bool = _flag(True)
    settle: float = field(default=5.0, converter=_to_seconds, validator=_seconds)
    max_response_bytes: int = _number(16 * 1024 * 1024, 1024)
    trust_env: bool = _flag(False)
    ssl: _ssl.SSLContext | None = field(default=None, validator=_check_ssl)
    allow_plain_http: bool = _flag(False)

    def __attrs_post_init__(self) -> None:
        # Without a trailing slash, so that a path can follow.
        url = check_base_url(self.base_url, allow_plain_http=self.allow_plain_http)
        object.__setattr__(self, "base_url", url)

    @classmethod
    def from_env(cls) -> Config:
        """Make the default settings, with `base_url` from ``IOTTLY_BASE_URL`` if that is set.

        Returns:
            The settings.

        Raises:
            ConfigurationError: the URL is not accepted. Plain http to a host that is not
                loopback needs ``Config(allow_plain_http=True)``.
        """
        url = os.environ.get("IOTTLY_BASE_URL")
        if not url:
            return cls()
        return cls(base_url=check_base_url(url, allow_plain_http=False, name="IOTTLY_BASE_URL"))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, profile: str | None = None) -> Config:
        """Read settings from a TOML file, such as ``iottly doctor --save`` writes.

        A setting is written by its name here, `retry` as a table (``retry.max_attempts = 2``),
        and seconds as a number. The file may name the `project`, which the command line reads
        and this method ignores. It never holds a key.

        Example:
            ```python
            config = Config.from_file("config.toml")  # first_page = 0
            session = IottlySession(config=config)  # IOTTLY_API_KEY from the environment
            ```

        Args:
            path: of the file.
            profile: a table of the file, such as ``[plant]``, whose settings come before
                those at its top. None, the default, reads the top alone.

        Returns:
            The settings. One that the file does not have is as in `from_env`.

        Raises:
            ConfigurationError: the file cannot be read, has no such profile, has an unknown
                name or a value that is not accepted, or holds a key.
        """
        values: dict[str, Any] = read_profile(
            path, profile, settings=WRITABLE, tables={"retry": tuple(fields_dict(RetryPolicy))}
        )
        values.pop(PROJECT, None)
        try:
            if "retry" in values:
                values["retry"] = RetryPolicy(**values["retry"])
            if "base_url" not in values:
                values["base_url"] = cls.from_env().base_url
            return cls(**values)
        except ConfigurationError as error:
            refused = str(error)
        raise ConfigurationError(f"{os.fspath(path)}: {refused}")


WRITABLE = tuple(name for name in fields_dict(Config) if name != "ssl")
"""The settings that a file can hold: all but `ssl`, which is an object of the program's."""


def check_base_url(url: object, *, allow_plain_http: bool, name: str = "base_url") -> str:
    """Check a base URL that the key may be sent to.

    Args:
        url: what the caller gave.
        allow_plain_http: whether http is accepted to any host.
        name: of the argument or variable, for the error.

    Returns:
        The URL without a trailing slash.

    Raises:
        ConfigurationError: the URL is not scheme and host alone, or is http to a host that is
            not loopback.
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(
            f"{name} must be a URL of visible ASCII, such as https://api.cloud.iottly.com"
        )
    url = url.rstrip("/")
    shown = repr(without_secrets(url)[:120])
    parts = parse_server_url(url)
    if parts is None or parts.scheme not in ("https", "http"):
        raise ConfigurationError(f"{name} must be https://host[:port], not {shown}")
    if parts.user is not None:
        raise ConfigurationError(f"{name} must not hold a user or password")
    if parts.path or parts.rest:
        raise ConfigurationError(
            f"{name} must be the host alone, without path or query, not {shown}; "
            "the library adds /v1.0/ and /v1/"
        )
    if parts.scheme == "http" and not allow_plain_http and not _is_loopback(parts.host):
        otherwise = ", or allow_plain_http=True" if name != "IOTTLY_BASE_URL" else ""
        raise ConfigurationError(
            f"{name} {shown} would send the key in clear text; use https, "
            f"or a loopback address{otherwise}"
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
