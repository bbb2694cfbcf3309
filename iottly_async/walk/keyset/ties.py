"""Messages of one millisecond: their canonical order, and a number for identical ones.

The service promises no order among them (D6), so the walk gives them one: by the hash
of their content. Milliseconds with a single message pay nothing for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from ...models._time import epoch_ms
from ...models.message import Message


def canonical(messages: list[Message], *, descending: bool) -> list[Message]:
    """`messages`, whole milliseconds in time order, with each millisecond in its own order.

    Identical messages of a millisecond are numbered from 0 (`Message.key`). Descending
    is the exact reverse of ascending.
    """
    # Times are compared as they are, which is five times faster, unless some are finer.
    finer = any(message.timestamp.microsecond % 1000 for message in messages)
    ordered: list[Message] = []
    for _, members in groupby(messages, _millisecond if finer else _timestamp):
        group = list(members)
        ordered += group if len(group) == 1 else _arranged(group, descending)
    return ordered


def _millisecond(message: Message) -> int:
    return epoch_ms(message.timestamp)


_timestamp = attrgetter("timestamp")
_digest = attrgetter("digest")


def _arranged(group: list[Message], descending: bool) -> list[Message]:
    group.sort(key=_digest)
    arranged: list[Message] = []
    for _, twins in groupby(group, _digest):
        arranged += [twin.numbered(ordinal) for ordinal, twin in enumerate(twins)]
    if descending:
        arranged.reverse()
    return arranged


def number_duplicates(messages: Sequence[Message]) -> list[Message]:
    """`messages` as they came, with identical ones of a millisecond numbered from 0."""
    numbered = list(messages)
    place = 0
    for _, members in groupby(messages, _millisecond):
        group = list(members)
        if len(group) > 1:
            met: Counter[str] = Counter()
            for offset, message in enumerate(group):
                numbered[place + offset] = message.numbered(met[message.digest])
                met[message.digest] += 1
        place += len(group)
    return numbered
