"""Every switch of the emulator, with its unit and its default.

``EmulatorSettings`` is what the emulator is built from; ``EmulatorOptions`` is the same list as a
typed dictionary, so that ``Emulator(devices=3)`` is checked by a type checker.
"""

from datetime import UTC, datetime
from ipaddress import ip_address
from os import PathLike
from typing import Literal, TypedDict, get_args

import attrs

from .choices import one_of

DEVELOPMENT_KEY = "ik_dev_iottly_emulator_0000000000"
"""The key that every emulator accepts by default, on both generations. It opens nothing else."""

REFERENCE_END = datetime(2026, 5, 1, tzinfo=UTC)
"""Where the seeded history ends by default: fixed, so that the same seed gives the same bytes."""

TIERS: dict[str, int | None] = {"starter": 60, "pro": 600, "enterprise": None}

Tier = Literal["starter", "pro", "enterprise"]
Algorithm = Literal["fixed", "sliding", "bucket"]
DateForm = Literal["text", "epoch-ms", "numberLong"]
Rounding = Literal["up", "down"]
Latency = float | tuple[float, float]


@attrs.frozen(kw_only=True)
class EmulatorSettings:
    """Settings of an emulator; immutable and validated when built (``ValueError``).

    Address: ``host`` (a loopback address or ``localhost``), ``port`` (0: a free one), ``api_keys``
    (the first is ``Emulator.api_key``; each has its own quota), ``project_id``, ``max_body``
    (bytes of a request's body; beyond it 413), ``record_limit`` (requests remembered; older ones
    are forgotten).

    Fleet: ``seed``, ``devices``, ``messages`` (over all devices), ``days`` (length of the history),
    ``until`` (its end, exclusive; aware), ``licenses`` (available ones, beside the paired), or
    ``jsonl`` (a file of messages that becomes the fleet instead; ``devices``, ``messages``,
    ``days`` and ``until`` then play no part). ``database``: None keeps the messages in memory, a
    path keeps them in a file, in which the next start with the same fleet finds them again.

    Rate limit (D1): ``rate_limit`` (requests a window, a tier's name, or None for unlimited),
    ``rate_window`` (seconds), ``rate_algorithm``, ``rate_headers_v10`` (whether the three headers
    come on v1.0 too), ``reset_rounding`` (how ``X-RateLimit-Reset`` becomes whole seconds),
    ``retry_after`` (whether a 429 says how long to wait).

    Behaviour: ``latency`` (seconds a request, or a range to draw from), ``clock_offset`` (seconds
    the server is ahead), ``late_by`` (seconds from a message's timestamp until it is visible, D11),
    ``command_types`` (declared in the project), ``command_messages`` (whether an executed command
    makes the device send a message), ``pending_for`` and ``running_for`` (seconds of a v1 command).

    Oddities a client has to bear: ``first_page`` (D3), ``round_from`` (``from`` cut to a whole
    second), ``page_size_cap`` (a larger ``l`` is silently cut to it), ``unstable_ties`` (D6),
    ``extra_fields`` (fields the documents do not name, D8), ``date_form`` (D7).
    """

    host: str = "127.0.0.1"
    port: int = attrs.field(
        default=0, validator=[attrs.validators.ge(0), attrs.validators.le(65535)]
    )
    api_keys: tuple[str, ...] = (DEVELOPMENT_KEY,)
    project_id: str = "59c19cacecc01400075f3bc9"
    max_body: int = attrs.field(default=1_048_576, validator=attrs.validators.gt(0))
    record_limit: int = attrs.field(default=200_000, validator=attrs.validators.gt(0))

    seed: int | str = 1
    devices: int = attrs.field(default=20, validator=attrs.validators.ge(0))
    messages: int = attrs.field(default=100_000, validator=attrs.validators.ge(0))
    days: int = attrs.field(default=30, validator=attrs.validators.ge(1))
    until: datetime = REFERENCE_END
    licenses: int = attrs.field(default=5, validator=attrs.validators.ge(0))
    jsonl: str | PathLike[str] | None = None
    database: str | PathLike[str] | None = None

    rate_limit: int | Tier | None = None
    rate_window: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    rate_algorithm: Algorithm = attrs.field(default="fixed", validator=one_of(get_args(Algorithm)))
    rate_headers_v10: bool = True
    reset_rounding: Rounding = attrs.field(default="up", validator=one_of(get_args(Rounding)))
    retry_after: bool = False

    latency: Latency = 0.0
    clock_offset: float = 0.0
    late_by: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    command_types: frozenset[str] = frozenset({"echo", "read_sensor_data"})
    command_messages: bool = False
    pending_for: float = attrs.field(default=0.05, validator=attrs.validators.ge(0))
    running_for: float = attrs.field(default=0.1, validator=attrs.validators.ge(0))

    first_page: int = attrs.field(default=1, validator=one_of((0, 1)))
    round_from: bool = False
    page_size_cap: int | None = None
    unstable_ties: bool = False
    extra_fields: bool = False
    date_form: DateForm = attrs.field(default="text", validator=one_of(get_args(DateForm)))

    def __attrs_post_init__(self) -> None:
        if not _is_loopback(self.host):
            raise ValueError(
                f"host={self.host!r}: the emulator binds loopback addresses only "
                "(127.0.0.1, ::1 or localhost)"
            )
        if isinstance(self.api_keys, str) or not self.api_keys or not all(self.api_keys):
            raise ValueError("api_keys: a tuple of at least one key, and none of them empty")
        low, high = self.latency_range
        if not 0 <= low <= high:
            raise ValueError(f"latency={self.latency!r}: seconds, or a range of them that ascends")
        if self.until.tzinfo is None:
            raise ValueError("until: a naive datetime says no instant, give it a timezone")
        if self.messages and not self.devices:
            raise ValueError("messages need at least one device to come from")
        if self.rate_limit in TIERS:
            return
        if self.rate_limit is not None and not (
            isinstance(self.rate_limit, int) and self.rate_limit > 0
        ):
            raise ValueError(
                f"rate_limit={self.rate_limit!r}: a positive number of requests, "
                f"one of {', '.join(TIERS)}, or None for unlimited"
            )

    @property
    def requests_a_window(self) -> int | None:
        """The rate limit as a number, whatever way it was given; None is unlimited."""
        return TIERS[self.rate_limit] if isinstance(self.rate_limit, str) else self.rate_limit

    @property
    def latency_range(self) -> tuple[float, float]:
        """The bounds between which a request's latency is drawn, in seconds."""
        return self.latency if isinstance(self.latency, tuple) else (self.latency, self.latency)


class EmulatorOptions(TypedDict, total=False):
    """The settings as keyword arguments; see ``EmulatorSettings`` for what each does."""

    host: str
    port: int
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
    rate_headers_v10: bool
    reset_rounding: Rounding
    retry_after: bool
    latency: Latency
    clock_offset: float
    late_by: float
    command_types: frozenset[str]
    command_messages: bool
    pending_for: float
    running_for: float
    first_page: int
    round_from: bool
    page_size_cap: int | None
    unstable_ties: bool
    extra_fields: bool
    date_form: DateForm


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
