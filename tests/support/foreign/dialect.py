"""What a server may choose, where the description of the API lets it."""

from typing import Literal

from attrs import frozen

PageTime = Literal[
    "naive", "micro", "nano", "seconds-apart", "z", "+00:00", "+02:00", "space", "epoch-ms"
]
HistoryDate = Literal["z", "+00:00", "+02:00", "micro", "nano", "epoch-ms", "long"]
FilterTime = Literal["iso", "iso-z", "epoch-ms", "epoch-s"]


@frozen(kw_only=True)
class Dialect:
    """One way to speak the API; each default is what the description shows.

    Objects: ``extra`` fields that nobody documents, everywhere; optional fields ``absent`` or
    null (``nulls``); fields in ``reverse``; ``unknown_values`` of types and statuses; whole
    numbers as ``floats``; a device's id as ``id_key``; device ids of messages in upper case
    (``shouts``); the ``_id`` of the history as a text (``plain_ids``), and on pages too
    (``ids_on_pages``).

    Times: ``page_time`` on pages, ``history_date`` within ``$date``, ``seen`` of the fleet,
    ``filter_time`` which is the only form that ``from`` and ``to`` are taken in.

    JSON: non-ASCII as ``escapes``, ``pretty`` with line ends, behind a ``bom``.

    HTTP: ``version``, ``framing`` of the body, its ``coding``, ``case`` of header names, with
    ``quota`` headers, a ``date``, a ``media_type`` (None: no header), a ``reason``; ``noise`` of
    cookies, long and repeated headers; ``hints`` before an answer (103); ``pieces`` of so many
    bytes; whether connections are closed (``closes``), announced or not.

    The API: number of the ``first_page``; an ``empty`` list of pages is 404 or 200; ``most``
    rows of a page, ``most_devices`` of the fleet's; ``from`` is rounded down to ``rounds_to``
    milliseconds; ``taken`` is the status of what changes something, ``offline`` that of a
    device that is away.
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

    page_time: PageTime = "naive"
    history_date: HistoryDate = "z"
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
