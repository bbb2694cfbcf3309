"""What the store is to keep of a run beside rows and cursors: its plan, as far as it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve

from .plan import IngestPlan
from .progress import Meter
from .report import Outcome

_RENEW: Final = 60.0  # seconds after which a job that follows says how far it is


def kept(plan: IngestPlan, meter: Meter) -> IngestPlan:
    """`plan` with what became of it: whether it came to its end, and which devices failed.

    One that followed ends where the device that is furthest behind stands.
    """
    courses = meter.courses.values()
    # An older failure stands until the device was walked again.
    tried = {each.device_id for each in courses if each.outcome is not Outcome.STOPPED}
    failed = {device: told for device, told in plan.failed.items() if device not in tried} | {
        each.device_id: f"{type(each.error).__name__}: {each.error}"
        for each in courses
        if each.error is not None
    }
    end = plan.pinned_end
    if meter.following:
        ends = [each.cursor.pinned_end for each in courses if each.cursor and not each.error]
        end = max(end, min(ends, default=end))
    ended = meter.following or not meter.count(Outcome.STOPPED)
    waiting = tuple(each.device_id for each in courses if each.cursor is None)
    return evolve(plan, ended=ended, failed=failed, waiting=waiting, pinned_end=end)


def renewal(plan: IngestPlan, meter: Meter) -> Callable[[], str | None]:
    """A new text for the store once new messages are awaited, and then a minute after the last."""
    told: float | None = None

    def renewed() -> str | None:
        nonlocal told
        now = meter.now()
        if not meter.following or (told is not None and now - told < _RENEW):
            return None
        told = now
        return kept(plan, meter).to_json()

    return renewed
