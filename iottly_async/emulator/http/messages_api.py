"""The two message endpoints of generation v1.0: page by page, and the newest with a filter."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from ..fleet.devices import Device
from ..rows import MESSAGE_TYPES, Row, ids_json, load_json, quoted, raw_object
from ..settings import DateForm
from ..times import date_text, read_text
from .answers import HttpError, raw_answer
from .call import MAX_PAGE, Call
from .filters import Filter, FilterError, read_filter
from .matching import Instant, ObjectId

PAGE_SIZE = 50
HISTORY_SIZE = 10
MAX_SIZE = 100
MAX_EXAMINED = 200_000
"""How many messages one filtered request may read before it is answered with 400."""
_CHUNK = 500
_UNBOUNDED = Filter(lambda _: True)


async def paginated(call: Call) -> web.Response:
    """``GET project/<P>/device/<D>/messages/paginated``; 404 if no message matches (D4)."""
    device, settings = call.device(), call.state.settings
    page = call.whole_number("p", settings.first_page, settings.first_page, MAX_PAGE)
    size = call.whole_number("l", PAGE_SIZE, 1, MAX_SIZE)
    size = min(size, settings.page_size_cap or size)
    kind, order = _choice(call, "type", MESSAGE_TYPES), _choice(call, "sort", ("desc", "asc"))
    start, end = _time(call, "from"), _time(call, "to")
    if start is not None and settings.round_from:
        start -= start % 1000
    skipped = (page - settings.first_page) * size
    tails = call.state.store.tails(
        device.number,
        start=start,
        end=end,
        type=kind,
        ascending=order == "asc",
        limit=size,
        offset=skipped,
        now=call.state.clock.now_ms(),
        salt=call.state.rng.randrange(1, 1_000_003) if settings.unstable_ties else None,
    )
    call.record.rows, call.record.skipped = len(tails), skipped
    if not tails:
        raise HttpError(404, "no messages found")
    head = "{" + _message_start(call, device)
    texts = [tail if payload_at < 0 else head + tail for payload_at, tail in tails]
    return raw_answer(f'{{"messages":[{_joined(call, texts)}]}}')


async def history(call: Call) -> web.Response:
    """``GET project/<P>/messages/<D>``: the newest messages; an empty list if none matches."""
    device: Device | None = call.device()
    size = call.whole_number("numMessages", HISTORY_SIZE, 1, MAX_SIZE)
    text, plain = call.query.get("queryJson"), call.state.settings.plain_filters
    try:
        wanted = None if text is None else read_filter(text, plain=plain)
    except FilterError as error:
        raise HttpError(400, f"queryJson: {error}") from None
    if plain and wanted is not None:
        device = _replaced(call, device, wanted.top)
    if device is None:
        return raw_answer('{"status":200,"messages":[]}')
    if wanted is None:
        rows = next(_newest(call, device, None, size), [])
    else:
        rows = await _matching(call, device, wanted, size)
    call.record.rows = len(rows)
    if call.state.settings.history_order == "oldest-first":
        rows.reverse()
    form, start = call.state.settings.date_form, _message_start(call, device)
    texts = [row.raw or _history_json(row, start, form) for row in rows]
    return raw_answer(f'{{"status":200,"messages":[{_joined(call, texts)}]}}')


def _replaced(call: Call, device: Device | None, top: Mapping[str, Any]) -> Device | None:
    """The device whose messages a plain filter asks for; None if it asks for nobody's."""
    fleet = call.state.fleet
    if top.get("to", fleet.project_id) != fleet.project_id:
        return None
    name = top.get("from")
    return device if name is None else fleet.by_id.get(str(name))


def _joined(call: Call, texts: list[str]) -> str:
    """The texts of an answer's messages, joined; one of them is replaced if a fault says so."""
    fault = call.fault
    if fault is not None and fault.kind == "row" and -len(texts) <= fault.row < len(texts):
        texts[fault.row] = fault.row_text()
    return ",".join(texts)


def _choice(call: Call, name: str, choices: tuple[str, ...]) -> str:
    """A query parameter with a few possible values, of which the first is the default; 400 else."""
    text = call.query.get(name, choices[0])
    if text not in choices:
        raise HttpError(400, f"{name} must be one of {', '.join(choices)}")
    return text


def _time(call: Call, name: str) -> int | None:
    """A query parameter that is a time, in epoch milliseconds; None if missing, 400 if wrong."""
    text = call.query.get(name)
    if text is None:
        return None
    try:
        return read_text(text)
    except ValueError:
        raise HttpError(400, f"{name} is not a time") from None


def _message_start(call: Call, device: Device) -> str:
    """The fields with which every message of a device begins."""
    ids = ids_json(device.id, call.state.fleet.project_id)
    return f'{ids}"qos":1,"gateway":null,' if call.state.settings.extra_fields else ids


def _newest(call: Call, device: Device, wanted: Filter | None, size: int) -> Iterator[list[Row]]:
    """Rows from newest to oldest, ``size`` at a time."""
    bounds = wanted or _UNBOUNDED
    before: tuple[int, int] | None = None
    while True:
        rows = call.state.store.newest(
            device.number,
            before=before,
            start=bounds.start,
            end=bounds.end,
            type=bounds.type,
            now=call.state.clock.now_ms(),
            limit=size,
        )
        yield rows
        if len(rows) < size:
            return
        before = (rows[-1].timestamp, rows[-1].id)


async def _matching(call: Call, device: Device, wanted: Filter, size: int) -> list[Row]:
    """The newest rows that a filter matches, up to ``size``; 400 if it must read too many."""
    found: list[Row] = []
    examined = 0
    for rows in _newest(call, device, wanted, _CHUNK):
        for row in rows:
            if wanted.matches(_document(row, device, call.state.fleet.project_id)):
                found.append(row)
                if len(found) == size:
                    return found
        examined += len(rows)
        if examined >= MAX_EXAMINED:
            raise HttpError(400, f"queryJson: more than {MAX_EXAMINED} messages to read")
        await asyncio.sleep(0)  # lets other requests run between chunks
    return found


def _document(row: Row, device: Device, project_id: str) -> dict[str, Any]:
    """A message as a filter sees it; without a payload if that is not JSON."""
    if row.raw is not None:
        return raw_object(row) | {
            "_id": ObjectId(row.object_id),
            "timestamp": Instant(row.timestamp),
        }
    document = {
        "_id": ObjectId(row.object_id),
        "from": device.id,
        "to": project_id,
        "timestamp": Instant(row.timestamp),
        "devicetimestamp": Instant(row.device_timestamp),
        "type": row.type,
    }
    if row.channel is not None:
        document["channel"] = row.channel
    try:
        document["payload"] = load_json(row.payload_json)
    except ValueError:
        return document
    return document


def _history_json(row: Row, start: str, form: DateForm) -> str:
    channel = "" if row.channel is None else f'"channel":{quoted(row.channel)},'
    return (
        f'{{"_id":{{"$oid":"{row.object_id}"}},{start}"timestamp":{_date(row.timestamp, form)},'
        f'"devicetimestamp":{_date(row.device_timestamp, form)},'
        f'"type":{quoted(row.type)},{channel}"payload":{row.payload_json}}}'
    )


def _date(ms: int, form: DateForm) -> str:
    if form == "text":
        return f'{{"$date":"{date_text(ms)}"}}'
    return f'{{"$date":{ms}}}' if form == "epoch-ms" else f'{{"$date":{{"$numberLong":"{ms}"}}}}'
