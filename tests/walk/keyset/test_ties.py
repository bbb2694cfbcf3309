"""Messages that share a millisecond: their order, their numbers, and what hashing them costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from iottly_async.ingest.validate import validate
from iottly_async.models._time import as_naive
from iottly_async.models.row import MessageRow, digest_all
from iottly_async.walk.keyset import ties
from iottly_async.walk.keyset.ties import canonical

AT = datetime(2018, 7, 27, 17, 50, 4, 968_000, UTC)
PAYLOADS = [
    b"1",
    b"1.0",
    b"1.00",
    b'{"a":1,"b":2}',
    b'{"b": 2, "a": 1}',
    b'{"a":NaN}',
    b"1,2",
    b"\xff",
    b"[" * 201 + b"]" * 201,
    b"[" * 300 + b"]" * 300,
]

Draft = tuple[int, int, bytes]
DRAFTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 0, 250]), st.sampled_from(PAYLOADS)),
    max_size=12,
)


def made(drafts: list[Draft]) -> list[MessageRow]:
    """A message for each millisecond, further microseconds, and payload."""
    return [
        MessageRow(
            "d",
            as_naive(AT) + timedelta(milliseconds=at, microseconds=finer),
            None,
            Raw(payload),
        )
        for at, finer, payload in drafts
    ]


def one_by_one(messages: list[MessageRow]) -> list[tuple[int, str]]:
    """The milliseconds and keys in the promised order, each from the message alone."""
    digests = sorted((message.at, message.digest) for message in messages)
    counts: dict[tuple[int, str], int] = {}
    keys = []
    for row in digests:
        ordinal = counts[row] = counts.get(row, -1) + 1
        keys.append((row[0], f"{row[1]}-{ordinal}" if ordinal else row[1]))
    return keys


def keyed(messages: list[MessageRow]) -> list[tuple[int, str]]:
    """The milliseconds and keys of messages."""
    return [(message.at, message.key) for message in messages]


@given(DRAFTS)
def test_order_and_keys_are_those_of_messages_hashed_one_by_one(drafts: list[Draft]) -> None:
    """Hashed together, ties have the order and keys that each message's own hash gives."""
    drafts = sorted(drafts, key=lambda draft: draft[0])
    rising = canonical(made(drafts), descending=False)
    assert keyed(rising) == one_by_one(made(drafts))
    falling = canonical(made(drafts)[::-1], descending=True)
    assert keyed(falling) == keyed(rising)[::-1]


@given(DRAFTS)
def test_a_job_validates_messages_the_same_whether_or_not_they_were_hashed(
    drafts: list[Draft],
) -> None:
    """A message whose hash is known is accepted, or rejected, as one whose hash is not."""
    drafts = sorted(drafts, key=lambda draft: draft[0])
    valid, rejected = validate(canonical(made(drafts), descending=False))
    plain = [validate([message]) for message in canonical(made(drafts), descending=False)]
    assert keyed(valid) == [key for accepted, _ in plain for key in keyed(accepted)]
    assert [one.key for one in rejected] == [one.key for _, refused in plain for one in refused]


def test_ties_are_hashed_together_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ties of a page are hashed in one call, and a job hashes only the other messages."""
    calls: list[int] = []

    def counted(messages: list[MessageRow], payloads: list[object]) -> None:
        calls.append(len(messages))
        digest_all(messages, payloads)

    monkeypatch.setattr("iottly_async.models.row.digest_all", counted)
    monkeypatch.setattr("iottly_async.ingest.validate.digest_all", counted)
    page = made([(at, 0, b"%d" % n) for n, at in enumerate([0, 1, 1, 2, 3, 3, 3])])
    ordered = ties.canonical(page, descending=False)
    assert calls == [5]
    validate(ordered)
    assert calls == [5, 2]
