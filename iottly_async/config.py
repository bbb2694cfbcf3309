"""The settings: frozen, keyword-only and checked when built.

The API key is not a setting. It is an argument of the session, so that a configuration can be
logged, compared and pickled.
"""

from __future__ import annotations

import os
import ssl as _ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, Literal

from attrs import Attribute, field, fields_dict, frozen

from .checks import Seconds as Seconds
from .checks import flag as flag
from .checks import seconds as seconds
from .checks import whole as whole
from .errors import ConfigurationError
from .profiles import PROXY_WORDS, Profile, read_profile
from .texts import quoted
from .urls import parse_server_url
from .variables import (
    FORM,
    TextForm,
    boolean,
    checked,
    duration,
    number,
    read_variables,
    to_seconds,
    variable_of,
    written,
)

TimestampFormat = Literal["iso", "iso-z", "epoch-ms", "epoch-s"]

DEFAULT_BASE_URL = "https://api.cloud.iottly.com"
TIMESTAMP_FORMATS: tuple[TimestampFormat, ...] = ("iso", "iso-z", "epoch-ms", "epoch-s")


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

    max_attempts: int = field(default=4, validator=checked, metadata=number(1))
    initial_delay: float = field(
        default=0.2, converter=to_seconds, validator=checked, metadata=duration(zero=True)
    )
    max_delay: float = field(
        default=10.0, converter=to_seconds, validator=checked, metadata=duration()
    )
    max_refusals: int = field(default=20, validator=checked, metadata=number(0))
    budget: int = field(default=500, validator=checked, metadata=number(0))


def _check_format(value: object, name: str) -> None:
    if value not in TIMESTAMP_FORMATS:
        shown = quoted(value) if isinstance(value, str) else repr(value)
        raise ConfigurationError(f"{name} must be one of {_FORMATS}, not {shown}")


_FORMATS = ", ".join(TIMESTAMP_FORMATS)
_FORMAT_FORM = TextForm(accepted=f"one of {_FORMATS}", parse=str, check=_check_format)
_URL_FORM = TextForm(accepted="https://host[:port]", parse=str, check=lambda _value, _name: None)


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
            ``https_proxy=http://host:port``, and hosts without one ``no_proxy=host,host``. For
            an operator this setting is ``--proxy env``, ``IOTTLY_PROXY=env``, or
            ``proxy = "env"`` in a profile. Default False.
        ssl: an `ssl.SSLContext` of your own, which verifies certificates and host names and
            accepts TLS 1.2 or newer; one without a lowest version of TLS, as Debian's Python
            makes it, gets TLS 1.2 as such. None, the default, is the system's trust.
        allow_plain_http: whether an http URL to a host that is not loopback is accepted. The
            key is then sent in clear text. Default False.

    Raises:
        ConfigurationError: a value is not accepted; the text names it.
    """

    base_url: str = field(default=DEFAULT_BASE_URL, validator=checked, metadata=written(_URL_FORM))
    timeout: float = field(
        default=60.0, converter=to_seconds, validator=checked, metadata=duration()
    )
    attempt_timeout: float = field(
        default=20.0, converter=to_seconds, validator=checked, metadata=duration()
    )
    patience: float = field(
        default=300.0,
        converter=to_seconds,
        validator=checked,
        metadata=duration(zero=True, endless=True),
    )
    connect_timeout: float = field(
        default=10.0, converter=to_seconds, validator=checked, metadata=duration()
    )
    max_connections: int = field(default=100, validator=checked, metadata=number(1))
    retry: RetryPolicy = field(factory=RetryPolicy, validator=_check_retry)
    page_size: int = field(default=100, validator=checked, metadata=number(1, 100))
    first_page: int = field(default=1, validator=checked, metadata=number(0, 1))
    timestamp_format: TimestampFormat = field(
        default="iso", validator=checked, metadata=written(_FORMAT_FORM)
    )
    verify_ties: bool = field(default=True, validator=checked, metadata=boolean())
    settle: float = field(
        default=5.0, converter=to_seconds, validator=checked, metadata=duration(zero=True)
    )
    max_response_bytes: int = field(
        default=16 * 1024 * 1024, validator=checked, metadata=number(1024)
    )
    trust_env: bool = field(default=False, validator=checked, metadata=boolean(PROXY_WORDS))
    ssl: _ssl.SSLContext | None = field(default=None, validator=_check_ssl)
    allow_plain_http: bool = field(default=False, validator=checked, metadata=boolean())

    def __attrs_post_init__(self) -> None:
        # Without a trailing slash, so that a path can follow.
        url = check_base_url(self.base_url, allow_plain_http=self.allow_plain_http)
        object.__setattr__(self, "base_url", url)

    @classmethod
    def from_env(cls) -> Config:
        """Make settings from the environment.

        Each setting but `ssl` has a variable: ``IOTTLY_`` and its name in capital letters, such
        as ``IOTTLY_BASE_URL`` or ``IOTTLY_TIMEOUT=30``. Those of `retry` begin with
        ``IOTTLY_RETRY_``. Flags are true or false. `trust_env` is written
        ``IOTTLY_PROXY=env``. An empty variable counts as not set.

        Returns:
            The settings. One whose variable is not set has its default.

        Raises:
            ConfigurationError: a value is not accepted; the text names the variable and says
                which values are.
        """
        return merged(Profile(), os.environ)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, profile: str | None = None) -> Config:
        """Read settings from a TOML file, such as ``iottly doctor --save`` writes.

        A setting is written by its name here, `retry` as a table (``retry.max_attempts = 2``),
        and seconds as a number. `trust_env` may be written ``proxy = "env"``. The file may hold
        `project` and `key_command`, which the command line reads and this method ignores. It
        never holds a key.

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
            The settings. The environment's, as in `from_env`, come before those of the file.

        Raises:
            ConfigurationError: the file cannot be read, has no such profile, has an unknown
                name or a value that is not accepted, or holds a key. Or a variable of the
                environment is not accepted.
        """
        return merged(profile_of(path, profile), os.environ)


_RETRY: Final = tuple(fields_dict(RetryPolicy))

WRITABLE: Final = tuple(name for name in fields_dict(Config) if name != "ssl")
"""The settings that a file can hold: all but `ssl`, which is an object of the program's."""

