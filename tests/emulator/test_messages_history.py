"""The history endpoint: newest to oldest, and its filter."""

import json
from datetime import UTC, datetime
from typing import Any, Literal

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api


async def test_defaults(api: Api) -> None:
    """Without parameters the newest ten messages come, newest first."""
    stored = api.emulator.stored(api.emulator.device_ids[0])
    answer = (await api.get(api.history)).json
    assert answer["status"] == 200
    assert [m["_id"]["$oid"] for m in answer["messages"]] == [m["oid"] for m in stored[:-11:-1]]


async def test_oldest_first(http: aiohttp.ClientSession) -> None:
    """By a setting the newest messages are selected and answered oldest first (D13)."""
    async with Emulator(devices=1, messages=40, history_order="oldest-first") as emulator:
        api = Api(emulator, http)
        expected = [m["oid"] for m in emulator.stored(emulator.device_ids[0])[-10:]]
        answer = (await api.get(api.history)).json
        assert [m["_id"]["$oid"] for m in answer["messages"]] == expected
        query = json.dumps({"type": {"$in": ["userdefined", "iottlyagent"]}})
        answer = (await api.get(api.history, params={"queryJson": query})).json
        assert [m["_id"]["$oid"] for m in answer["messages"]] == expected


async def test_the_fields_of_a_message(api: Api) -> None:
    """A message has an id, and dates as the documents show them."""
    stored = api.emulator.stored(api.emulator.device_ids[0])[-1]
    (message,) = (await api.get(api.history, params={"numMessages": 1})).json["messages"]
    assert set(message) == {
        "_id",
        "from",
        "to",
        "timestamp",
        "devicetimestamp",
        "type",
        "payload",
    }
    text = message["timestamp"]["$date"]
    assert len(text) == len("2017-09-20T00:33:27.230Z")
    assert datetime.fromisoformat(text) == stored["timestamp"]
    assert len(message["_id"]["$oid"]) == 24


@pytest.mark.parametrize("number", ["0", "101", "-1", "many", "1.0", ""])
async def test_num_messages_is_bounded(api: Api, number: str) -> None:
    """More than 100 messages, or fewer than one, is 400."""
    answer = await api.get(api.history, params={"numMessages": number})
    assert answer.status == 400
    assert answer.json["error"].startswith("numMessages")


async def test_a_filter(api: Api) -> None:
    """A filter selects the newest matches, as many as requested."""
    query = json.dumps({"type": "iottlyagent"})
    answer = (await api.get(api.history, params={"queryJson": query, "numMessages": 100})).json
    expected = api.emulator.stored(api.emulator.device_ids[0], type="iottlyagent")
    assert [m["_id"]["$oid"] for m in answer["messages"]] == [m["oid"] for m in expected[::-1]]


async def test_a_filter_on_times_and_payload(empty: Api) -> None:
    """Dates are compared as dates, and dotted names reach into the payload."""
    device = empty.emulator.device_ids[0]
    empty.emulator.append(
        device,
        [
            {"timestamp": datetime(2026, 1, n, tzinfo=UTC), "payload": {"a": {"b": n}}}
            for n in range(1, 29)
        ],
    )
    query = {
        "timestamp": {"$gte": {"$date": "2026-01-10T00:00:00Z"}, "$lt": {"$date": 1768867200000}},
        "payload.a.b": {"$nin": [11, 12]},
    }
    answer = await empty.get(empty.history, params={"queryJson": json.dumps(query)})
    days = [m["payload"]["a"]["b"] for m in answer.json["messages"]]
    assert days == [19, 18, 17, 16, 15, 14, 13, 10]


async def test_nothing_matches(api: Api) -> None:
    """If no message matches, the list is empty; only the paginated endpoint answers 404."""
    answer = await api.get(api.history, params={"queryJson": '{"type": "other"}'})
    assert (answer.status, answer.json) == (200, {"status": 200, "messages": []})


