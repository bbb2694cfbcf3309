"""Walks over the messages of one device or of many."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from datetime import datetime
from functools import partial, wraps
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast

from ..codec import choice
from ..config import Seconds, flag, seconds, whole
from ..errors import ConfigurationError, DeviceFailure
from ..models import Cursor, Device, Message, MessageBatch
from ..models.cursor import Order
from ..models.message import messages_of
from ..models.message_batch import rows_of
from ..models.row import MessageRow
from ..walk import (
    Fetched,
    HistoryRequest,
    OnBadRow,
    PageRequest,
    WalkQuery,
    WalkSettings,
    batches,
    batches_many,
)
from .arguments import check_intervals, checked_cursors, checked_ids
from .context import Context
from .pages import Pages

OnFailure = Callable[[str, DeviceFailure], object]
TypeFilter = Literal["all", "userdefined", "iottlyagent"]

_Owner = TypeVar("_Owner")
_P = ParamSpec("_P")
_Batches = Callable[Concatenate[_Owner, _P], AsyncGenerator[MessageBatch, None]]
_Messages = Callable[Concatenate[_Owner, _P], AsyncGenerator[Message, None]]


class ListDevices(Protocol):
    """Lists the project's devices."""

    async def __call__(self, *, patience: Seconds | None = None) -> list[Device]:
        """Make the call; `patience` is as in `Devices.list`."""
        ...


def _messages_of(
    batches: _Batches[_Owner, _P],
) -> Callable[[Callable[[_Owner], None]], _Messages[_Owner, _P]]:
    """Decorate a method that has only a name and a docstring: it yields the messages of
    `batches` one by one, and has its signature, also for an editor and a type checker.
    """

    def decorate(named: Callable[[_Owner], None]) -> _Messages[_Owner, _P]:
        @wraps(named)
        async def walk(
            self: _Owner, /, *args: _P.args, **kwargs: _P.kwargs
        ) -> AsyncGenerator[Message, None]:
            found = batches(self, *args, **kwargs)
            try:
                async for batch in found:
                    messages = messages_of(rows_of(batch))
                    messages.reverse()
                    while messages:
                        # A message that nothing refers to here is freed as soon as its consumer
                        # drops it, and its memory is reused: a tenth of the walk's CPU time.
                        yield messages.pop()
            finally:
                await found.aclose()

        yields = "AsyncGenerator[Message, None]"
        signature = inspect.signature(batches).replace(return_annotation=yields)
        walk.__signature__ = signature  # type: ignore[attr-defined]
        walk.__annotations__ = {**batches.__annotations__, "return": AsyncGenerator[Message, None]}
        return walk

    return decorate


