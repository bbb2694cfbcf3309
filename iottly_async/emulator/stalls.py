"""Requests that hang, and how they are let go."""

import asyncio


class Stalls:
    """The requests that wait at present."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, seconds: float | None) -> None:
        """Wait ``seconds``, or until released; None waits for the release alone."""
        gate = asyncio.get_running_loop().create_future()
        self._waiting.add(gate)
        try:
            await asyncio.wait((gate,), timeout=seconds)
        finally:
            self._waiting.discard(gate)

    def release(self) -> None:
        """Let every waiting request go on."""
        for gate in self._waiting:
            if not gate.done():
                gate.set_result(None)
