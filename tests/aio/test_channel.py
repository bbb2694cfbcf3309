"""The channel: order, its size, and the error that ends it."""

from __future__ import annotations

import asyncio

import pytest

from iottly_async.aio.channel import Channel


async def test_a_full_channel_makes_put_wait() -> None:
    """At most `size` items wait; they are taken in the order in which they were put."""
    channel: Channel[int] = Channel(2)
    put: list[int] = []

    async def put_all() -> None:
        for number in range(5):
            await channel.put(number)
            put.append(number)

    putting = asyncio.ensure_future(put_all())
    for _ in range(3):
        await asyncio.sleep(0)
    assert put == [0, 1]
    assert [await channel.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    await putting


async def test_an_error_is_raised_after_the_last_item() -> None:
    """`get` yields what was put before the failure, then raises the first error."""
    channel: Channel[str] = Channel(2)
    await channel.put("last")
    channel.fail(ValueError("first"))
    channel.fail(ValueError("second"))
    assert await channel.get() == "last"
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            await channel.get()


async def test_a_waiting_consumer_is_woken_by_an_error() -> None:
    """A consumer that waits on an empty channel gets the error at once."""
    channel: Channel[str] = Channel(1)
    getting = asyncio.ensure_future(channel.get())
    await asyncio.sleep(0)
    channel.fail(ValueError("failed"))
    with pytest.raises(ValueError, match="failed"):
        await getting
