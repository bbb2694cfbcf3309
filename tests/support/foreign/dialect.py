"""The choices of a server where the description of the API leaves them open."""

from typing import Literal

from attrs import frozen

PageTime = Literal[
    "naive", "micro", "nano", "seconds-apart", "z", "+00:00", "+02:00", "space", "epoch-ms"
]
HistoryDate = Literal["z", "+00:00", "+02:00", "micro", "nano", "epoch-ms", "long"]
FilterTime = Literal["iso", "iso-z", "epoch-ms", "epoch-s"]


@frozen(kw_only=True)
class Dialect:
    """One way to speak the API. Each default is what the description shows.

    Attributes:
        name: of the dialect, for the test's id.
        extra: whether objects have undocumented fields.
        absent: whether optional fields are left out.
        nulls: whether optional fields are null.
        reverse: whether fields come in reverse order.
        unknown_values: whether types and statuses have undocumented values.
        floats: whether whole numbers are written as floats.
        id_key: name of a device's id.
        shouts: whether messages have their device's id in upper case.
        plain_ids: whether the history's `_id` is a text.
        ids_on_pages: whether pages have an `_id` too.
        page_time: form of times on pages.
        history_date: form of times within `$date`.
        oldest_first: whether the newest messages of the history come oldest first (D13).
        seen: the fleet's `last_seen_at`.
        filter_time: the only form of `from` and `to` that is accepted.
        escapes: whether JSON escapes non-ASCII characters.
        pretty: whether JSON has line ends.
        bom: whether the body begins with a byte order mark.
        version: of HTTP.
        framing: how the body's length is given.
        coding: content coding of the body; "" for none.
        case: of header names.
        quota: whether answers have quota headers.
        date: whether answers have a `Date`.
        media_type: content type; None sends no header.
        reason: text after the status.
        noise: whether there are cookies, long headers and repeated headers.
        hints: whether a 103 comes before each answer.
        pieces: bytes a write; None writes each answer at once.
        closes: whether the connection is closed after each answer.
        first_page: number of the first page (D3).
        empty: status of an empty list of pages (D4).
        most: rows of a page, at most.
        most_devices: devices of a fleet page, at most.
        rounds_to: milliseconds to which `from` is rounded down.
        taken: status of an accepted change.
        offline: status of a command to an offline device.
    """

    name: str
    extra: bool = False
    absent: bool = False
    nulls: bool = False
    reverse: bool = False
    unknown_values: bool = False
    floats: bool = False
    id_key: Literal["ID", "id"] = "ID"
    shouts: bool = False
    plain_ids: bool = False
    ids_on_pages: bool = False
    odd_fields: bool = False

    page_time: PageTime = "naive"
    history_date: HistoryDate = "z"
    oldest_first: bool = False
    seen: str = "2026-05-06T14:22:00Z"
    filter_time: FilterTime = "iso"

    escapes: bool = False
    pretty: bool = False
    bom: bool = False

    version: Literal["1.0", "1.1"] = "1.1"
    framing: Literal["length", "chunked", "trailers", "close"] = "length"
    coding: Literal["", "gzip", "deflate"] = ""
    case: Literal["as-is", "lower", "upper"] = "as-is"
    quota: bool = True
    date: bool = True
    media_type: str | None = "application/json; charset=utf-8"
    reason: str = "Whatever"
    noise: bool = False
    hints: bool = False
    pieces: int | None = None
    closes: Literal["no", "announced", "silently"] = "no"

    first_page: Literal[0, 1] = 1
    empty: Literal[404, 200] = 404
    most: int = 100
    most_devices: int = 100
    rounds_to: int = 1
    taken: int = 200
    offline: int = 409

    def __str__(self) -> str:
        return self.name
