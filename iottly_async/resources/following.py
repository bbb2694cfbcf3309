"""Following devices: their new messages as they come, without end."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, Final

import attrs

from ..config import Seconds, flag, seconds, whole
from ..errors import ConfigurationError, DeviceFailure
from ..follow import Follower, FollowPace, checked_pace
from ..models import Cursor, MessageBatch
from ..pipeline import FailureEvent, notify
from ..walk import OnBadRow
from ..walk.track import resumed
from .arguments import check_intervals, checked_cursors, checked_ids, time_range
from .pages import PAGE
from .walks import OnFailure, TypeFilter, Walks

_RESUMED: Final = 64
"""Following accepts the cursor of a walk with so many requests at once."""


class Follows(Walks):
    """The following methods of `project.messages`."""

    def follow(
        self,
        device_id: str,
        *,
        cursor: Cursor | None = None,
        start: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        doorbell: Any = None,
        settle: Seconds | None = None,
        lookback: Seconds | None = None,
        on_bad_row: OnBadRow = "raise",
        pace: FollowPace | None = None,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Yield the messages of one device as they come, without end, in batches with cursors.

        The device is polled when it is expected to have sent (see `follow_many`). No
        message is lost or repeated, and they come in order. Failures of the service that
        pass delay messages, however long they last, and are logged (D18).

        Args:
            device_id: the device's id.
            cursor: of the last batch that was stored; following resumes after it. None (the
                default) begins at `start`.
            start: an aware time; without a cursor, messages from then on are yielded. None
                (the default) is the present: messages that come after those that there are.
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            doorbell: causes a poll as soon as a new message can be yielded: a `Doorbell`, a
                `Stream`, another async-iterable, a callable whose result is awaited again
                and again, or one awaitable. None (the default) polls at the pace alone.
            settle: seconds after its time before a message is yielded (D11). None (the
                default) is `Config.settle`, 5 s by default.
            lookback: seconds before the newest message that are read again, for messages
                that became visible later than `settle`. None (the default) is `settle`, and at
                least `Config.settle`.
            on_bad_row: what happens with a row that is no message, because its `timestamp` or
                `from` cannot be read (D8), once it was requested again: "raise" (the default)
                ends following with `DecodeError`, so that nothing is left out unnoticed;
                "skip" goes on, logs it (``iottly_async.walk``, WARNING) and yields it in
                `MessageBatch.rejected`.
            pace: how often the device is polled. None (the default) is `FollowPace()`.

        Yields:
            Batches with at least one message, or one row in `rejected`.

        Raises:
            ConfigurationError: an argument is not as above. It is raised by the call
                itself, and nothing was sent.
            CursorMismatchError: the cursor is of another query; raised by the call itself.
            UnauthorizedError: while iterating, as any error that does not pass by itself,
                such as `ForbiddenError`, `DecodeError` and `PageOrderError`.

        Example:
            ```python
            async for batch in project.messages.follow(device_id, cursor=load_cursor()):
                store(batch.messages, batch.cursor.to_json())
            ```
        """
        check_intervals(cursor, concurrency=_RESUMED)
        return self._follower(
            [device_id],
            cursors=None if cursor is None else {device_id: cursor},
            start=start,
            type=type,
            doorbell=doorbell,
            settle=settle,
            lookback=lookback,
            on_bad_row=on_bad_row,
            pace=pace,
            concurrency=1,
            alone=True,
        ).batches()

    def follow_many(
        self,
        device_ids: Iterable[str] | None = None,
        *,
        cursors: Mapping[str, Cursor] | None = None,
        start: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        doorbell: Any = None,
        settle: Seconds | None = None,
        lookback: Seconds | None = None,
        on_bad_row: OnBadRow = "raise",
        pace: FollowPace | None = None,
        concurrency: int = 8,
        skip: Iterable[str] = (),
        empty: bool = False,
        on_failure: OnFailure | None = None,
        again_after: Seconds | None = None,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Yield the messages of many devices as they come, without end.

        Each device is polled when it is expected to have sent. Its last messages, which are
        requested first, show its rhythm. The remaining quota is spread over all devices. A
        poll is a walk from the device's cursor, so no message is lost or repeated, and each
        device's messages come in order, whatever fails. Failures of the service that pass
        delay messages, however long they last, and are logged (D18).

        An error of a device that does not pass, such as `ForbiddenError`, `PageOrderError` or
        `DecodeError`, ends that device alone: it is logged at WARNING by
        ``iottly_async.follow``, and the others go on.

        A message is yielded `settle` seconds after its time at the earliest. Until then,
        one with an earlier time may still become visible (D11). Each second of `settle` is
        a second of latency. What becomes visible later is found by `lookback`: it is yielded
        once, after messages that are later than it. Clocks that differ lose nothing: a poll
        goes on behind the newest message, whatever `Date` says.

        MEASURED

        Args:
            device_ids: ids of the devices. None (the default) is every device of the
                project, also those that are added later: they are listed every five minutes.
            cursors: where to resume, by device id: of each device the cursor of the last
                batch that was stored. None (the default) begins at `start`.
            start: an aware time; of devices without a cursor, messages from then on are
                yielded. None (the default) is the present: messages that come after those
                that there are.
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            doorbell: causes a poll as soon as a new message can be yielded. It is a
                `Doorbell` that a webhook rings, a `Stream`, another async-iterable, a
                callable whose result is awaited again and again, or one awaitable. An item
                that is a device's id or one of its messages concerns that device, any other
                item all devices. A wake-up that is lost costs time, never a message. A
                doorbell that fails is logged. None (the default) polls at the pace alone.
            settle: seconds after its time before a message is yielded; see above. None (the
                default) is `Config.settle`, 5 s by default.
            lookback: seconds before the newest message that are read again, for messages
                that became visible late; see above. What is more than half a page is read
                again once, not with each poll. A cursor has about 40 bytes for each message of
                that part. None (the default) is `settle`, and at least `Config.settle`; 0
                reads nothing again.
            on_bad_row: what happens with a row that is no message, because its `timestamp` or
                `from` cannot be read (D8), once it was requested again: "raise" (the default)
                gives the device up with `DecodeError`, so that nothing is left out unnoticed;
                "skip" goes on, logs it (``iottly_async.walk``, WARNING) and yields it in
                `MessageBatch.rejected`.
            pace: how often devices are polled. None (the default) is `FollowPace()`.
            concurrency: polls at the same time, at most. Default 8.
            skip: ids of devices that are not followed, for use without `device_ids`. Empty
                by default.
            empty: whether a poll that found nothing yields a batch too. Its cursor tells up
                to when there is no message. Default False.
            on_failure: called with the id of a device that is given up, and its
                `DeviceFailure`: the error, and the cursor from which it can go on. None (the
                default) calls nothing; `Hooks.failure` is called in any case.
            again_after: seconds after which a device that was given up is polled again,
                unless the key gives no access to it (`ForbiddenError`). None (the default):
                it is not.

        Yields:
            Batches of one device each, in order for each device;
            `batch.cursor.device_id` names the device.

        Raises:
            ConfigurationError: an argument is not as above. It is raised by the call
                itself, and nothing was sent.
            CursorMismatchError: a cursor is of another query; raised by the call itself.
            DevicesFailedError: while iterating, when no device is left to follow; it has the
                error and the cursor of each.
            UnauthorizedError: while iterating: the key is refused.

        Example:
            Follow all devices, and poll at once when the stream has a message:

            ```python
            async with session.stream() as stream:
                async for batch in project.messages.follow_many(doorbell=stream):
                    store(batch.cursor.device_id, batch.messages, batch.cursor.to_json())
            ```
        """
        return self._follower(
            device_ids,
            cursors=cursors,
            start=start,
            type=type,
            doorbell=doorbell,
            settle=settle,
            lookback=lookback,
            on_bad_row=on_bad_row,
            pace=pace,
            concurrency=concurrency,
            skip=skip,
            empty=flag(empty, name="empty"),
            on_failure=on_failure,
            again_after=again_after,
        ).batches()

    def _follower(
        self,
        device_ids: Iterable[str] | None,
        *,
        cursors: Mapping[str, Cursor] | None,
        start: datetime | None,
        type: TypeFilter,  # noqa: A002 - the API's own name
        doorbell: Any,
        settle: Seconds | None,
        lookback: Seconds | None,
        on_bad_row: OnBadRow,
        pace: FollowPace | None,
        concurrency: int,
        skip: Iterable[str] = (),
        empty: bool = False,
        alone: bool = False,
        on_failure: OnFailure | None = None,
        again_after: Seconds | None = None,
    ) -> Follower:
        """Make a follower, with its arguments checked."""
        low, _ = time_range(start, None)
        context = self._context
        config = context.pipeline.config
        settled = config.settle if settle is None else seconds(settle, name="settle", zero=True)
        if lookback is None:
            lookback = max(settled, config.settle)
        known = checked_cursors(cursors)
        fixed = _followed_ids(device_ids)
        query = partial(self.query, type=type)
        for device_id in {"any"} if fixed is None else {*fixed, *known}:
            resumed(query(device_id), known.get(device_id))
        skipped = frozenset(skip)

        def failed(device_id: str, failure: DeviceFailure) -> None:
            error = failure.error
            event = FailureEvent(PAGE.template, error.status, builtins.type(error).__name__)
            notify(context.hooks, event)
            if on_failure is not None:
                on_failure(device_id, failure)

        async def list_devices() -> list[str]:
            if fixed is not None:
                ids = fixed
            else:
                ids = [device.id for device in await self._devices(patience=inf)]
            return [device_id for device_id in ids if device_id not in skipped]

        return Follower(
            list_devices=list_devices,
            refresh=fixed is None,
            query=query,
            start=low,
            cursors=known,
            settings=attrs.evolve(
                self.settings(on_bad_row=on_bad_row, lookback=lookback), settle=settled
            ),
            doorbell=doorbell,
            pace=checked_pace(pace),
            concurrency=whole(concurrency, name="concurrency", least=1),
            empty=empty,
            alone=alone,
            again_after=inf if again_after is None else seconds(again_after, name="again_after"),
            on_failure=failed,
            fetch=partial(self._pages.fetch, patience=inf),
            # Where the history alone fails, a proof ends (D6). An outage fails pages, too.
            history=partial(self._pages.history, patience=config.patience),
            quota=context.pipeline.limiter.quota,
            clock=context.clock,
            hold=context.pipeline.hold,
        )


def _followed_ids(device_ids: Iterable[str] | None) -> list[str] | None:
    if device_ids is None:
        return None
    ids = checked_ids(device_ids)
    if not ids:
        raise ConfigurationError("device_ids is empty; None is every device of the project")
    return ids
