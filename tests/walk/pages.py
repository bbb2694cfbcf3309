"""Makes single pages from the times of their messages."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Raw

from iottly_async.models._time import naive_from_ms
from iottly_async.models.row import MessageRow
from iottly_async.walk import PageRequest
from iottly_async.walk.axis import ASCENDING, Axis
from iottly_async.walk.keyset.page import Page
from iottly_async.walk.quirks import Quirks

__all__ = ["ZERO", "messages", "page_of", "quirks_of", "read"]

ZERO = 1_767_225_600_000
"""The millisecond from which times are counted: a midnight."""


def messages(times: Sequence[int], *, micros: int = 0) -> list[MessageRow]:
    """Messages at `times`, in milliseconds from `ZERO`, plus `micros` microseconds."""
    begin = naive_from_ms(ZERO) + timedelta(microseconds=micros)
    return [MessageRow("d", begin + timedelta(milliseconds=at), None, Raw(b"null")) for at in times]


def read(found: list[MessageRow], axis: Axis = ASCENDING) -> Page:
    """Read these messages as a page."""
    request = PageRequest(
        device_id="d",
        start=None,
        end=None,
        type="all",
        order="asc" if axis is ASCENDING else "desc",
        size=100,
        number=None,
    )
    return Page(found, axis, request)


def page_of(*times: int, axis: Axis = ASCENDING) -> Page:
    """Make a page with messages of these times."""
    return read(messages(times), axis)


def quirks_of(**known: int) -> Quirks:
    """Make quirks with these attributes set."""
    quirks = Quirks()
    for name, value in known.items():
        setattr(quirks, name, value)
    return quirks
