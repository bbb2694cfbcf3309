"""Drops the messages that a stream yielded before, when a backfill finds them again. Pure.

A message is recognised by its device, its time and its payload, and by its type, device time
and channel if both the stream and REST tell them: a service's frames may have fewer fields
than its pages. Copies are counted: if the service has three, the stream yields three.

Counting cannot tell one case: two identical messages of one millisecond, of which one fell
into a gap and the other comes by the stream after the gap, and after the backfill has read
that millisecond. The two count as one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Final

import msgspec

from ..errors import DecodeError
from ..models import Message
from ..models._payload import decode_payload
from ..models._time import epoch_ms

_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode

_MARGIN: Final = timedelta(seconds=1)
"""Messages are remembered for this much longer than they must be."""


class _Yielded:
    """A message that was yielded, and whether the stream has brought it."""

    __slots__ = ("details", "streamed")

    def __init__(self, message: Message, *, streamed: bool) -> None:
        self.details = (message.type, message.device_timestamp, message.channel)
        self.streamed = streamed

    def equals(self, message: Message) -> bool:
        return self.details == (message.type, message.device_timestamp, message.channel)

    def agrees_with(self, message: Message) -> bool:
        """Whether nothing that both tell differs."""
        other = (message.type, message.device_timestamp, message.channel)
        return all(
            mine is None or its is None or mine == its
            for mine, its in zip(self.details, other, strict=True)
        )


class SeenMessages:
    """Remembers the messages that were yielded, as far back as a backfill may read.

    Args:
        lookback: how far before a gap a backfill reads.

    Attributes:
        floor: no message before this time is remembered, and no backfill reads before it.
            None until something is forgotten.
    """

    def __init__(self, lookback: timedelta) -> None:
        self._lookback = lookback + _MARGIN
        self._yielded: dict[bytes, list[_Yielded]] = {}
        self._by_time: list[tuple[datetime, bytes]] = []
        self.floor: datetime | None = None

    def __len__(self) -> int:
        return len(self._yielded)

    def add_streamed(self, message: Message, complete_until: datetime | None) -> bool:
        """Remember a message that came by the stream; True if it is new and must be yielded.

        Args:
            message: the message.
            complete_until: no gap after this message starts before this time. None if it is
                not known.
        """
        if complete_until is not None:
            self.forget_before(complete_until - self._lookback)
        key = _key(message)
        if key not in self._yielded and self.floor is not None and message.timestamp < self.floor:
            return True  # No backfill reads this far back, so it can only come once.
        walked = [each for each in self._yielded.get(key, ()) if not each.streamed]
        found = _take(walked, message, _Yielded.equals) or _take(
            walked, message, _Yielded.agrees_with
        )
        if found is not None:
            found.streamed = True
            return False
        self._remember(key, message, streamed=True)
        return True

    def add_walked(self, messages: Sequence[Message], overlap_from: datetime) -> list[Message]:
        """Remember messages that a backfill read; return the new ones, which must be yielded.

        Args:
            messages: whole milliseconds, as a walk's batch has them.
            overlap_from: the stream may bring messages from this time on later, and late
                ones, which are stamped at most `lookback` earlier.
        """
        keyed = [(_key(message), message) for message in messages]
        before = {key: [*self._yielded.get(key, ())] for key, _ in keyed}
        # Those that are equal first, so that none is taken for another that only agrees.
        for matches in (_Yielded.equals, _Yielded.agrees_with):
            keyed = [
                (key, message)
                for key, message in keyed
                if not (before[key] and _take(before[key], message, matches))
            ]
        remember_from = overlap_from - self._lookback
        for key, message in keyed:
            if message.timestamp >= remember_from:
                self._remember(key, message, streamed=False)
        return [message for _, message in keyed]

    def forget_before(self, floor: datetime) -> None:
        """Forget the messages before `floor`, because no backfill reads them again."""
        if self.floor is not None and floor <= self.floor:
            return
        self.floor = floor
        while self._by_time and self._by_time[0][0] < floor:
            del self._yielded[heappop(self._by_time)[1]]

    def _remember(self, key: bytes, message: Message, *, streamed: bool) -> None:
        if key not in self._yielded:
            self._yielded[key] = []
            heappush(self._by_time, (message.timestamp, key))
        self._yielded[key].append(_Yielded(message, streamed=streamed))


def _key(message: Message) -> bytes:
    """A digest of what the stream and REST surely both tell: device, time and payload."""
    head = [message.device_id, epoch_ms(message.timestamp)]
    try:
        data = _encode_sorted([*head, decode_payload(message.payload_json)])
    except DecodeError:
        data = _encode_sorted(head) + _normalised(message.payload_json)
    return blake2b(data, digest_size=16).digest()


def _normalised(payload: bytes) -> bytes:
    """A payload that is no valid JSON, without what two encoders write differently."""
    try:
        return json.dumps(json.loads(payload), sort_keys=True).encode()  # NaN is read here
    except (ValueError, RecursionError):
        return payload


def _take(
    yielded: list[_Yielded], message: Message, matches: Callable[[_Yielded, Message], bool]
) -> _Yielded | None:
    """Take the first that matches out of the list; None if there is none."""
    for index, each in enumerate(yielded):
        if matches(each, message):
            return yielded.pop(index)
    return None
