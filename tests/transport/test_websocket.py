"""A WebSocket connection: an idle one is pinged, and closed if no pong comes."""

from __future__ import annotations

import pytest
from aiohttp import WSMsgType

from ..stream.scripted_service import (
    SUBSCRIBED,
    Service,
    Socket,
    first,
    good,
    message,
    sending,
    session_with,
)


@pytest.mark.parametrize("promised", ["null", "3600", "0", "-1"])
async def test_a_connection_without_pongs_is_closed(promised: str) -> None:
    """A dead connection is noticed also if the service promises no frames, or few."""
    welcome = f'{{"type":"welcome","heartbeat":{promised}}}'
    service = Service(sending(welcome, SUBSCRIBED), good)
    async with session_with(service) as session:
        assert await first(session, heartbeat=0.02) == 1
    assert len(service.requests) == 2


async def test_a_connection_with_pongs_stays_open() -> None:
    """If the service promises no frames, a pong is enough, however long no frame comes."""
    pings = 0

    async def pong_only(socket: Socket) -> None:
        nonlocal pings
        await socket.send_str(SUBSCRIBED)
        while (found := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
            if found.type is WSMsgType.PING:
                pings += 1
                await socket.pong(found.data)
                if pings == 5:
                    await socket.send_str(message(1))

    service = Service(pong_only)
    async with session_with(service) as session:
        assert await first(session, heartbeat=0.02) == 1
    assert (len(service.requests), pings) == (1, 5)
