"""Walks over the messages of one device or of many, as a user asks for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Literal

from ..config import Seconds, flag, seconds, whole
from ..errors import ConfigurationError
from ..models import Cursor, Device, MessageBatch
from ..models.cursor import Order
from ..walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches, batches_many
from .context import Context
from .given import by_device, several
from .one_by_one import one_by_one
from .pages import Pages

TypeFilter = Literal["all", "userdefined", "iottlyagent"]


class Walks:
    """Every message of a range, each once; the part of `project.messages` that walks."""

    def __init__(
        self,
        context: Context,
        project_id: str,
        devices: Callable[[], Awaitable[list[Device]]],
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
        verify_ties: bool = False,
        lookback: Seconds = 0.0,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Every message of a range, each once, in lists with the cursor that follows them.

        Nothing is lost and nothing repeated while messages arrive, for the messages of
        a millisecond are handed out together, once it is sure that all are there. The
        next page is fetched while the last one is worked on. Errors arise while iterating.

        Args:
            device_id: of the device.
            start: aware; inclusive; None is the beginning.
            end: aware; exclusive; None, or a time to come, ends at the server's now less
                `Config.settle` (D11).
            type: "all", "userdefined" or "iottlyagent".
            order: "asc", oldest first, or "desc".
            concurrency: requests at once, at most; the quota may allow fewer. Default 1.
            ordered: whether a walk with `concurrency` above 1 keeps the order. Default
                True; without, it is a little faster and needs less memory.
            cursor: of a batch whose messages were stored: goes on behind them. The other
                arguments must be those of the walk it came from; a range left open is
                taken from it. None starts anew.
            verify_ties: prove that a millisecond with more messages than a page holds was
                read whole, even on a service whose order among them changes (D6), by
                further requests for such a millisecond. Default False.
            lookback: seconds before the end of the walk that `cursor` ended with, which are
                read again for messages that became visible later than `Config.settle`.
                Only what is new is handed out; the cursor grows by some 40 bytes for each
                message of the stretch. Ascending walks only. Default 0.

        Raises:
            ConfigurationError: a naive time, `start` not before `end`, another argument
                not as above. This and the next are raised by the call itself, not while
                iterating, and nothing was sent.
            CursorMismatchError: the cursor is of another query.
            PageOrderError: the service does not keep the order asked for.
            UnstableTieOrderError: `verify_ties` found no proof; it names the millisecond.
        """
        context = self._context
        return batches(
            self._pages.fetch,
            self.query(device_id, start=start, end=end, type=type, order=order),
            settings=self.settings(verify_ties=verify_ties, lookback=lookback, order=order),
            cursor=cursor,
            concurrency=whole(concurrency, name="concurrency", least=1),
            ordered=flag(ordered, name="ordered"),
            clock=context.clock,
            capacity=context.capacity,
            history=self._pages.history,
        )

    @one_by_one(batches)
    def walk(self) -> None:
        """Every message of a range, each once.

        Args:
            device_id: of the device.
            start, end: aware; `start` inclusive, `end` exclusive; None is open.
            type, order, concurrency, ordered, cursor, verify_ties, lookback: as in
                `batches`, which is the fast way and gives cursors.

        Raises:
            ConfigurationError, CursorMismatchError, PageOrderError, UnstableTieOrderError:
                as in `batches`, all of them while iterating.
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
        verify_ties: bool = False,
        lookback: Seconds = 0.0,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Every message of many devices, each once, in lists of one device each.

        One pool of requests serves all devices: none waits for a larger one, and a large
        one is shared out at the end. Batches come in no order; `batch.cursor.device_id`
        tells whose each is, and each device ends with a finished cursor.

        Args:
            device_ids: of the devices; None is every device of the project, asked for when
                the iteration begins.
            concurrency: requests at once, at most; the quota may allow fewer. Default 8.
            cursors: where to go on, by device id; a device without one starts anew.
            start, end, type, order, verify_ties, lookback: as in `batches`.

        Raises:
            ConfigurationError, CursorMismatchError: as in `batches`, by the call itself
                where the devices are named.
        """
        whole(concurrency, name="concurrency", least=1)
        settings = self.settings(verify_ties=verify_ties, lookback=lookback, order=order)
        context = self._context
        known = by_device(cursors)

        def over(ids: list[str]) -> AsyncGenerator[MessageBatch, None]:
            return batches_many(
                self._pages.fetch,
                [
                    self.query(device_id, start=start, end=end, type=type, order=order)
                    for device_id in ids
                ],
                settings=settings,
                cursors=known,
                concurrency=concurrency,
                clock=context.clock,
                capacity=context.capacity,
                history=self._pages.history,
            )

        async def over_all() -> AsyncGenerator[MessageBatch, None]:
            found = over(several([device.id for device in await self._devices()]))
            try:
                async for batch in found:
                    yield batch
            finally:
                await found.aclose()

        if device_ids is None:
            self.query(
                "any", start=start, end=end, type=type, order=order
            )  # refused now, if at all
            return over_all()
        return over(several(device_ids))

    @one_by_one(batches_many)
    def walk_many(self) -> None:
        """Every message of many devices, each once.

        Args:
            device_ids, start, end, type, order, concurrency, cursors, verify_ties, lookback:
                as in `batches_many`.

        Raises:
            ConfigurationError, CursorMismatchError, PageOrderError, UnstableTieOrderError:
                as in `batches_many`, all of them while iterating.
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
        """The query of a walk, checked; what ingestion plans with.

        Args:
            device_id, start, end, type, order: as in `batches`.

        Raises:
            ConfigurationError: as `batches`.
        """
        return self._pages.query(device_id, start=start, end=end, type=type, order=order)

    def settings(
        self, *, verify_ties: bool = False, lookback: Seconds = 0.0, order: Order = "asc"
    ) -> WalkSettings:
        """What a walk takes from the session's settings, and what is its own.

        Args:
            verify_ties, lookback, order: as in `batches`.

        Raises:
            ConfigurationError: one of them is not as in `batches`.
        """
        config = self._context.config
        back = seconds(lookback, name="lookback", zero=True)
        if back and order == "desc":
            raise ConfigurationError("lookback is for ascending walks; leave it 0 with order=desc")
        return WalkSettings(
            page_size=config.page_size,
            settle=config.settle,
            verify_ties=flag(verify_ties, name="verify_ties"),
            lookback=back,
            quirks=self._context.quirks,
        )

    async def fetch(self, request: PageRequest) -> Fetched:
        """The page of a `request`, for a walk; as patient as one.

        Waiting for quota is not counted against the deadline.
        """
        return await self._pages.fetch(request)
