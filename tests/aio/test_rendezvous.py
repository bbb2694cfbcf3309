"""From hand to hand: order, the bound on running ahead, closing and cancelling."""

import asyncio

import pytest

from iottly_async.aio.rendezvous import Rendezvous


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_things_come_in_the_order_they_were_given() -> None:
    """What is given is taken, in order, and None follows the last."""
    hands: Rendezvous[int] = Rendezvous()

    async def give() -> None:
        for number in range(5):
            await hands.give(number)
        hands.close()

    giver = asyncio.ensure_future(give())
    assert [await hands.take() for _ in range(7)] == [0, 1, 2, 3, 4, None, None]
    await giver


async def test_the_giver_goes_on_at_once_where_it_is_waited_for() -> None:
    """A thing that is waited for is handed over without waiting in turn."""
    hands: Rendezvous[str] = Rendezvous()
    taker = asyncio.ensure_future(hands.take())
    await turn()
    giving = hands.give("a")
    with pytest.raises(StopIteration):
        giving.send(None)
    assert await taker == "a"


async def test_the_giver_waits_until_the_last_thing_is_taken() -> None:
    """While the taker works on one thing, one more can be made and none beyond it."""
    hands: Rendezvous[int] = Rendezvous()
    made: list[int] = []

    async def give() -> None:
        for number in range(9):
            made.append(number)
            await hands.give(number)

    giver = asyncio.ensure_future(give())
    await turn()
    assert made == [0]
    assert await hands.take() == 0
    await turn()
    assert made == [0, 1]
    giver.cancel()


async def test_a_giver_that_fails_is_noticed_by_who_waits() -> None:
    """Closing wakes a waiting taker, with nothing."""
    hands: Rendezvous[int] = Rendezvous()
    taker = asyncio.ensure_future(hands.take())
    await turn()
    hands.close()
    assert await taker is None


async def test_what_was_offered_before_closing_is_still_taken() -> None:
    """A thing that was offered is not lost when the giver is cancelled and closes."""
    hands: Rendezvous[int] = Rendezvous()
    giver = asyncio.ensure_future(hands.give(1))
    await turn()
    giver.cancel()
    hands.close()
    assert await hands.take() == 1
    assert await hands.take() is None


async def test_a_cancelled_taker_takes_nothing() -> None:
    """A thing is not handed to a taker that has gone; it waits for the next one."""
    hands: Rendezvous[int] = Rendezvous()
    gone = asyncio.ensure_future(hands.take())
    await turn()
    gone.cancel()
    giver = asyncio.ensure_future(hands.give(1))
    await turn()
    assert not giver.done()
    assert await hands.take() == 1
    await giver
