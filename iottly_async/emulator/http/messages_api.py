"""The two message endpoints of generation v1.0: page by page, and the newest with a filter."""

import asyncio
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from ..fleet.devices import Device
from ..rows import MESSAGE_TYPES, Row, ids_json, load_json, quoted
from ..settings import DateForm
from ..times import date_text, read_text
from .answers import HttpError, raw_answer
from .call import Call
from .filters import Filter, FilterError, read_filter
from .matching import Instant, ObjectId

PAGE_SIZE = 50
HISTORY_SIZE = 10
MAX_SIZE = 100
MAX_EXAMINED = 200_000
"""Messages that one filtered request looks at before it is refused."""
_CHUNK = 500
_UNBOUNDED = Filter(lambda _: True)


async def paginated(call: Call) -> web.Response:
    """``GET project/<P>/device/<D>/messages/paginated``: 404 where no message matches (D4)."""
    device, settings = call.device(), call.state.settings
    page = call.whole_number("p", settings.first_page, settings.first_page)
    size = call.whole_number("l", PAGE_SIZE, 1, MAX_SIZE)
    size = min(size, settings.page_size_cap or size)
    kind, order = _choice(call, "type", MESSAGE_TYPES), _choice(call, "sort", ("desc", "asc"))
    start, end = _moment(call, "from"), _moment(call, "to")
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
    head = "{" + _ids(call, device)
    return raw_answer(f'{{"messages":[{head}{f",{head}".join(tails)}]}}')


async def history(call: Call) -> web.Response:
    """``GET project/<P>/messages/<D>``: newest to oldest; an empty list where none match."""
    device = call.device()
    size = call.whole_number("numMessages", HISTORY_SIZE, 1, MAX_SIZE)
    text = call.query.get("queryJson")
    try:
        wanted = None if text is None else read_filter(text)
    except FilterError as error:
        raise HttpError(400, f"queryJson: {error}") from None
    if wanted is None:
        rows = next(_newest(call, device, None, size), [])
    else:
        rows = await _matching(call, device, wanted, size)
    call.record.rows = len(rows)
    form, ids = call.state.settings.date_form, _ids(call, device)
    texts = ",".join(_history_json(row, ids, form) for row in rows)
    return raw_answer(f'{{"status":200,"messages":[{texts}]}}')


def _choice(call: Call, name: str, choices: tuple[str, ...]) -> str:
    """A query parameter out of a few words, the first by default; 400 for another."""
    text = call.query.get(name, choices[0])
    if text not in choices:
        raise HttpError(400, f"{name} must be one of {', '.join(choices)}")
    return text


def _moment(call: Call, name: str) -> int | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        return read_text(text)
    except ValueError:
        raise HttpError(400, f"{name} is not a time") from None


def _ids(call: Call, device: Device) -> str:
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
            raise HttpError(400, f"queryJson: more than {MAX_EXAMINED} messages to look through")
        await asyncio.sleep(0)  # other requests go on between chunks
    return found


def _document(row: Row, device: Device, project_id: str) -> dict[str, Any]:
    """A message as the filter sees it; a payload that is not JSON is not there."""
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


def _history_json(row: Row, ids: str, form: DateForm) -> str:
    channel = "" if row.channel is None else f'"channel":{quoted(row.channel)},'
    return (
        f'{{"_id":{{"$oid":"{row.object_id}"}},{ids}"timestamp":{_date(row.timestamp, form)},'
        f'"devicetimestamp":{_date(row.device_timestamp, form)},'
        f'"type":{quoted(row.type)},{channel}"payload":{row.payload_json}}}'
    )


def _date(ms: int, form: DateForm) -> str:
    if form == "text":
        return f'{{"$date":"{date_text(ms)}"}}'
    return f'{{"$date":{ms}}}' if form == "epoch-ms" else f'{{"$date":{{"$numberLong":"{ms}"}}}}'
