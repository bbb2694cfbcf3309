"""The plan of a run: made at its start from what the store holds, and renewed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import evolve, frozen

from ..clock import SYSTEM_CLOCK
from ..errors import ApiError, CursorMismatchError, DecodeError
from ..resources import Messages
from ..retry import is_passing
from ..walk import PageRequest
from .fetch import FATAL
from .plan import IngestPlan, Query, check_server, cursor_for, next_plan, stored_plan
from .progress import DeviceProgress, Meter
from .report import Outcome
from .stores import Store, StoredState

_FAR: Final = 60.0  # seconds between the server's clock and the local one
_RENEW_EVERY: Final = 60.0  # seconds between two plans that a job stores while it follows


@frozen(kw_only=True)
class RunStart:
    """What a run starts from.

    Attributes:
        plan: with the range; it is in the store.
        devices: the progress of each device, by its id.
        server_now: seconds since the epoch on the server's clock.
        data_end: where one device's messages in the range end, in milliseconds since the
            epoch, exclusive; None if it has none. It is a guess of where those of the others
            end.
    """

    plan: IngestPlan
    devices: dict[str, DeviceProgress]
    server_now: float
    data_end: int | None = None


async def begin_run(
    messages: Messages,
    store: Store,
    stored: StoredState,
    query: Query,
    devices: Sequence[str],
    *,
    settle: float,
    patience: float,
) -> RunStart:
    """Make the plan of this run and store it; find where each device goes on.

    Raises:
        CursorMismatchError: the store is of another query, or of another server, or was altered.
        ConfigurationError: the range has not begun.
        IottlyError: the error of the first device, if the service answered none of them.
    """
    old, saved = stored_plan(stored, devices, shown=repr(store))
    present = await server_present(messages, query, devices, patience=patience)
    now = present.now
    with _naming(store):
        check_server(saved.values(), server_now=now, local_now=SYSTEM_CLOCK.time())
        plan = next_plan(query, old, server_now=now, settle=settle)
        cursors = {one: cursor_for(plan, one, saved.get(one)) for one in devices}
    waiting = tuple(device_id for device_id in devices if device_id not in stored.cursors)
    await store.begin(evolve(plan, waiting=waiting).to_json())
    progress: dict[str, DeviceProgress] = {}
    for device_id, cursor in cursors.items():
        before = 0 if cursor is None else cursor.count
        device = DeviceProgress(device_id, cursor=cursor, before=before)
        if cursor is not None and cursor.finished:
            device.outcome = Outcome.DONE
        progress[device_id] = device
    return RunStart(plan=plan, devices=progress, server_now=now, data_end=present.data_end)


@contextmanager
def _naming(store: Store) -> Iterator[None]:
    """Name the store in an error that says that it does not fit."""
    try:
        yield
    except CursorMismatchError as error:
        reason = str(error)
    else:
        return
    raise CursorMismatchError(f"{store!r}: {reason}")


@frozen(kw_only=True)
class ServerPresent:
    """What one small request shows of the server.

    Attributes:
        now: the time on the server's clock, in seconds since the epoch.
        data_end: the time after a device's newest message in the range, in milliseconds since
            the epoch; None if it has none.
    """

    now: float
    data_end: int | None = None


async def server_present(
    messages: Messages, query: Query, devices: Sequence[str], *, patience: float | None = None
) -> ServerPresent:
    """The server's time, and the end of a device's messages; costs one small request.

    If the time is far from the local clock's, it is asked for a second time, as a single answer may
    have a wrong `Date`. A device that the service refuses is passed over. Without a device,
    or without a `Date` in the answer, it is the local clock's time.

    Raises:
        IottlyError: the service does not answer within `patience` (None is
            `Config.patience`); or it refuses all devices: the error of the first one.
    """
    refused: ApiError | None = None
    for device_id in devices:
        try:
            known, data_end = await _server_time(messages, query, device_id, patience)
            local = SYSTEM_CLOCK.time()
            if known is not None and abs(known - local) > _FAR:
                again, data_end = await _server_time(messages, query, device_id, patience)
                known = min(known, again or known, key=lambda each: abs(each - local))
        except FATAL:
            raise
        except ApiError as error:
            if is_passing(error):
                raise
            refused = refused or error
        else:
            now = SYSTEM_CLOCK.time() if known is None else known
            return ServerPresent(now=now, data_end=data_end)
    if refused is not None:
        raise refused
    return ServerPresent(now=SYSTEM_CLOCK.time())


async def _server_time(
    messages: Messages, query: Query, device_id: str, patience: float | None
) -> tuple[float | None, int | None]:
    """The server's time, None without a `Date`; and the time after the newest message, or None."""
    request = PageRequest(
        device_id=device_id,
        start=query.start,
        end=query.end,
        type=query.type,
        order="desc",
        size=1,
        number=None,
    )
    try:
        fetched = await messages.fetch(request, patience=patience)
    except DecodeError:
        # The row cannot be read. A range without rows has a `Date` too.
        request = evolve(request, start=0, end=1)
        fetched = await messages.fetch(request, patience=patience)
    newest = max((row.at for row in fetched.messages), default=None)
    return fetched.server_time, None if newest is None else newest + 1


def plan_after(plan: IngestPlan, meter: Meter) -> IngestPlan:
    """The plan with what became of it: whether the run reached its end, and what failed.

    It ends at the cursor that is furthest behind, of those whose walk has ended. If a wrong
    clock has set the plan's end too late, the walks have not gone so far.
    """
    devices = meter.devices.values()
    # An older error stays until its device is walked again.
    tried = {device.device_id for device in devices if device.outcome is not Outcome.STOPPED}
    failed = {one: error for one, error in plan.failed.items() if one not in tried} | {
        device.device_id: f"{type(device.error).__name__}: {device.error}"
        for device in devices
        if device.error is not None
    }
    end = plan.pinned_end
    ends = [
        each.cursor.pinned_end
        for each in devices
        if each.cursor is not None and each.outcome is Outcome.DONE
    ]
    if ends and (meter.following or min(ends) < end):
        end = min(ends)
    ended = meter.following or not meter.count(Outcome.STOPPED)
    waiting = tuple(device.device_id for device in devices if device.cursor is None)
    return evolve(plan, ended=ended, failed=failed, waiting=waiting, pinned_end=end)


def renewal(plan: IngestPlan, meter: Meter) -> Callable[[], str | None]:
    """A function that returns a new plan for the store once a minute while the job follows.

    At other times it returns None.
    """
    last: float | None = None

    def renewed() -> str | None:
        nonlocal last
        now = meter.now()
        if not meter.following or (last is not None and now - last < _RENEW_EVERY):
            return None
        last = now
        return plan_after(plan, meter).to_json()

    return renewed