@pytest.mark.parametrize(
    "query",
    [
        '{"$where": "sleep(1000)"}',
        '{"a": {"$regex": "(a+)+$"}}',
        '{"$expr": {"$gt": ["$a", "$b"]}}',
        '{"a": {"$where": 1}}',
        '{"a": {"b": {"$function": 1}}}',
        '{"a": {"$elemMatch": {"b": 1}}}',
        '{"$or": []}',
        '{"$and": {"a": 1}}',
        '{"a": {"$in": 1}}',
        '{"a": {"$not": 5}}',
        '{"a": {"$date": "soon"}}',
        '{"a..b": 1}',
        '{"": 1}',
        '{"a": NaN}',
        "[]",
        "{",
        "",
        '{"a":' * 300 + "1" + "}" * 300,
        "[" * 8000,
        json.dumps({"a": {"$in": list(range(200))}}),
        json.dumps({f"a{n}": n for n in range(200)}),
        json.dumps({"a": "x" * 9000}),
    ],
)
async def test_a_filter_that_is_refused(api: Api, query: str) -> None:
    """An operator outside the allow-list, a wrong value and a large filter are 400."""
    answer = await api.get(api.history, params={"queryJson": query})
    assert answer.status == 400
    assert answer.json["error"].startswith("queryJson: ")


@pytest.mark.parametrize(
    ("form", "date"),
    [
        ("text", "2026-03-01T12:00:00.007Z"),
        ("epoch-ms", 1772366400007),
        ("numberLong", {"$numberLong": "1772366400007"}),
    ],
)
async def test_the_form_of_a_date(
    http: aiohttp.ClientSession, form: Literal["text", "epoch-ms", "numberLong"], date: Any
) -> None:
    """`$date` has each of its forms (D7)."""
    async with Emulator(devices=1, messages=0, date_form=form) as emulator:
        emulator.append(emulator.device_ids[0], [{"timestamp": 1772366400007}])
        api = Api(emulator, http)
        (message,) = (await api.get(api.history)).json["messages"]
        assert message["timestamp"] == message["devicetimestamp"] == {"$date": date}


async def test_a_payload_that_is_not_json_does_not_match(empty: Api) -> None:
    """A filter ignores a payload that is not JSON."""
    device = empty.emulator.device_ids[0]
    empty.emulator.append(device, [{"payload_json": "{broken"}, {"payload": {"a": 1}}])
    params = {"queryJson": '{"payload.a": 1}'}
    assert len((await empty.get(empty.history, params=params)).json["messages"]) == 1


async def test_unknown_device(api: Api) -> None:
    """A device that does not exist is 404."""
    answer = await api.get(f"{api.project}/messages/no-such-device")
    assert (answer.status, answer.json) == (404, {"error": "device not found"})


async def test_plain_filters(http: aiohttp.ClientSession) -> None:
    """By a setting, times in a filter are not understood, and `from` asks for another device."""
    async with Emulator(devices=2, messages=40, plain_filters=True) as emulator:
        api, (first, second) = Api(emulator, http), emulator.device_ids
        emulator.append_raw(first, [{"from": first, "when": {"$date": 5}}])

        async def found(query: Any) -> list[Any]:
            answer = await api.get(api.history, params={"queryJson": json.dumps(query)})
            return answer.json["messages"]  # type: ignore[no-any-return]

        epoch = {"$date": "1970-01-01T00:00:00Z"}
        assert await found({"timestamp": {"$gte": epoch}}) == []
        assert len(await found({"timestamp": {"$not": {"$gte": epoch}}})) == 10
        assert len(await found({"when": {"$date": 5}})) == 1
        assert {m["from"] for m in await found({"from": second})} == {second}
        assert await found({"from": "nobody"}) == []
        assert await found({"to": "another project"}) == []
        assert len(await found({"to": emulator.project_id, "type": "userdefined"})) == 10
