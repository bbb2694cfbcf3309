"""The paginated endpoint: bounds, order, forms of a time, and quirks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(ms: int) -> dict[str, Any]:
    """A message `ms` milliseconds after noon, with that number in its payload."""
    return {"timestamp": NOON + timedelta(milliseconds=ms), "payload": {"n": ms}}


async def test_defaults(api: Api) -> None:
    """Without parameters the newest 50 messages come, newest first."""
    stored = api.emulator.stored(api.emulator.device_ids[0])
    messages = (await api.page()).json["messages"]
    assert [m["payload"] for m in messages] == [m["payload"] for m in stored[:-51:-1]]


async def test_the_fields_of_a_message(api: Api) -> None:
    """A message has six fields, and its times are naive texts."""
    stored = api.emulator.stored(api.emulator.device_ids[0])[-1]
    (message,) = (await api.page(l=1)).json["messages"]
    assert list(message) == ["from", "to", "timestamp", "devicetimestamp", "type", "payload"]
    assert message["from"] == api.emulator.device_ids[0]
    assert message["to"] == api.emulator.project_id
    for name in ("timestamp", "devicetimestamp"):
        assert datetime.fromisoformat(message[name]).replace(tzinfo=UTC) == stored[name]


async def test_a_whole_second_has_no_fraction(empty: Api) -> None:
    """Milliseconds have three digits, and are left out if they are zero."""
    empty.emulator.append(empty.emulator.device_ids[0], [at(0), at(5), at(968)])
    assert await empty.times(sort="asc") == [
        "2026-03-01T12:00:00",
        "2026-03-01T12:00:00.005",
        "2026-03-01T12:00:00.968",
    ]


async def test_a_channel_is_there_where_it_is_set(empty: Api) -> None:
    """A message has a channel field only if it has a channel."""
    device = empty.emulator.device_ids[0]
    empty.emulator.append(device, [at(0), at(1) | {"channel": "alarms"}])
    messages = (await empty.page(sort="asc")).json["messages"]
    assert [m.get("channel") for m in messages] == [None, "alarms"]
    assert "channel" not in messages[0]


async def test_all_pages_together(api: Api) -> None:
    """In either direction, the pages together hold every stored message once, in order."""
    stored = [m["payload"] for m in api.emulator.stored(api.emulator.device_ids[0])]
    assert len(stored) > 21
    for sort in ("asc", "desc"):
        found: list[Any] = []
        number = 1
        while (answer := await api.page(p=number, l=7, sort=sort)).status == 200:
            found += [m["payload"] for m in answer.json["messages"]]
            number += 1
        assert found == (stored if sort == "asc" else stored[::-1])


async def test_from_is_inclusive_and_to_exclusive(empty: Api) -> None:
    """The start belongs to the interval, the end does not."""
    empty.emulator.append(empty.emulator.device_ids[0], [at(1), at(2), at(3)])
    start, end = "2026-03-01T12:00:00.001", "2026-03-01T12:00:00.003"
    assert await empty.times(from_=start, to=end, sort="asc") == [
        "2026-03-01T12:00:00.001",
        "2026-03-01T12:00:00.002",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:01",
        "2026-03-01T12:00:01.000",
        "2026-03-01T12:00:01Z",
        "2026-03-01T12:00:00.9995",
        "2026-03-01T13:00:01+01:00",
        "1772366401000",
        "1772366401",
        "1772366401.000",
        "1772366400.9995",
        "1772366400999.5",
    ],
)
async def test_every_form_of_a_time(empty: Api, text: str) -> None:
    """A time without a timezone, with Z or an offset, in ms or seconds is the same instant (D2)."""
    empty.emulator.append(empty.emulator.device_ids[0], [at(999), at(1000)])
    assert await empty.times(from_=text) == ["2026-03-01T12:00:01"]
    assert await empty.times(to=text) == ["2026-03-01T12:00:00.999"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("from", "yesterday"),
        ("from", "2026-03-01"),
        ("from", "2026-13-01T00:00:00"),
        ("from", "2026-03-01T12:00:00 01:00"),
        ("to", "1e9"),
        ("to", ""),
        ("to", "١٢٣"),
        ("l", "0"),
        ("l", "101"),
        ("l", "-1"),
        ("l", "ten"),
        ("l", "1.5"),
        ("p", "0"),
        ("p", "x"),
        ("p", "2147483648"),
        ("p", "9999999999999999999999"),
        ("type", "system"),
        ("sort", "up"),
    ],
)
async def test_a_parameter_that_is_refused(api: Api, name: str, text: str) -> None:
    """A value that the documents do not allow is 400, and the error names the parameter."""
    answer = await api.get(api.pages, params={name: text})
    assert answer.status == 400
    assert answer.json["error"].startswith(name)


@pytest.mark.parametrize(
    "params", [{"p": 99}, {"from": "2030-01-01T00:00:00"}, {"from": 5, "to": 5}]
)
async def test_nothing_matches(api: Api, params: dict[str, Any]) -> None:
    """If no message matches, the answer is 404 in the API's own JSON (D4)."""
    answer = await api.get(api.pages, params=params)
    assert (answer.status, answer.json) == (404, {"error": "no messages found"})


