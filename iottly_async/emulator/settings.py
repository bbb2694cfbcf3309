"""The settings of the emulator, with units and defaults.

``EmulatorSettings`` is what the emulator is made from. ``EmulatorOptions`` is the same list as a
typed dictionary, so that a type checker can check ``Emulator(devices=3)``.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from os import PathLike, fspath
from random import Random
from typing import Any, Literal, TypedDict, get_args

import attrs

DEVELOPMENT_KEY = "ik_dev_iottly_emulator_0000000000"
"""The API key that every emulator accepts by default, on both generations. No other server does."""

REFERENCE_END = datetime(2026, 5, 1, tzinfo=UTC)
"""When the made-up history ends by default: fixed, so that the same seed gives the same bytes."""

TIERS: dict[str, int | None] = {"starter": 60, "pro": 600, "enterprise": None}
"""The service's tiers and their requests a minute; None is unlimited."""

MAX_SECONDS = 1e9
"""The longest that anything may last or be apart, in seconds: some 31 years."""

MAX_DAYS = 36_500
"""The longest history, in days: some 100 years."""

_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_TOKEN = re.compile(r"[!-~]{8,}")
# One slash: pathlib removes the other. A single letter is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

Tier = Literal["starter", "pro", "enterprise"]
Algorithm = Literal["fixed", "sliding", "bucket"]
DateForm = Literal["text", "epoch-ms", "numberLong"]
Rounding = Literal["up", "down"]
RateHeaders = Literal["both", "v1", "none"]
RefusalBody = Literal["api", "html"]
HistoryOrder = Literal["newest-first", "oldest-first"]
EmptyValues = Literal["default", "as-given"]
CommandDefaults = Mapping[str, Mapping[str, Any]]
Latency = float | tuple[float, float]


Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]
"""A validator of attrs."""


def one_of(choices: tuple[object, ...]) -> Check:
    """A validator whose ``ValueError`` names the setting, the value given, and the choices."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value not in choices:
            raise ValueError(f"{attribute.name}={value!r}: one of {', '.join(map(repr, choices))}")

    return check


def whole(low: int, high: int | None = None, *, none: bool = False) -> Check:
    """A validator for whole numbers within bounds (None: no bound), and for None with ``none``."""
    bounds = f"{low} to {high}" if high is not None else f"{low} or more"

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if none and value is None:
            return
        if type(value) is not int or value < low or (high is not None and value > high):
            raise ValueError(f"{attribute.name}={value!r}: must be a whole number, {bounds}")

    return check


def number(
    low: float, high: float = MAX_SECONDS, *, above: bool = False, none: bool = False
) -> Check:
    """A validator for numbers as ``check_number`` has them, and for None with ``none``."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not (none and value is None):
            check_number(attribute.name, value, low, high, above=above)

    return check


def check_number(
    name: str, value: Any, low: float, high: float = MAX_SECONDS, *, above: bool = False
) -> None:
    """``ValueError`` that names the value unless it is a number from ``low`` to ``high``.

    With ``above``, it must be more than ``low``. A boolean is no number, and neither is NaN.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (above and value == low):
        bounds = f"more than {low:g}" if above else f"{low:g}"
        raise ValueError(f"{name}={value!r}: must be a number, {bounds} to {high:g}")


def copied(headers: Mapping[str, str]) -> Mapping[str, str]:
    """A converter that copies headers, so that a later change by the caller has no effect."""
    return dict(headers)


def is_loopback(host: str | None) -> bool:
    """Whether a host is ``localhost`` or an address of the loopback interface."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _host_names(_: Any, attribute: "attrs.Attribute[Any]", names: tuple[str, ...]) -> None:
    """A validator for a tuple of hosts, each with or without a port."""
    for name in (names,) if isinstance(names, str) else names:
        if isinstance(names, str) or not _HOST.fullmatch(name):
            raise ValueError(
                f"{attribute.name}={names!r}: must be a tuple of names or addresses, such as "
                "'emulator' or 'emulator.example.org:8080'"
            )


def _path(_: Any, attribute: "attrs.Attribute[Any]", path: str | PathLike[str] | None) -> None:
    """A validator for a path of this machine, or None."""
    text = "x" if path is None else fspath(path)
    if not isinstance(text, str) or not text or "\0" in text or _SCHEME.match(text):
        raise ValueError(f"{attribute.name}={path!r}: must be the path of a file on this machine")


