"""Sums over the devices of a run, which cost as much as what has changed.

A job asks for its progress four times a second. With 100,000 devices, adding them up each time
would take most of the event loop's time.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from attrs import define, field

from .report import Outcome

_SPARE: Final = 64  # outdated entries of the heap that are always allowed


class Contribution(NamedTuple):
    """What a device adds to the sums.

    Attributes:
        outcome: so far.
        stored: messages in the store.
        intervals: intervals of time that are not fetched yet.
        expected: the estimated number of messages up to the end; None without a basis for it.
        complete_until: the time up to which everything is stored, in milliseconds since the
            epoch; None if the range has no start and nothing is stored.
    """

    outcome: Outcome
    stored: int
    intervals: int
    expected: int | None
    complete_until: int | None


@define
class Totals:
    """Sums of the devices' contributions.

    Attributes:
        stored: messages in the store.
        intervals: intervals of time that are not fetched yet.
    """

    stored: int = 0
    intervals: int = 0
    _by_device: dict[str, Contribution] = field(factory=dict)
    _outcomes: Counter[Outcome] = field(factory=Counter)
    _expected: int = 0
    _estimates: int = 0
    _unknown: int = 0
    _oldest: list[tuple[int, str]] = field(factory=list)  # a heap, with outdated entries

    def replace(self, device_id: str, new: Contribution) -> None:
        """Replace what a device contributes; add it if the device is new."""
        old = self._by_device.get(device_id)
        if old == new:
            return
        if old is not None:
            self._add(old, -1)
        self._add(new, 1)
        self._by_device[device_id] = new
        if (entry := _entry(device_id, new)) is not None:
            heappush(self._oldest, entry)
            if len(self._oldest) > 2 * len(self._by_device) + _SPARE:
                entries = (_entry(one, each) for one, each in self._by_device.items())
                self._oldest = [each for each in entries if each is not None]
                heapify(self._oldest)

    def count(self, outcome: Outcome) -> int:
        """The number of devices with an outcome."""
        return self._outcomes[outcome]

    def expected(self) -> float | None:
        """The estimated number of messages of all devices; None without a basis.

        A device without a basis for an estimate counts as the mean of the others.
        """
        if not self._estimates:
            return None
        return self._expected / self._estimates * len(self._by_device)

    def complete_until(self) -> int | None:
        """The time up to which all devices that did not fail are complete; None if unknown."""
        heap = self._oldest
        while heap and _entry(heap[0][1], self._by_device[heap[0][1]]) != heap[0]:
            heappop(heap)
        return heap[0][0] if heap and not self._unknown else None

    def _add(self, one: Contribution, sign: int) -> None:
        self._outcomes[one.outcome] += sign
        self.stored += sign * one.stored
        self.intervals += sign * one.intervals
        if one.expected is not None:
            self._expected += sign * one.expected
            self._estimates += sign
        if one.outcome is not Outcome.FAILED and one.complete_until is None:
            self._unknown += sign


def _entry(device_id: str, one: Contribution) -> tuple[int, str] | None:
    """The device's entry in the heap. A failed device has none."""
    if one.outcome is Outcome.FAILED or one.complete_until is None:
        return None
    return one.complete_until, device_id
