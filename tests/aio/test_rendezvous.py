"""The rendezvous: order, how far it runs ahead, closing and cancelling."""

import asyncio

import pytest

from iottly_async.aio.rendezvous import Rendezvous


async def run_loop() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_are_taken_in_the_order_they_were_given() -> None:
    """Every item that is given is taken, in order, and None follows the last."""
    rendezvous: Rendezvous[int] = Rendezvous()

    async def give() -> None:
        for number in range(5):
            await rendezvous.give(number)
        rendezvous.close()

    giver = asyncio.ensure_future(give())
    assert [await rendezvous.take() for _ in range(7)] == [0, 1, 2, 3, 4, None, None]
    await giver


async def test_the_giver_does_not_wait_if_the_taker_does() -> None:
    """`give` returns without waiting if a taker waits."""
    rendezvous: Rendezvous[str] = Rendezvous()
    taker = asyncio.ensure_future(rendezvous.take())
    await run_loop()
    giving = rendezvous.give("a")
    with pytest.raises(StopIteration):
        giving.send(None)
    assert await taker == "a"


async def test_the_giver_waits_until_its_item_is_taken() -> None:
    """While the taker works on one item, one more can be made, and no further one."""
    rendezvous: Rendezvous[int] = Rendezvous()
    made: list[int] = []

    async def give() -> None:
        for number in range(9):
            made.append(number)
            await rendezvous.give(number)

    giver = asyncio.ensure_future(give())
    await run_loop()
    assert made == [0]
    assert await rendezvous.take() == 0
    await run_loop()
    assert made == [0, 1]
    giver.cancel()


async def test_closing_wakes_a_waiting_taker() -> None:
    """A taker that waits when the rendezvous closes gets None."""
    rendezvous: Rendezvous[int] = Rendezvous()
    taker = asyncio.ensure_future(rendezvous.take())
    await run_loop()
    rendezvous.close()
    assert await taker is None


async def test_an_item_offered_before_closing_is_still_taken() -> None:
    """An item that was offered is not lost when the giver is cancelled and closes."""
    rendezvous: Rendezvous[int] = Rendezvous()
    giver = asyncio.ensure_future(rendezvous.give(1))
    await run_loop()
    giver.cancel()
    rendezvous.close()
    assert await rendezvous.take() == 1
    assert await rendezvous.take() is None


async def test_a_cancelled_taker_takes_nothing() -> None:
    """An item is not lost to a cancelled taker; it waits for the next one."""
    rendezvous: Rendezvous[int] = Rendezvous()
    gone = asyncio.ensure_future(rendezvous.take())
    await run_loop()
    gone.cancel()
    giver = asyncio.ensure_future(rendezvous.give(1))
    await run_loop()
    assert not giver.done()
    assert await rendezvous.take() == 1
    await giver
