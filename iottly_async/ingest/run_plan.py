"""How a run begins: its plan, pinned by the server's clock, and where each device goes on."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from ..clock import SYSTEM_CLOCK
from ..errors import ApiError
from ..models import Cursor
from ..resources import Messages
from ..walk import PageRequest
from .fetch import FATAL
from .plan import IngestPlan, Query, cursor_for, next_plan
from .progress import DeviceProgress
from .report import Outcome
from .stores import Held, Store


@frozen(kw_only=True)
class RunStart:
    """What a run starts from.

    Attributes:
        plan: its range; the store keeps it.
        courses: one a device.
        server_now: seconds since the epoch on the server's clock.
    """

    plan: IngestPlan
    courses: dict[str, DeviceProgress]
    server_now: float


async def begin_run(
    messages: Messages,
    store: Store,
    held: Held,
    query: Query,
    devices: Sequence[str],
    *,
    settle: float,
) -> RunStart:
    """Make the plan of this run, keep it in the store, and say where each device goes on.

    Raises:
        CursorMismatchError: the store is of another query, or of another server.
        ConfigurationError: the range has not begun.
        IottlyError: what the first device was answered, where none gives an answer.
    """
    old = None if held.plan is None else IngestPlan.from_json(held.plan)
    now = await server_now(messages, query, devices)
    plan = next_plan(query, old, server_now=now, settle=settle)
    waiting = tuple(device_id for device_id in devices if device_id not in held.cursors)
    await store.begin(evolve(plan, waiting=waiting).to_json())
    courses: dict[str, DeviceProgress] = {}
    for device_id in devices:
        text = held.cursors.get(device_id)
        saved = None if text is None else Cursor.from_json(text)
        cursor = cursor_for(plan, device_id, saved)
        stored = 0 if cursor is None else cursor.count
        courses[device_id] = course = DeviceProgress(device_id, cursor=cursor, before=stored)
        if cursor is not None and cursor.finished:
            course.outcome = Outcome.DONE
    return RunStart(plan=plan, courses=courses, server_now=now)


async def server_now(messages: Messages, query: Query, devices: Sequence[str]) -> float:
    """Seconds since the epoch on the server's clock; one small request.

    Raises:
        IottlyError: what the first device was answered, where none gives an answer.
    """
    refused: ApiError | None = None
    for device_id in devices:
        request = PageRequest(
            device_id=device_id,
            start=query.start,
            end=None,
            type=query.type,
            order="asc",
            size=1,
            number=None,
        )
        try:
            fetched = await messages.fetch(request)
        except FATAL:
            raise
        except ApiError as error:
            refused = refused or error
        else:
            told = fetched.server_time
            return SYSTEM_CLOCK.time() if told is None else told
    if refused is not None:
        raise refused
    return SYSTEM_CLOCK.time()
