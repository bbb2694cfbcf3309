"""A consumer is cancelled at any `await`, and resumes from the last cursor that it stored."""

import asyncio
from collections import Counter
from contextlib import aclosing

import pytest

from iottly_async.models.cursor import Cursor, Order
from iottly_async.walk import WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row, identity
from tests.support.stepping import MOMENTS, Moment, Stepped, cuts
from tests.support.virtual_time import virtual

from .streams import PAGE, Walked, counted

FORMS = [(1, True), (4, True), (4, False)]


def rows() -> list[Row]:
    """Make some forty rows: two large groups, one of them at the end, and gaps."""
    begin = NOW_MS - 60_000
    times = [n * 700 for n in range(20)] + [20_000] * (2 * PAGE + 2) + [40_000] * (PAGE + 1)
    return [Row(begin + at, b"%d" % n, serial=n) for n, at in enumerate(times)]


async def consume(
    server: MessageServer, store: Walked, order: Order, form: tuple[int, bool]
) -> None:
    """Resume from the stored cursor, and store each batch together with its cursor."""
    walk = batches(
        server.fetch,
        WalkQuery(project_id="p1", device_id="d1", order=order),
        settings=WalkSettings(page_size=PAGE),
        cursor=store.cursor,
        concurrency=form[0],
        ordered=form[1],
        clock=server.clock,
    )
    async with aclosing(walk):
        async for batch in walk:
            await asyncio.sleep(0.01)
            store.messages += batch.messages
            store.cursor = Cursor.from_json(batch.cursor.to_json())


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("form", FORMS)
@virtual
async def test_cancelled_at_any_wait_and_resumed_in_any_form(
    form: tuple[int, bool], order: Order, moment: Moment
) -> None:
    """Wherever the first walk is cancelled, its stored messages and those of the resumed walk,
    in any form, are every message once; no task remains."""
    cancelled = 0
    for cut in cuts(moment):
        server, store = MessageServer(rows(), limit=PAGE, jitter=0.5), Walked()
        ended = await Stepped(consume(server, store, order, form), cut).ended_by_itself()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await consume(server, store, order, FORMS[cut.wait % 3])
        assert Counter(map(identity, store.messages)) == counted(rows())
        assert store.finished
        if ended:
            break
        cancelled += 1
    assert cancelled > 10
