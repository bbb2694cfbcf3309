"""Messages that share a millisecond: their order, their numbers, and what ordering them costs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from iottly_async.errors import DecodeError
from iottly_async.ingest.validate import validate
from iottly_async.models._payload import decode_payload, decode_together
from iottly_async.models._time import as_naive, naive_ms
from iottly_async.models.row import MessageRow
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

RECORDED = [None, AT, AT, AT + timedelta(microseconds=250), AT - timedelta(seconds=1)]

Draft = tuple[int, int, bytes, datetime | None]
DRAFTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([0, 0, 0, 250]),
        st.sampled_from(PAYLOADS),
        st.sampled_from(RECORDED),
    ),
    max_size=12,
)


def made(drafts: list[Draft]) -> list[MessageRow]:
    """A message for each millisecond, further microseconds, payload, and time of the device."""
    return [
        MessageRow(
            "d",
            as_naive(AT) + timedelta(milliseconds=at, microseconds=finer),
            None,
            Raw(payload),
            device_time=None if recorded is None else as_naive(recorded),
        )
        for at, finer, payload, recorded in drafts
    ]


def place(row: MessageRow) -> tuple[int, int, bytes, str]:
    """What orders a message, from the message alone."""
    recorded = -1 if row.device_time is None else naive_ms(row.device_time)
    try:
        form = msgspec.json.encode(decode_payload(row.payload), order="deterministic")
    except DecodeError:
        form = bytes(row.payload)
    return row.at, recorded, form, row.digest


def one_by_one(messages: list[MessageRow]) -> list[tuple[int, str]]:
    """The milliseconds and keys in the promised order, each from the message alone."""
    counts: Counter[tuple[int, str]] = Counter()
    keys = []
    for at, _, _, digest in sorted(map(place, messages)):
        ordinal = counts[at, digest]
        counts[at, digest] += 1
        keys.append((at, f"{digest}-{ordinal}" if ordinal else digest))
    return keys


def keyed(messages: list[MessageRow]) -> list[tuple[int, str]]:
    """The milliseconds and keys of messages."""
    return [(message.at, message.key) for message in messages]


@given(DRAFTS)
def test_order_and_keys_are_those_of_messages_taken_one_by_one(drafts: list[Draft]) -> None:
    """Ordered together, ties have the order and keys that the content of each gives."""
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


def test_the_device_s_time_suffices_where_it_differs() -> None:
    """Of ties that the device has stamped apart, no payload is decoded, and none is hashed."""
    page = made([(0, 0, b"1", AT), (0, 0, b"1", None), (0, 0, b"1", AT - timedelta(seconds=1))])
    ordered = canonical(page, descending=False)
    assert ordered == [page[1], page[2], page[0]]
    assert [(row._form, row._digest) for row in page] == [(None, None)] * 3


def test_ties_are_ordered_without_a_hash_and_a_job_decodes_them_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job decodes only the payloads that the order of ties did not need."""
    decoded: list[int] = []

    def counted(payloads: list[Raw]) -> list[object] | None:
        decoded.append(len(payloads))
        return decode_together(payloads)

    monkeypatch.setattr("iottly_async.models.row.decode_together", counted)
    milliseconds = [0, 1, 1, 2, 3, 3, 3]
    page = made([(at, 0, b'{"b":%d, "a":0}' % n, AT) for n, at in enumerate(milliseconds)])
    ordered = canonical(page, descending=False)
    assert decoded == [5]
    assert [row._digest for row in ordered] == [None] * 7
    validate(ordered)
    assert decoded == [5, 2]
    fresh = [structs.replace(row, _form=None, _digest=None) for row in ordered]
    assert keyed(ordered) == keyed(fresh)


def test_different_projects_of_equal_content_are_not_identical() -> None:
    """Messages that differ in nothing but their project keep their own keys, in a fixed order."""
    page = made([(0, 0, b"1", AT)] * 3)
    page[0].project_id = page[2].project_id = "q"
    rising = canonical(page, descending=False)
    assert sorted(row._ordinal for row in rising) == [0, 0, 1]
    assert len({row.key for row in rising}) == 3
    assert keyed(canonical(page[::-1], descending=True)) == keyed(rising)[::-1]
