"""The one place that awaits an answer and gives it to its window, in one step."""

from __future__ import annotations

from ..clock import Clock
from .keyset.page import CompleteInterval, Page
from .keyset.segment import Segment
from .query import Fetch, History, HistoryRequest, PageRequest
from .track import Track


class PageSource:
    """Where pages come from."""

    __slots__ = ("_clock", "_history", "fetch")

    def __init__(self, fetch: Fetch, history: History | None, clock: Clock) -> None:
        """Pages by `fetch`; messages with ids by `history`, where that is at hand."""
        self.fetch = fetch
        self._history = history
        self._clock = clock

    async def ask(self, track: Track, window: Segment) -> CompleteInterval:
        """Fetch what `window` wants next, and return what is complete with it.

        Between the answer's arrival and the window's decision nothing is awaited.
        """
        request = track.request(window)
        if isinstance(request, HistoryRequest):
            # A window asks the history only if it was told that there is one.
            return window.feed_history(await self._history(request) if self._history else ())
        fetched = await self.fetch(request)
        return track.feed(window, request, fetched, self._clock.time())

    async def page(self, track: Track, request: PageRequest) -> Page:
        """Fetch and read a page that no window asked for."""
        return track.read(request, await self.fetch(request), self._clock.time())