class Walks:
    """The walking methods of `project.messages`: every message of a range, each once."""

    def __init__(
        self,
        context: Context,
        project_id: str,
        devices: ListDevices,
    ) -> None:
        self._context = context
        self._pages = Pages(context, project_id)
        self._devices = devices

    def batches(
        self,
        device_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
        concurrency: int = 1,
        ordered: bool = True,
        cursor: Cursor | None = None,
        verify_ties: bool | None = None,
        on_bad_row: OnBadRow = "raise",
        lookback: Seconds | None = None,
        patience: Seconds | None = None,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Yield every message of a range, each once, in batches with cursors.

        This is the fastest way to read a range, and the one that can be resumed: store a
        batch's messages together with its cursor, and pass the cursor again after a crash.

        No message is lost or repeated while others arrive. All messages of one millisecond
        are in the same batch. The next page is fetched while the consumer works on the
        last one. A walk without an end, resumed, goes on behind the newest message that was
        yielded, whatever the clocks say, and looks back from there (`lookback`).

        Args:
            device_id: the device's id.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before this moment. None (the default), or a
                moment in the future, ends the walk at the server's present less
                `Config.settle`, which is 5 s by default (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 1.
            ordered: whether a walk with `concurrency` above 1 keeps the order. Default
                True. Without the order it is a little faster and needs less memory.
            cursor: of the last batch that was stored; the walk resumes after it. The other
                arguments must be those of the walk that it comes from; a bound that is None
                is taken from it. One with more intervals than a walk with this `concurrency`
                can leave is refused, because each costs a request. None (the default) starts
                anew.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole, also on a service that changes the order among them
                (D6). It costs requests for such milliseconds only. None (the default) is
                `Config.verify_ties`, which is True.
            on_bad_row: what happens with a row that is no message, because its `timestamp` or
                `from` cannot be read (D8), once it was requested again: "raise" (the default)
                ends the walk with `DecodeError`, so that nothing is left out unnoticed;
                "skip" goes on, logs it (``iottly_async.walk``, WARNING) and yields it in
                `MessageBatch.rejected`.
            lookback: seconds, or a `timedelta`, before the newest message yielded that a resumed
                walk reads again, for messages that became visible late (D11). Only new messages
                are yielded. The cursor holds about 40 bytes for each message of that part,
                10,000 messages at most. Ascending walks only. None (the default) is
                `Config.settle`, 5 s by default; 0 reads nothing again.
            patience: seconds, or a `timedelta`, for which failures of the service that pass are
                waited out, `math.inf` without end (D18). None (the default) is
                `Config.patience`, which is 300 s by default.

        Yields:
            Batches of messages in the order asked for. The last one has a finished cursor,
            and may have no messages.

        Raises:
            ConfigurationError: an argument is not as above. It is raised by the call
                itself, and nothing was sent.
            CursorMismatchError: the cursor is of another query; raised by the call itself.
            DecodeError: a row is no message (`on_bad_row`), or a page has no row that is one.
            PageOrderError: the service does not keep the order asked for.
            UnstableTieOrderError: `verify_ties` found no proof for a millisecond; the text
                names it, and says what to do.

        Example:
            ```python
            async for batch in messages.batches(device_id, cursor=load_cursor()):
                store(batch.messages, batch.cursor.to_json())
            ```
        """
        context = self._context
        patient = context.patience(patience)
        whole(concurrency, name="concurrency", least=1)
        check_intervals(cursor, concurrency=concurrency)
        return batches(
            partial(self._pages.fetch, patience=patient),
            self.query(device_id, start=start, end=end, type=type, order=order),
            settings=self.settings(
                verify_ties=verify_ties, on_bad_row=on_bad_row, lookback=lookback, order=order
            ),
            cursor=cursor,
            concurrency=concurrency,
            ordered=flag(ordered, name="ordered"),
            clock=context.clock,
            capacity=context.pipeline.capacity,
            history=partial(self._pages.history, patience=patient),
        )

    @_messages_of(batches)
    def walk(self) -> None:
        """Yield every message of a range, each once.

        `batches` is faster, and gives cursors to resume from.

        Args:
            device_id: the device's id.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before this moment. None (the default), or a
                moment in the future, ends the walk at the server's present less
                `Config.settle`, which is 5 s by default (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 1.
            ordered: whether a walk with `concurrency` above 1 keeps the order. Default
                True. Without the order it is a little faster and needs less memory.
            cursor: of a batch whose messages were stored; the walk resumes after it. None
                (the default) starts anew.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole, also on a service that changes the order among them
                (D6). It costs requests for such milliseconds only. None (the default) is
                `Config.verify_ties`, which is True.
            on_bad_row: what happens with a row that is no message, because its `timestamp` or
                `from` cannot be read (D8), once it was requested again: "raise" (the default)
                ends the walk with `DecodeError`, so that nothing is left out unnoticed;
                "skip" goes on, logs it (``iottly_async.walk``, WARNING) and leaves it out.
            lookback: seconds, or a `timedelta`, before the newest message yielded that a resumed
                walk reads again, for messages that became visible late (D11). Only new messages
                are yielded. The cursor holds about 40 bytes for each message of that part,
                10,000 messages at most. Ascending walks only. None (the default) is
                `Config.settle`, 5 s by default; 0 reads nothing again.
            patience: seconds, or a `timedelta`, for which failures of the service that pass are
                waited out, `math.inf` without end (D18). None (the default) is
                `Config.patience`, which is 300 s by default.

        Yields:
            Messages in the order asked for.

        Raises:
            ConfigurationError: an argument is not as above. All errors are raised while
                iterating.
            CursorMismatchError: the cursor is of another query.
            DecodeError: a row is no message (`on_bad_row`), or a page has no row that is one.
            PageOrderError: the service does not keep the order asked for.
            UnstableTieOrderError: `verify_ties` found no proof for a millisecond; the text
                names it, and says what to do.

        Example:
            ```python
            since = datetime(2026, 3, 1, tzinfo=UTC)
            async for message in project.messages.walk(device_id, start=since):
                print(message.timestamp, message.payload)
            ```
        """

    def batches_many(
        self,
        device_ids: Iterable[str] | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
        concurrency: int = 8,
        cursors: Mapping[str, Cursor] | None = None,
        verify_ties: bool | None = None,
        on_bad_row: OnBadRow = "raise",
        lookback: Seconds | None = None,
        patience: Seconds | None = None,
        on_failure: OnFailure | None = None,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Yield every message of many devices, each once, in batches of one device each.

        All devices share the same requests, so a device with many messages does not delay
        the others. Towards the end its range is divided among the free requests.

        Args:
            device_ids: ids of the devices. None (the default) is every device of the
                project; they are listed when the iteration begins.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before this moment. None (the default), or a
                moment in the future, ends the walks at the server's present less
                `Config.settle`, which is 5 s by default (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 8.
            cursors: where to resume, by device id: of each device the cursor of the last
                batch that was stored. A device without one starts anew, and with None (the
                default) all do.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole, also on a service that changes the order among them
                (D6). It costs requests for such milliseconds only. None (the default) is
                `Config.verify_ties`, which is True.
            on_bad_row: what happens with a row that is no message, because its `timestamp` or
                `from` cannot be read (D8), once it was requested again: "raise" (the default)
                ends the walk of its device with `DecodeError`, so that nothing is left out
                unnoticed; "skip" goes on, logs it (``iottly_async.walk``, WARNING) and yields it
                in `MessageBatch.rejected`.
            lookback: seconds, or a `timedelta`, before the newest message yielded that a resumed
                walk reads again, for messages that became visible late (D11). Only new messages
                are yielded. The cursor holds about 40 bytes for each message of that part,
                10,000 messages at most. Ascending walks only. None (the default) is
                `Config.settle`, 5 s by default; 0 reads nothing again.
            patience: seconds, or a `timedelta`, for which failures of the service that pass are
                waited out, `math.inf` without end (D18). None (the default) is
                `Config.patience`, which is 300 s by default.
            on_failure: called as soon as a device fails, with its id and its `DeviceFailure`;
                the others go on. None (the default) calls nothing.

        Yields:
            Batches in no particular order, also those of one device;
            `batch.cursor.device_id` names the device. Each device ends with a batch whose
            cursor is finished, and which may have no messages.

        Raises:
            ConfigurationError: an argument is not as above. It is raised by the call
                itself, and nothing was sent.
            CursorMismatchError: a cursor is of another query. It is raised by the call
                itself if the devices are named, else while iterating.
            DevicesFailedError: some devices failed, such as with `ForbiddenError`,
                `PageOrderError` or `UnstableTieOrderError`. It is raised when everything of
                the other devices was yielded, and has the error and the cursor of each.
            UnauthorizedError: the key is refused. It ends all devices at once, as
                `SessionClosedError` does.

        Example:
            ```python
            async for batch in project.messages.batches_many(start=since):
                store(batch.cursor.device_id, batch.messages, batch.cursor.to_json())
            ```
        """
        whole(concurrency, name="concurrency", least=1)
        settings = self.settings(
            verify_ties=verify_ties, on_bad_row=on_bad_row, lookback=lookback, order=order
        )
        context = self._context
        patient = context.patience(patience)
        known = checked_cursors(cursors)

        def query(device_id: str) -> WalkQuery:
            return self.query(device_id, start=start, end=end, type=type, order=order)

        def walk(ids: list[str]) -> AsyncGenerator[MessageBatch, None]:
            return batches_many(
                partial(self._pages.fetch, patience=patient),
                [query(device_id) for device_id in ids],
                settings=settings,
                cursors=known,
                concurrency=concurrency,
                clock=context.clock,
                capacity=context.pipeline.capacity,
                history=partial(self._pages.history, patience=patient),
                on_failure=on_failure,
            )

        async def walk_all() -> AsyncGenerator[MessageBatch, None]:
            devices = await self._devices(patience=patient)
            found = walk(checked_ids([device.id for device in devices]))
            try:
                async for batch in found:
                    yield batch
            finally:
                await found.aclose()

        if device_ids is None:
            query("any")  # so that wrong arguments are refused by the call itself
            return walk_all()
        return walk(checked_ids(device_ids))

    @_messages_of(batches_many)
    def walk_many(self) -> None:
        """Yield every message of many devices, each once.

        `batches_many` is faster, and gives cursors to resume from.

        Args:
            device_ids: ids of the devices. None (the default) is every device of the
                project; they are listed when the iteration begins.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before this moment. None (the default), or a
                moment in the future, ends the walks at the server's present less
                `Config.settle`, which is 5 s by default (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 8.
            cursors: where to resume, by device id. A device without one starts anew, and
                with None (the default) all do.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole, also on a service that changes the order among them
                (D6). It costs requests for such milliseconds only. None (the default) is
                `Config.verify_ties`, which is True.
            on_bad_row: what happens with a row that is no message, because its `timestamp` or
                `from` cannot be read (D8), once it was requested again: "raise" (the default)
                ends the walk of its device with `DecodeError`, so that nothing is left out
                unnoticed; "skip" goes on, logs it (``iottly_async.walk``, WARNING) and leaves it
                out.
            lookback: seconds, or a `timedelta`, before the newest message yielded that a resumed
                walk reads again, for messages that became visible late (D11). Only new messages
                are yielded. The cursor holds about 40 bytes for each message of that part,
                10,000 messages at most. Ascending walks only. None (the default) is
                `Config.settle`, 5 s by default; 0 reads nothing again.
            patience: seconds, or a `timedelta`, for which failures of the service that pass are
                waited out, `math.inf` without end (D18). None (the default) is
                `Config.patience`, which is 300 s by default.
            on_failure: called as soon as a device fails, with its id and its `DeviceFailure`;
                the others go on. None (the default) calls nothing.

        Yields:
            Messages in no particular order; `message.device_id` names the device.

        Raises:
            ConfigurationError: an argument is not as above. All errors are raised while
                iterating.
            CursorMismatchError: a cursor is of another query.
            DevicesFailedError: some devices failed, such as with `ForbiddenError`,
                `PageOrderError` or `UnstableTieOrderError`. It is raised when everything of
                the other devices was yielded, and has the error and the cursor of each.
            UnauthorizedError: the key is refused. It ends all devices at once, as
                `SessionClosedError` does.
        """

    def query(
        self,
        device_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
    ) -> WalkQuery:
        """The query of a walk, with its arguments checked. An ingestion plans with it.

        Args:
            device_id: the device's id.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before this moment. None (the default) is the
                present.
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.

        Returns:
            The query, with times in milliseconds since the epoch.

        Raises:
            ConfigurationError: an argument is not as above, or `start` is not before `end`.
        """
        return self._pages.query(device_id, start=start, end=end, type=type, order=order)

    def settings(
        self,
        *,
        verify_ties: bool | None = None,
        on_bad_row: OnBadRow = "raise",
        lookback: Seconds | None = None,
        order: Order = "asc",
    ) -> WalkSettings:
        """The settings of a walk: some are the session's, some its own.

        Args:
            verify_ties: whether to prove that large milliseconds were read whole (D6).
                None (the default) is `Config.verify_ties`, which is True.
            on_bad_row: "raise" (the default), or "skip" for rows that are no messages.
            lookback: seconds that a resumed walk reads again. None (the default) is
                `Config.settle`, and 0 for a descending walk.
            order: of the walk; `lookback` needs "asc", which is the default.

        Returns:
            The settings, with what walks have learned of the server.

        Raises:
            ConfigurationError: an argument is not as above.
        """
        config = self._context.pipeline.config
        if lookback is None:
            back = config.settle if order == "asc" else 0.0
        else:
            back = seconds(lookback, name="lookback", zero=True)
        if back and order == "desc":
            raise ConfigurationError("lookback is for ascending walks; leave it out for order=desc")
        return WalkSettings(
            page_size=config.page_size,
            settle=config.settle,
            verify_ties=(
                config.verify_ties if verify_ties is None else flag(verify_ties, name="verify_ties")
            ),
            on_bad_row=cast(OnBadRow, choice(on_bad_row, ("raise", "skip"), name="on_bad_row")),
            lookback=back,
            quirks=self._context.quirks,
        )

    async def fetch(self, request: PageRequest, *, patience: Seconds | None = None) -> Fetched:
        """Fetch one page for a walk.

        Args:
            request: which page.
            patience: seconds for which failures of the service that pass are waited out.
                None (the default) is `Config.patience`, 300 s by default.

        Returns:
            The page, and the server's time.
        """
        return await self._pages.fetch(request, patience=self._context.patience(patience))

    async def history(
        self, request: HistoryRequest, *, patience: Seconds | None = None
    ) -> list[MessageRow]:
        """Fetch messages of one millisecond with their ids, for a walk.

        Args:
            request: which messages.
            patience: seconds for which failures of the service that pass are waited out.
                None (the default) is `Config.patience`, 300 s by default.

        Returns:
            The messages, in any order.
        """
        return await self._pages.history(request, patience=self._context.patience(patience))
