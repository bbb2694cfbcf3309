"""The writer: a slow store makes the walks wait, and memory stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from iottly_async.errors import StoreError
from iottly_async.ingest import Group, StoredState
from iottly_async.ingest.progress import DeviceProgress, Meter
from iottly_async.ingest.stores import DuckDBStore, JSONLinesStore, ParquetStore, PostgresStore
from iottly_async.ingest.writer import GROUP_BYTES, GROUP_ROWS, Writer
from iottly_async.models import Cursor, Message, MessageBatch
from iottly_async.models.message_batch import rows_of
from tests.support.virtual_time import virtual


class SlowStore:
    """A store that takes a group each time `may_write` is released."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.writing = asyncio.Event()
        self.may_write = asyncio.Semaphore(0)
        self.flushes = 0

    async def open(self) -> StoredState:
        """Return an empty state."""
        return StoredState(plan=None, cursors={})

    async def begin(self, plan: str) -> None:
        """Do nothing."""

    async def write(self, group: Group) -> Mapping[str, int]:
        """Take a group, once it may."""
        self.writing.set()
        await self.may_write.acquire()
        self.groups.append(group)
        return {}

    async def flush(self) -> None:
        """Count the flushes."""
        self.flushes += 1

    async def close(self) -> None:
        """Do nothing."""


def batch(rows: int, payload: bytes = b"{}") -> MessageBatch:
    """A batch of the device "d"."""
    message = Message(
        device_id="d", timestamp=datetime(2026, 1, 1, tzinfo=UTC), payload_json=payload
    )
    cursor = Cursor(
        project_id="p",
        device_id="d",
        type="all",
        order="asc",
        start=None,
        end=9,
        remaining=(),
        pinned_end=9,
        count=rows,
    )
    return MessageBatch(messages=[message] * rows, cursor=cursor)


def meter() -> Meter:
    """The counters of a run with the device "d"."""
    now = asyncio.get_running_loop().time
    return Meter(now=now, begun=now(), end=9, devices={"d": DeviceProgress("d")})


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("rows", "payload"),
    [(GROUP_ROWS, b"{}"), (16, b'"%b"' % (b"x" * (GROUP_BYTES // 16)))],
    ids=["rows", "bytes"],
)
async def test_a_slow_store_makes_the_walks_wait(rows: int, payload: bytes) -> None:
    """While one group is written, one more is collected. The next walk then waits."""
    store = SlowStore()
    writer = Writer(store, meter(), flush_every=1.0)
    writing = asyncio.create_task(writer.run())
    await writer.put(batch(rows, payload))
    await store.writing.wait()
    await writer.put(batch(rows, payload))
    third = asyncio.create_task(writer.put(batch(1)))
    await settle()
    assert not third.done()
    store.may_write.release()
    await third
    for _ in range(2):
        store.may_write.release()
    writer.finish()
    await writing
    assert [len(group.messages) for group in store.groups] in ([rows, rows, 1], [rows, rows + 1])


async def test_all_is_flushed_at_the_end() -> None:
    """`run` returns once the last group is durable. The counters then say so."""
    store, counters = SlowStore(), meter()
    store.may_write = asyncio.Semaphore(99)
    writer = Writer(store, counters, flush_every=60.0)
    writing = asyncio.create_task(writer.run())
    await writer.put(batch(5))
    assert counters.waiting == 5
    writer.finish()
    await writing
    assert (counters.rows, counters.waiting, store.flushes) == (5, 0, 1)


async def test_a_cursor_without_rows_is_written() -> None:
    """If the rest of a device's range is empty, the next run must know it."""
    store = SlowStore()
    store.may_write = asyncio.Semaphore(99)
    writer = Writer(store, meter(), flush_every=60.0)
    await writer.put(batch(0))
    writer.finish()
    await writer.run()
    assert [list(group.cursors) for group in store.groups] == [["d"]]


async def test_an_error_of_the_store_ends_the_run() -> None:
    """A store that fails is not written to again."""

    class Full(SlowStore):
        async def write(self, group: Group) -> Mapping[str, int]:
            raise StoreError("full")

    writer = Writer(Full(), meter(), flush_every=60.0)
    await writer.put(batch(1))
    writer.finish()
    with pytest.raises(StoreError, match="full"):
        await writer.run()


@pytest.mark.parametrize("uses_keys", [False, True])
async def test_keys_are_computed_together_for_a_store_that_uses_them(uses_keys: bool) -> None:
    """Of other stores no message is hashed before its key is read."""

    class Keyed(SlowStore):
        pass

    if uses_keys:
        Keyed.uses_keys = True  # type: ignore[attr-defined]
    store = Keyed()
    store.may_write.release()
    writer = Writer(store, meter(), flush_every=1.0)
    await writer.put(batch(3, b'{"b":1,"a":2}'))
    writer.finish()
    await writer.run()
    (group,) = store.groups
    assert [row._digest is not None for row in rows_of(group)] == [uses_keys] * 3
    other = batch(1, b'{"a":2,"b":1}').messages[0]
    assert {message.key for message in group.messages} == {other.key}


def test_the_stores_of_the_library_use_keys() -> None:
    """All of them write the keys."""
    for store in (DuckDBStore, JSONLinesStore, ParquetStore, PostgresStore):
        assert store.uses_keys


@pytest.mark.parametrize(("every", "flushes"), [(0.5, 601), (10.0, 121), (60.0, 21)])
@virtual
async def test_what_was_put_is_durable_within_flush_every(every: float, flushes: int) -> None:
    """A batch comes each second for ten minutes. None waits longer, and a flush is due at half of
    that time, not with each batch."""
    store = SlowStore()
    store.may_write = asyncio.Semaphore(9999)
    counters = meter()
    writer = Writer(store, counters, flush_every=every)
    writing = asyncio.create_task(writer.run())
    now = asyncio.get_running_loop().time
    put: list[float] = []
    flushed: list[tuple[float, int]] = []

    async def flush() -> None:
        flushed.append((now(), counters.rows))

    store.flush = flush  # type: ignore[method-assign]
    for _ in range(600):
        await writer.put(batch(1))
        put.append(now())
        await asyncio.sleep(1)
    writer.finish()
    await writing
    for number, at in enumerate(put):
        assert next(time for time, rows in flushed if rows > number) - at <= every
    assert flushes / 2 < len(flushed) <= flushes


@pytest.mark.parametrize(("limit", "batches"), [(600, 60), (60, 6), (3, 1)])
async def test_a_tenth_of_the_quota_makes_a_flush_due(limit: int, batches: int) -> None:
    """However long `flush_every` is, a kill repeats no more requests than that."""
    store = SlowStore()
    store.may_write = asyncio.Semaphore(99)
    writer = Writer(store, meter(), flush_every=60.0, quota=lambda: limit)
    writing = asyncio.create_task(writer.run())
    for number in range(3 * batches):
        await writer.put(batch(1))
        await settle()
        assert store.flushes == (number + 1) // batches
    writer.finish()
    await writing


async def test_a_store_that_awaits_a_flush_gets_one() -> None:
    """Though nothing is written."""

    class Waiting(SlowStore):
        awaits_flush = True
        flushed = asyncio.Event()

        async def flush(self) -> None:
            self.flushed.set()

    store = Waiting()
    writer = Writer(store, meter(), flush_every=0.001)
    writing = asyncio.create_task(writer.run())
    await store.flushed.wait()
    writer.finish()
    await writing