async def test_types(api: Api) -> None:
    """Each type selects its own messages, and both together are all."""
    device = api.emulator.device_ids[0]
    counts = {}
    for kind in ("all", "userdefined", "iottlyagent"):
        messages = (await api.page(type=kind, l=100, sort="asc")).json["messages"]
        expected = api.emulator.stored(device, type=kind)[:100]
        assert [m["payload"] for m in messages] == [m["payload"] for m in expected]
        counts[kind] = len(api.emulator.stored(device, type=kind))
    assert counts["all"] == counts["userdefined"] + counts["iottlyagent"]
    assert counts["iottlyagent"] > 0


async def test_pages_may_count_from_zero(http: aiohttp.ClientSession) -> None:
    """With `first_page=0` the first page is 0, also if no page is given (D3)."""
    async with Emulator(devices=1, messages=10, first_page=0) as emulator:
        api = Api(emulator, http)
        assert await api.times(p=0, l=4) == await api.times(l=4)
        assert len(await api.times(p=2, l=4)) == 2


async def test_from_may_be_rounded_down(http: aiohttp.ClientSession) -> None:
    """With `round_from`, messages before the start in the same second come as well."""
    async with Emulator(devices=1, messages=0, round_from=True) as emulator:
        emulator.append(emulator.device_ids[0], [at(-1), at(0), at(900)])
        api = Api(emulator, http)
        times = await api.times(from_="2026-03-01T12:00:00.500", sort="asc")
        assert times == ["2026-03-01T12:00:00", "2026-03-01T12:00:00.900"]


async def test_the_page_size_may_be_capped(http: aiohttp.ClientSession) -> None:
    """With `page_size_cap` a larger page is reduced to it, and pages are counted in it."""
    async with Emulator(devices=1, messages=120, page_size_cap=50) as emulator:
        api = Api(emulator, http)
        pages = [await api.times(p=number, l=100) for number in (1, 2, 3)]
        assert [len(page) for page in pages] == [50, 50, 20]


async def test_ties_keep_their_order(empty: Api) -> None:
    """Messages of one millisecond come in the order of insertion, or reversed if descending."""
    device = empty.emulator.device_ids[0]
    empty.emulator.append(device, [at(0) | {"payload": n} for n in range(30)])
    for sort, expected in (("asc", list(range(30))), ("desc", list(range(29, -1, -1)))):
        messages = (await empty.page(sort=sort)).json["messages"]
        assert [m["payload"] for m in messages] == expected


async def test_ties_may_change_their_order(http: aiohttp.ClientSession) -> None:
    """With `unstable_ties` only messages of one millisecond change their order (D6)."""
    async with Emulator(devices=1, messages=0, unstable_ties=True) as emulator:
        ties = [at(1) | {"payload": n} for n in range(30)]
        emulator.append(emulator.device_ids[0], [at(0), *ties, at(2)])
        api = Api(emulator, http)
        seen = []
        for _ in range(3):
            payloads = [m["payload"] for m in (await api.page(sort="asc")).json["messages"]]
            assert (payloads[0], payloads[-1]) == ({"n": 0}, {"n": 2})
            assert sorted(payloads[1:-1]) == list(range(30))
            seen.append(payloads)
        assert seen[0] != seen[1] != seen[2]


async def test_a_payload_goes_through_as_it_was_given(empty: Api) -> None:
    """A payload's text is sent character by character, valid JSON or not."""
    device = empty.emulator.device_ids[0]
    for text in ('{"a": 1.50, "b":1e400}', "{broken", '"\\ud800"'):
        empty.emulator.append(device, [{"payload_json": text}])
        assert empty.emulator.stored(device)[-1]["payload_json"] == text
    body = (await empty.page(l=100, sort="asc")).body
    assert b'"payload":{"a": 1.50, "b":1e400}}' in body
    assert b'"payload":{broken}' in body