def _token(_: Any, attribute: "attrs.Attribute[Any]", token: str | None) -> None:
    """A validator for a token that can stand in a header; its error does not show it."""
    if token is not None and not _TOKEN.fullmatch(token):
        raise ValueError(f"{attribute.name}: must be 8 or more printable characters, no spaces")


def as_range(value: Latency) -> tuple[float, float]:
    """The lowest and the highest of a setting that is seconds or a range of seconds."""
    return value if isinstance(value, tuple) else (value, value)


def check_range(name: str, value: Latency) -> None:
    """``ValueError`` that names the value unless it is seconds or a range (low, high)."""
    ends = as_range(value)
    if len(ends) != 2:
        raise ValueError(f"{name}={value!r}: must be seconds or a range (low, high)")
    check_number(name, ends[0], 0)
    check_number(name, ends[1], ends[0])


def seeded_random(seed: int | str, purpose: str) -> Random:
    """A generator of its own for a purpose, so that an extra draw here changes nothing there."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - for made-up data, not for secrets


def _command_defaults() -> CommandDefaults:
    return {
        "echo": {"content": "hello"},
        "read_sensor_data": {"sensor": "temperature", "sampling": {"count": 1, "interval_s": 60}},
    }


@attrs.frozen(kw_only=True)
class EmulatorSettings:
    """The settings of an emulator; immutable, and validated when made (``ValueError``).

    Attributes:
        host: The address to bind: an IP address or ``localhost``. ``127.0.0.1`` by default. One
            that other machines reach, such as ``0.0.0.0``, needs ``allowed_hosts``.
        port: The port to bind, 0 to 65535. 0, the default, takes a free one.
        allowed_hosts: The names by which other machines, or a proxy's clients, reach the emulator:
            each a host that may stand in the ``Host`` header, with a port or, for any port,
            without. Requests for other hosts are refused. None by default: only loopback names
            are accepted.
        control_token: A token that the control address needs, as ``Authorization: Bearer TOKEN``.
            None, the default: it needs none; if there are ``allowed_hosts``, it then answers this
            machine only.
        open_control: Whether the control address answers whoever reaches the emulator, without a
            token. False by default.
        api_keys: The API keys that are accepted, each with a quota of its own. The first is
            ``Emulator.api_key``. By default ``DEVELOPMENT_KEY`` alone.
        project_id: The project's id on v1.0.
        max_body: How many bytes the body of a request may have; a longer one is answered with
            413. 1 MiB by default.
        record_limit: How many requests are remembered; older ones are forgotten. 200,000 by
            default.
        seed: What the fleet is made from: the same seed and settings give the same fleet, byte
            for byte. 1 by default.
        devices: How many devices the fleet has. 20 by default.
        messages: How many messages the history has, over all devices. 100,000 by default.
        days: How many days the history covers. 30 by default.
        until: When the history ends, exclusive and aware. ``REFERENCE_END`` by default, which is
            in the past, so a walk without bounds finds the whole history.
        licenses: How many licences are available, besides those paired with a device. 5 by
            default.
        jsonl: A file of messages, one JSON object a line, that becomes the fleet. ``devices``,
            ``messages``, ``days`` and ``until`` are then ignored. None, the default, makes up a
            fleet.
        database: A file to keep the messages in; the next start with the same fleet finds them
            again. None, the default, keeps them in memory.
        rate_limit: How many requests an API key may send in one window (D1): a number, a tier's
            name (``starter`` 60, ``pro`` 600, ``enterprise`` unlimited), or None, the default, for
            no limit.
        rate_window: The window's length in seconds. 60 by default.
        rate_algorithm: How requests are counted: ``fixed`` windows (the default), a ``sliding``
            log, or a token ``bucket``.
        rate_headers: Which generations send the three limit headers: ``both`` (the default),
            ``v1`` alone, or ``none``.
        refusal_status: The status of a request that the rate limit refuses: 429 (the default), or
            503, as some proxies answer.
        refusal_body: The body of a refusal: the ``api``'s own error (the default), or a proxy's
            ``html`` page.
        reset_rounding: How ``X-RateLimit-Reset`` is rounded to whole seconds: ``up`` (the default)
            or ``down``.
        retry_after: Whether a refusal has a ``Retry-After`` header. False by default.
        latency: How many seconds a request takes, or a range (low, high) to draw from. 0 by
            default.
        clock_offset: How many seconds the server's clock is ahead of real time; negative is
            behind. 0 by default.
        stamp_offset: How many seconds the clock that gives messages their timestamps is ahead of
            the server's clock, which the ``Date`` header shows (D11); negative is behind. 0 by
            default.
        date_rounding: How the ``Date`` header is rounded to whole seconds: ``down`` (the default),
            or ``up``, to the next one, so that it is later than any stamp before the answer.
        late_by: How many seconds after it was appended a message becomes visible (D11), or a
            range (low, high) to draw from for each message. 0 by default.
        command_types: The command types that the project declares. ``echo`` and
            ``read_sensor_data`` by default.
        command_defaults: The values that the project declares for its command types: an object for
            each type, which may be nested. A v1.0 command sends them with its own values set in
            them (D15).
        empty_values: What a v1.0 command does with a value that is ``""`` or null (D15): the
            device gets the declared ``default`` (the default), or the value ``as-given``.
        undeclared_status: The status of a v1.0 command whose type is not declared: 400 (the
            default), or 500 with the text "list index out of range", which an unknown device
            gets as well (D16).
        command_messages: Whether a device sends a message for each command that it executes.
            False by default.
        pending_for: How many seconds a v1 command is ``pending``. 0.05 by default.
        running_for: How many seconds a v1 command is ``running`` after that. 0.1 by default.
        first_page: The number of the first page, 0 or 1 (D3). 1 by default.
        round_from: Whether ``from`` is rounded down to a whole second. False by default.
        page_size_cap: The largest page; a larger ``l`` is reduced to it without an error. None,
            the default, allows the documented 100.
        unstable_ties: Whether messages of one millisecond come in a different order in each
            answer (D6). False by default.
        history_order: The order of the history's answer (D13): ``newest-first`` (the default) or
            ``oldest-first``. The newest messages are selected either way.
        plain_filters: Whether the history takes its filter as plain JSON (D14), as the open-source
            core does: ``$date`` and ``$oid`` stay objects, which equal no time and no id, and a
            ``from`` or ``to`` takes the place of the device or the project. False by default.
        extra_fields: Whether devices and messages have fields that the documents do not name (D8).
            False by default.
        date_form: What ``$date`` holds in the history endpoint (D7): ``text`` (the default),
            ``epoch-ms`` or ``numberLong``.
    """

    host: str = "127.0.0.1"
    port: int = attrs.field(default=0, validator=whole(0, 65535))
    allowed_hosts: tuple[str, ...] = attrs.field(default=(), validator=_host_names)
    control_token: str | None = attrs.field(default=None, repr=False, validator=_token)
    open_control: bool = False
    api_keys: tuple[str, ...] = (DEVELOPMENT_KEY,)
    project_id: str = "59c19cacecc01400075f3bc9"
    max_body: int = attrs.field(default=1_048_576, validator=whole(1))
    record_limit: int = attrs.field(default=200_000, validator=whole(1))

    seed: int | str = 1
    devices: int = attrs.field(default=20, validator=whole(0))
    messages: int = attrs.field(default=100_000, validator=whole(0))
    days: int = attrs.field(default=30, validator=whole(1, MAX_DAYS))
    until: datetime = REFERENCE_END
    licenses: int = attrs.field(default=5, validator=whole(0))
    jsonl: str | PathLike[str] | None = attrs.field(default=None, validator=_path)
    database: str | PathLike[str] | None = attrs.field(default=None, validator=_path)

    rate_limit: int | Tier | None = None
    rate_window: float = attrs.field(default=60.0, validator=number(0, above=True))
    rate_algorithm: Algorithm = attrs.field(default="fixed", validator=one_of(get_args(Algorithm)))
    rate_headers: RateHeaders = attrs.field(default="both", validator=one_of(get_args(RateHeaders)))
    refusal_status: int = attrs.field(default=429, validator=one_of((429, 503)))
    refusal_body: RefusalBody = attrs.field(default="api", validator=one_of(get_args(RefusalBody)))
    reset_rounding: Rounding = attrs.field(default="up", validator=one_of(get_args(Rounding)))
    retry_after: bool = False

    latency: Latency = 0.0
    clock_offset: float = attrs.field(default=0.0, validator=number(-MAX_SECONDS))
    stamp_offset: float = attrs.field(default=0.0, validator=number(-MAX_SECONDS))
    date_rounding: Rounding = attrs.field(default="down", validator=one_of(get_args(Rounding)))
    late_by: Latency = 0.0
    command_types: frozenset[str] = frozenset({"echo", "read_sensor_data"})
    command_defaults: CommandDefaults = attrs.field(factory=_command_defaults, hash=False)
    empty_values: EmptyValues = attrs.field(
        default="default", validator=one_of(get_args(EmptyValues))
    )
    undeclared_status: int = attrs.field(default=400, validator=one_of((400, 500)))
    command_messages: bool = False
    pending_for: float = attrs.field(default=0.05, validator=number(0))
    running_for: float = attrs.field(default=0.1, validator=number(0))

    first_page: int = attrs.field(default=1, validator=one_of((0, 1)))
    round_from: bool = False
    page_size_cap: int | None = None
    unstable_ties: bool = False
    history_order: HistoryOrder = attrs.field(
        default="newest-first", validator=one_of(get_args(HistoryOrder))
    )
    plain_filters: bool = False
    extra_fields: bool = False
    date_form: DateForm = attrs.field(default="text", validator=one_of(get_args(DateForm)))

    def __attrs_post_init__(self) -> None:
        if not is_loopback(self.host) and not (self.allowed_hosts and _is_address(self.host)):
            raise ValueError(
                f"host={self.host!r}: the emulator binds loopback addresses only "
                "(127.0.0.1, ::1 or localhost); another IP address needs allowed_hosts, the names "
                "by which other machines reach it"
            )
        if isinstance(self.api_keys, str) or not self.api_keys or not all(self.api_keys):
            raise ValueError("api_keys: must be a tuple of at least one key, none of them empty")
        if not isinstance(self.seed, int | str):
            raise ValueError(f"seed={self.seed!r}: must be a whole number or a text")  # noqa: TRY004
        check_range("latency", self.latency)
        check_range("late_by", self.late_by)
        if self.until.tzinfo is None:
            raise ValueError("until: must be an aware datetime; this one has no timezone")
        if not 1970 <= self.until.year - self.days // 365 <= self.until.year <= 9900:
            raise ValueError("until: the history must lie between 1970 and 9900")
        if self.messages and not self.devices:
            raise ValueError("messages: needs at least one device")
        if self.rate_limit in TIERS:
            return
        if self.rate_limit is not None and not (
            isinstance(self.rate_limit, int) and self.rate_limit > 0
        ):
            raise ValueError(
                f"rate_limit={self.rate_limit!r}: must be a positive number of requests, "
                f"one of {', '.join(TIERS)}, or None for unlimited"
            )

    @property
    def requests_a_window(self) -> int | None:
        """The rate limit as requests a window; None is unlimited."""
        return TIERS[self.rate_limit] if isinstance(self.rate_limit, str) else self.rate_limit

    @property
    def latency_range(self) -> tuple[float, float]:
        """The lowest and the highest latency of a request, in seconds."""
        return as_range(self.latency)


class EmulatorOptions(TypedDict, total=False):
    """The settings as keyword arguments; ``EmulatorSettings`` describes each."""

    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    control_token: str | None
    open_control: bool
    api_keys: tuple[str, ...]
    project_id: str
    max_body: int
    record_limit: int
    seed: int | str
    devices: int
    messages: int
    days: int
    until: datetime
    licenses: int
    jsonl: str | PathLike[str] | None
    database: str | PathLike[str] | None
    rate_limit: int | Tier | None
    rate_window: float
    rate_algorithm: Algorithm
    rate_headers: RateHeaders
    refusal_status: int
    refusal_body: RefusalBody
    reset_rounding: Rounding
    retry_after: bool
    latency: Latency
    clock_offset: float
    stamp_offset: float
    date_rounding: Rounding
    late_by: Latency
    command_types: frozenset[str]
    command_defaults: CommandDefaults
    empty_values: EmptyValues
    undeclared_status: int
    command_messages: bool
    pending_for: float
    running_for: float
    first_page: int
    round_from: bool
    page_size_cap: int | None
    unstable_ties: bool
    history_order: HistoryOrder
    plain_filters: bool
    extra_fields: bool
    date_form: DateForm
