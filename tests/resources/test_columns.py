"""Messages as Arrow columns over a socket: the same rows as `batches`, with cursors."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import Any, cast

import duckdb
import pyarrow as pa
import pytest

from iottly_async import (
    ConfigurationError,
    Cursor,
    DecodeError,
    DevicesFailedError,
    Message,
)
from iottly_async.arrow import SCHEMA, record_batch
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages
from tests.resources.test_walks import session_on


def keys(batch: pa.RecordBatch | pa.Table) -> list[str]:
    """The keys of a batch's rows, or of a table's."""
    found: list[str] = batch.column("key").to_pylist()
    return found


async def all_of(messages: Messages, device_id: str) -> list[Message]:
    """Every message of a device."""
    return [message async for message in messages.walk(device_id)]


async def test_columns_hold_what_a_walk_yields() -> None:
    """`arrow`, `arrow_many` and `to_arrow` have each message once, in columns of the schema."""
    async with Emulator(devices=3, messages=700) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        device_id = emulator.device_ids[0]
        expected = record_batch(await all_of(messages, device_id))
        found = [batch async for batch, _ in messages.arrow(device_id)]
        assert pa.Table.from_batches(found).equals(pa.Table.from_batches([expected]))
        assert all(batch.schema.equals(SCHEMA, check_metadata=True) for batch in found)
        assert (await messages.to_arrow(device_id)).equals(pa.Table.from_batches([expected]))
        falling = await messages.to_arrow(device_id, order="desc", type="userdefined")
        assert falling.column("timestamp").to_pylist() == sorted(
            falling.column("timestamp").to_pylist(), reverse=True
        )
        everything = {
            message.key for each in emulator.device_ids for message in await all_of(messages, each)
        }
        cursors: dict[str, Cursor] = {}
        many: list[str] = []
        async for batch, reached in messages.arrow_many():
            many += keys(batch)
            cursors |= reached
        assert (len(many), set(many)) == (len(everything), everything)
        assert sorted(cursors) == sorted(emulator.device_ids)
        assert all(cursor.finished for cursor in cursors.values())


async def test_columns_go_on_behind_their_cursor() -> None:
    """After a crash, the last stored cursor yields what was not stored, and nothing twice."""
    async with Emulator(devices=2, messages=0) as emulator, session_on(emulator) as session:
        emulator.clock.pin()
        messages = session.project(emulator.project_id).messages
        stored: list[str] = []
        cursors: dict[str, Cursor] = {}
        for number in range(3):
            for each in emulator.device_ids:
                emulator.append(each, messages=[{"payload": {"n": number}}] * 3)
            emulator.clock.advance(60)
            async for batch, reached in messages.arrow_many(cursors=cursors):
                stored += keys(batch)
                cursors |= reached
        assert (len(stored), len(set(stored))) == (18, 18)
        first = emulator.device_ids[0]
        cursor = Cursor.from_json(cursors[first].to_json())
        assert [batch.num_rows async for batch, _ in messages.arrow(first, cursor=cursor)] == [0]


async def test_the_rows_before_an_error_come_with_their_cursors() -> None:
    """A device that fails hides nothing of the others, and its error comes last."""
    async with Emulator(devices=2, messages=300) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        good, bad = emulator.device_ids
        expected = [message.key for message in await all_of(messages, good)]
        emulator.fault("status", route=f"/v1.0/project/*/device/{bad}/*", status=403, count=None)
        found: list[str] = []

        async def read() -> None:
            async for batch, _ in messages.arrow_many([good, bad]):
                found.extend(keys(batch))

        with pytest.raises(DevicesFailedError):
            await read()
        assert found == expected


async def test_wrong_calls_are_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong path, a name of the schema, a wrong argument, and a missing package."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        wrong: list[dict[str, Any]] = [{"t": "a..b"}, {"t": ""}, {"payload": "a"}, {"t": "a[x]"}]
        for paths in wrong:
            with pytest.raises(ConfigurationError, match="payload: "):
                await messages.to_arrow("d", payload=paths)
        for no_mapping in ("t=a", ["a"]):
            with pytest.raises(ConfigurationError, match="payload must be a mapping"):
                await messages.to_arrow("d", payload=cast("Any", no_mapping))
        with pytest.raises(ConfigurationError):
            messages.arrow("d", concurrency=0)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        for call in (lambda: messages.arrow("d"), lambda: messages.arrow_many(["d"])):
            with pytest.raises(ConfigurationError, match=r"iottly-async\[arrow\]"):
                call()
        with pytest.raises(ConfigurationError, match=r"iottly-async\[arrow\]"):
            await messages.to_arrow("d")
        assert emulator.requests == []


async def test_paths_of_the_payload_become_typed_columns() -> None:
    """Types are found from the data; what is missing is null; DuckDB reads the table by name."""
    payloads = [
        {
            "a": {"b": 1, "c": [{"v": 2.5}]},
            "on": True,
            "x.y": "text",
            "o": {"k": [1]},
            "n": 1,
            "w": 10**400,
        },
        {"a": {"b": None}, "on": None, "n": 0.5},
        "no object",
        {"a": {"c": []}, "on": False, "x": {"y": "nested"}, "o": [2], "n": 2**70},
    ]
    paths = {
        "b": "a.b",
        "v": "a.c[0].v",
        "on": "on",
        "xy": "x.y",
        "o": "o",
        "n": "n",
        "w": "w",
        "no": "z",
    }
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        for payload in payloads:
            emulator.append(device_id, messages=[{"payload": payload}])
            emulator.clock.advance(1)
        emulator.clock.advance(60)
        messages = session.project(emulator.project_id).messages
        table = await messages.to_arrow(device_id, payload=paths)
        assert table.schema.names == [*SCHEMA.names, *paths]
        assert {name: str(table.schema.field(name).type) for name in paths} == {
            "b": "int64",
            "v": "double",
            "on": "bool",
            "xy": "string",
            "o": "string",
            "n": "double",
            "w": "double",
            "no": "null",
        }
        assert table.select([*paths]).to_pydict() == {
            "b": [1, None, None, None],
            "v": [2.5, None, None, None],
            "on": [True, None, None, False],
            "xy": ["text", None, None, "nested"],
            "o": ['{"k":[1]}', None, None, "[2]"],
            "n": [1.0, 0.5, None, float(2**70)],
            "w": [None] * 4,
            "no": [None] * 4,
        }
        with duckdb.connect() as db:
            db.register("readings", table)
            assert db.execute("SELECT count(*), sum(b) FROM readings").fetchall() == [(4, 1)]


async def test_types_that_clash_are_an_error_that_names_the_messages() -> None:
    """A number in one message and a text in another: which column, path, device and times."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        for value in (None, 1, 2, "three"):
            emulator.append(device_id, messages=[{"payload": {"t": value}}])
            emulator.clock.advance(1)
        emulator.clock.advance(60)
        messages = session.project(emulator.project_id).messages
        times = [message.timestamp for message in await all_of(messages, device_id)]
        with pytest.raises(DecodeError) as caught:
            await messages.to_arrow(device_id, payload={"temperature": "t"})
    text = str(caught.value)
    assert "'temperature'" in text
    assert f"a number in a message of device {device_id} at {times[1].isoformat()[:23]}" in text
    assert f"a text in one of device {device_id} at {times[3].isoformat()[:23]}" in text
    assert "three" not in text
    assert caught.value.path == "$.payload.t"


async def test_leaving_early_closes_the_walk() -> None:
    """A consumer that stops leaves no task and no failure behind."""
    async with Emulator(devices=1, messages=700) as emulator, session_on(emulator) as session:
        found = session.project(emulator.project_id).messages.arrow(emulator.device_ids[0])
        async with aclosing(found):
            await anext(found)
        assert session.stats.failures == 0
