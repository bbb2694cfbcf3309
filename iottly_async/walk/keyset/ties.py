"""The order of messages that share a millisecond, and numbers for identical ones.

The service promises no order among them (D6). So a walk orders them by their content: by the time
of the device, and those that share it by the JSON of their payloads, in one form (`forms_of`). If
both are equal, the digests decide. Payloads are decoded only if a page has messages that share both
times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import compress, groupby
from operator import attrgetter, eq, or_
from typing import Final

from ...models.row import MessageRow, forms_of

_NO_TIME: Final = datetime.min  # noqa: DTZ901 - stands before all times, which are UTC (D5)

_Place = tuple[datetime, datetime, bytes]
"""What orders a message: its time, the device's time, and its payload in one form."""


def canonical(messages: list[MessageRow], *, descending: bool) -> list[MessageRow]:
    """Return messages in time order, and those of one millisecond in the order of their content.

    Identical messages of a millisecond are numbered from 0 (`Message.key`).

    Args:
        messages: whole milliseconds, in time order.
        descending: whether they run from new to old. The result is then the exact reverse of
            the ascending one.
    """
    times = _whole_ms([message.time for message in messages])
    # Whether each message, but the last one, shares its millisecond with the next one.
    shares = [*map(eq, times, times[1:])]
    if not any(shares):
        return messages
    is_tied = [*map(or_, [False, *shares], [*shares, False])]
    tied = _in_order([*compress(messages, is_tied)], [*compress(times, is_tied)])
    if descending:
        tied.reverse()
    ordered = [*messages]
    for index, message in zip(compress(range(len(messages)), is_tied), tied, strict=True):
        ordered[index] = message
    return ordered


def _whole_ms(times: list[datetime]) -> list[datetime]:
    if any([time.microsecond % 1000 for time in times]):  # noqa: C419 - faster
        return [time - timedelta(microseconds=time.microsecond % 1000) for time in times]
    return times


def _in_order(rows: list[MessageRow], times: list[datetime]) -> list[MessageRow]:
    """The rows from old to new, identical ones numbered; `times` are theirs."""
    recorded = _whole_ms([row.device_time or _NO_TIME for row in rows])
    forms = [b""] * len(rows)
    # Where neighbours share the device's time, which is quick to see, no set is needed.
    alike = any(map(eq, recorded, recorded[1:]))
    if alike or len({*zip(times, recorded, strict=True)}) < len(rows):
        forms = forms_of(rows)
    places = [*zip(times, recorded, forms, strict=True)]
    ranks = sorted(range(len(rows)), key=places.__getitem__)
    ordered = [rows[rank] for rank in ranks]
    if len({*forms}) < len(forms):
        return _numbered(ordered, [places[rank] for rank in ranks])
    return ordered


def _numbered(rows: list[MessageRow], places: list[_Place]) -> list[MessageRow]:
    """Number identical messages among those with one place, which stand side by side."""
    if not any(map(eq, places, places[1:])):
        return rows
    numbered: list[MessageRow] = []
    for _, group in groupby(range(len(rows)), places.__getitem__):
        twins = [rows[index] for index in group]
        if len(twins) > 1:
            twins.sort(key=_digest)
            for _, same in groupby(twins, _digest):
                numbered += [twin.numbered(ordinal) for ordinal, twin in enumerate(same)]
        else:
            numbered += twins
    return numbered


_millisecond = attrgetter("at")
_digest = attrgetter("digest")


def number_duplicates(messages: Sequence[MessageRow]) -> list[MessageRow]:
    """Return `messages` in their order, identical ones of a millisecond numbered from 0."""
    numbered = list(messages)
    place = 0
    for _, members in groupby(messages, _millisecond):
        group = list(members)
        if len(group) > 1:
            counts: Counter[str] = Counter()
            for offset, message in enumerate(group):
                numbered[place + offset] = message.numbered(counts[message.digest])
                counts[message.digest] += 1
        place += len(group)
    return numbered
