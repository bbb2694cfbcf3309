"""Live messages of devices: by the stream where it works, else by following."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

from ..clock import SYSTEM_CLOCK
from ..errors import IottlyError
from ..follow import FollowPace
from ..models import BadRow, Message
from ..resources import Project
from ..session import IottlySession
from ..stream.gap import Gap
from ..stream.stream import Stream
from .arguments import TypeOption
from .console import iso, say
from .message_records import messages_of

_CONNECT_WITHIN: Final = 10.0
"""Seconds for the stream's first connection. After them, devices are followed instead."""


async def live_messages(
    session: IottlySession,
    project: Project,
    device_ids: Sequence[str] | None,
    *,
    count: int,
    type: TypeOption,
    unread: list[BadRow],
) -> AsyncGenerator[Message, None]:
    """Yield new messages without end, and say on stderr how they come.

    Gaps of the stream are filled from the history. If the stream cannot be connected, or ends for
    good, the devices are followed, and what the stream has yielded is not yielded again.

    Args:
        session: The session.
        project: Its project.
        device_ids: Ids of devices; None is all devices of the project.
        count: The number of devices.
        type: The type of messages.
        unread: Gets the rows that cannot be read, while devices are followed.

    Yields:
        Each message.

    Raises:
        IottlyError: Following failed as well.
    """
    shown = "all devices" if device_ids is None else f"{len(device_ids):,} devices"
    if device_ids is not None and len(device_ids) == 1:
        shown = f"device {device_ids[0]}"
    yielded = _Streamed(timedelta(seconds=session.config.settle))
    stream = session.stream(
        project_id=project.id, devices=device_ids, type=type, fill_gaps=True, patience=inf
    )
    try:
        async with stream:
            with _reconnects_shown():
                await _connected(stream)
                say(f"live messages of {shown}, by the stream (Ctrl-C ends)")
                yielded.begin()
                async with aclosing(aiter(stream)) as events:
                    async for event in events:
                        if isinstance(event, Message):
                            yielded.add(event)
                            yield event
                        else:
                            say(_about(event))
    except IottlyError as error:
        reason = str(error)
    else:
        return
    say(
        f"the stream does not work ({reason}); live messages of {shown}, by polling: each is "
        f"shown {session.config.settle:g} s after its time or later (Ctrl-C ends)"
    )
    followed = project.messages.follow_many(
        device_ids, start=yielded.until, type=type, on_bad_row="skip", pace=_pace(count)
    )
    async with aclosing(messages_of(followed, unread)) as messages:
        async for message in messages:
            if yielded.is_new(message):
                yield message


def _pace(count: int) -> FollowPace:
    """How often devices are polled: quiet ones ten times a second together, at most."""
    return FollowPace(slowest=min(60, max(2, count / 10)), share=0.5)


class _NotConnectedError(IottlyError):
    """The stream was not connected in time."""


async def _connected(stream: Stream) -> None:
    limit = asyncio.timeout(_CONNECT_WITHIN)
    try:
        async with limit:
            await stream.until_connected()
            return
    except TimeoutError:
        if not limit.expired():
            raise
    raise _NotConnectedError(f"it was not connected within {_CONNECT_WITHIN:g} s")


class _Streamed:
    """Remembers what the stream has yielded last, so that following repeats nothing.

    Args:
        settle: How late a message may become visible (D11).
    """

    def __init__(self, settle: timedelta) -> None:
        self._late = 2 * settle
        self._messages: deque[Message] = deque()
        self._begun: datetime | None = None
        self._counts: Counter[str] | None = None

    @property
    def until(self) -> datetime | None:
        """The time from which messages may be missing; None if the stream was not connected."""
        if self._begun is None:
            return None
        # A stamp ahead of this machine's clock hides nothing that came before it.
        newest = max((message.timestamp for message in self._messages), default=self._begun)
        return min(newest, _now()) - self._late

    def begin(self) -> None:
        """Note that the stream is connected."""
        self._begun = _now()

    def add(self, message: Message) -> None:
        """Remember a message."""
        self._messages.append(message)
        forgotten = message.timestamp - self._late
        while len(self._messages) > 1 and self._messages[0].timestamp < forgotten:
            self._messages.popleft()

    def is_new(self, message: Message) -> bool:
        """Whether a message that was followed is not one that the stream has yielded."""
        if self._counts is None:
            self._counts = Counter(each.digest for each in self._messages)
        known = self._counts[message.digest] > 0
        self._counts[message.digest] -= known
        return not known


def _now() -> datetime:
    return datetime.fromtimestamp(SYSTEM_CLOCK.time(), UTC)


def _about(gap: Gap) -> str:
    since = "" if gap.start is None else f" since {iso(gap.start)}"
    missed = "messages" if gap.missed is None else f"{gap.missed:,} messages"
    return f"{missed}{since} may be missing; they are read from the history"


@contextmanager
def _reconnects_shown() -> Iterator[None]:
    """Say on stderr when the stream is disconnected, and when it is connected again."""
    log, news = logging.getLogger("iottly_async.stream"), _News()
    before = log.level
    log.addHandler(news)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(news)


class _News(logging.Handler):
    """Says records below WARNING; those above are said in any case."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:
            say(record.getMessage())
