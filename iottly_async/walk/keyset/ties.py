"""The order of messages that share a millisecond, and numbers for identical ones.

The service promises no order among them (D6). So a walk orders them by the hash of their
content. A message that is alone in its millisecond is not hashed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import compress, groupby
from operator import attrgetter, eq, or_

from ...models.row import MessageRow, digest_together


def canonical(messages: list[MessageRow], *, descending: bool) -> list[MessageRow]:
    """Return messages in time order, and those of one millisecond in the order of their hashes.

    Identical messages of a millisecond are numbered from 0 (`Message.key`).

    Args:
        messages: whole milliseconds, in time order.
        descending: whether they run from new to old. The result is then the exact reverse of
            the ascending one.
    """
    times: list[object] = [message.time for message in messages]
    if any([message.time.microsecond % 1000 for message in messages]):  # noqa: C419 - faster
        times = [*map(_millisecond, messages)]
    # Whether each message, but the last one, shares its millisecond with the next one.
    shares = [*map(eq, times, times[1:])]
    if not any(shares):
        return messages
    tied = [*compress(messages, map(or_, [False, *shares], [*shares, False]))]
    digest_together(tied)  # half the time of one after the other
    digests = {message.digest for message in tied}
    alike = len(digests) < len(tied) or any(map(_ordinal, tied))
    ordered = [*messages]
    first = 0
    ends = [index for index, shared in enumerate(shares, 1) if not shared]
    for end in (*ends, len(messages)):
        if end - first > 1:
            group = messages[first:end]
            group.sort(key=_digest, reverse=descending and not alike)
            ordered[first:end] = _numbered(group, descending) if alike else group
        first = end
    return ordered


_millisecond = attrgetter("at")
_digest = attrgetter("_digest")  # where it is known, this is faster than the property
_ordinal = attrgetter("_ordinal")


def _numbered(group: list[MessageRow], descending: bool) -> list[MessageRow]:
    """Number identical messages; `group` is in the order of their hashes."""
    ordered: list[MessageRow] = []
    for _, twins in groupby(group, _digest):
        ordered += [twin.numbered(ordinal) for ordinal, twin in enumerate(twins)]
    if descending:
        ordered.reverse()
    return ordered


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