_SHORT: Final = {"trust_env": "proxy"}
"""Settings that have another name where an operator writes them."""


def _forms() -> dict[str, TextForm]:
    found = {
        _SHORT.get(name, name): field.metadata[FORM]
        for name, field in fields_dict(Config).items()
        if FORM in field.metadata
    }
    retry = fields_dict(RetryPolicy).items()
    return found | {f"retry.{name}": field.metadata[FORM] for name, field in retry}


FORMS: Final[Mapping[str, TextForm]] = _forms()
"""How each setting is written in the environment, by its name: "timeout", "retry.budget"."""


def profile_of(path: str | os.PathLike[str], profile: str | None) -> Profile:
    """Read a profile of a file with settings; see `Config.from_file`.

    Raises:
        ConfigurationError: the file or the profile is not accepted.
    """
    return read_profile(path, profile, settings=WRITABLE, tables={"retry": _RETRY})


def merged(profile: Profile, environ: Mapping[str, str]) -> Config:
    """Put together the environment's settings, those of a profile, and the defaults.

    Args:
        profile: whose settings come after those of the environment.
        environ: the environment variables.

    Returns:
        The settings.

    Raises:
        ConfigurationError: a value is not accepted. The text names the variable or the file.
    """
    values = {**profile.values, "retry": {**profile.values.get("retry", {})}}
    given = read_variables(FORMS, environ)
    for name, value in given.items():
        table, _, inner = name.rpartition(".")
        if table:
            values[table][inner] = value
        else:
            values[next((long for long, short in _SHORT.items() if short == name), name)] = value
    if "base_url" in given:
        check_base_url(
            given["base_url"],
            allow_plain_http=bool(values.get("allow_plain_http")),
            name=variable_of("base_url"),
        )
    try:
        values["retry"] = RetryPolicy(**values["retry"])
        return Config(**values)
    except ConfigurationError as error:
        refused = str(error)
    raise ConfigurationError(f"{profile.path}: {refused}")


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
    shown = quoted(url)
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
        allowed = "allow_plain_http=True"
        if name == variable_of("base_url"):
            allowed = f"{variable_of('allow_plain_http')}=true"
        raise ConfigurationError(
            f"{name} {shown} would send the key in clear text; use https, "
            f"or a loopback address, or {allowed}"
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
