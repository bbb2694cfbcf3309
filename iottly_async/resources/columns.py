"""The messages of one device or of many as Arrow columns (extra ``arrow``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..config import Seconds
from ..errors import ConfigurationError
from ..models import Cursor, MessageBatch
from ..models.cursor import Order
from ..walk import OnBadRow
from .walks import OnFailure, TypeFilter, Walks

if TYPE_CHECKING:
    from ..arrow import RecordBatch, Table


class ColumnWalks(Walks):
    """The methods of `project.messages` that yield columns instead of messages.

    The columns are those of `iottly_async.arrow.SCHEMA`. No `Message` is made.
    """

    def arrow(
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
    ) -> AsyncGenerator[tuple[RecordBatch, Cursor], None]:
        """Yield every message of a range, each once, as Arrow record batches with cursors.

        It is `batches` in columns, and resumes in the same way: store a record batch together
        with its cursor, and pass the cursor again after a crash. The rows of up to a second are
        yielded together, 10,000 and a page at most.

        Args:
            device_id: the device's id.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before it. None (the default), or the future, ends
                the walk at the server's present less `Config.settle` (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 1.
            ordered: whether a walk with `concurrency` above 1 keeps the order. Default True.
            cursor: of the last record batch that was stored; the walk resumes after it. None
                (the default) starts anew.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole (D6). None (the default) is `Config.verify_ties`, which is
                True.
            on_bad_row: what happens with a row that is no message (D8), once it was requested
                again: "raise" (the default) ends the walk with `DecodeError`; "skip" goes on,
                logs it (``iottly_async.walk``, WARNING) and leaves it out.
            lookback: seconds before the newest message yielded that a resumed walk reads again,
                as in `batches`. None (the default) is `Config.settle`, 5 s by default; 0 reads
                nothing again.
            patience: seconds for which failures of the service that pass are waited out,
                `math.inf` without end (D18). None (the default) is `Config.patience`, 300 s by
                default.

        Yields:
            Pairs: a `pyarrow.RecordBatch` with the columns of `iottly_async.arrow.SCHEMA`, and
            the cursor that follows its rows. The last cursor is finished, and its record batch
            may have no rows.

        Raises:
            ConfigurationError: pyarrow is not installed, or an argument is not as above. It is
                raised by the call itself, and nothing was sent.
            CursorMismatchError: the cursor is of another query; raised by the call itself.
            DecodeError: as in `batches`.
            PageOrderError: as in `batches`.
            UnstableTieOrderError: as in `batches`.

        Example:
            ```python
            async for rows, cursor in project.messages.arrow(device_id, cursor=load_cursor()):
                store(rows, cursor.to_json())
            ```
        """
        _check_installed()
        found = self.batches(
            device_id,
            start=start,
            end=end,
            type=type,
            order=order,
            concurrency=concurrency,
            ordered=ordered,
            cursor=cursor,
            verify_ties=verify_ties,
            on_bad_row=on_bad_row,
            lookback=lookback,
            patience=patience,
        )
        return _with_cursor(_record_batches(found), device_id)

    def arrow_many(
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
    ) -> AsyncGenerator[tuple[RecordBatch, dict[str, Cursor]], None]:
        """Yield every message of many devices, each once, as Arrow record batches with cursors.

        It is `batches_many` in columns. A record batch has rows of several devices: those that
        arrived within a second, 10,000 and a page at most.

        Args:
            device_ids: ids of the devices. None (the default) is every device of the
                project; they are listed when the iteration begins.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before it. None (the default), or the future, ends
                the walk at the server's present less `Config.settle` (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default) or "desc".
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 8.
            cursors: where to resume, by device id: of each device the last cursor that was
                stored. A device without one starts anew, and with None (the default) all do.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole (D6). None (the default) is `Config.verify_ties`, which is
                True.
            on_bad_row: what happens with a row that is no message (D8), once it was requested
                again: "raise" (the default) ends the walk with `DecodeError`; "skip" goes on,
                logs it (``iottly_async.walk``, WARNING) and leaves it out.
            lookback: seconds before the newest message yielded that a resumed walk reads again,
                as in `batches`. None (the default) is `Config.settle`, 5 s by default; 0 reads
                nothing again.
            patience: seconds for which failures of the service that pass are waited out,
                `math.inf` without end (D18). None (the default) is `Config.patience`, 300 s by
                default.
            on_failure: called as soon as a device fails, with its id and its `DeviceFailure`;
                the others go on. None (the default) calls nothing.

        Yields:
            Pairs: a `pyarrow.RecordBatch` with the columns of `iottly_async.arrow.SCHEMA`, and
            the cursors that follow its rows, by device id. Rows are in no particular order. A
            device may have a cursor here and no rows; its last cursor is finished.

        Raises:
            ConfigurationError: pyarrow is not installed, or an argument is not as above. It is
                raised by the call itself, and nothing was sent.
            CursorMismatchError: as in `batches_many`.
            DevicesFailedError: as in `batches_many`.
            UnauthorizedError: the key is refused. It ends all devices at once.

        Example:
            ```python
            cursors = load_cursors()
            async for rows, reached in project.messages.arrow_many(cursors=cursors):
                store(rows, {device: cursor.to_json() for device, cursor in reached.items()})
            ```
        """
        _check_installed()
        found = self.batches_many(
            device_ids,
            start=start,
            end=end,
            type=type,
            order=order,
            concurrency=concurrency,
            cursors=cursors,
            verify_ties=verify_ties,
            on_bad_row=on_bad_row,
            lookback=lookback,
            patience=patience,
            on_failure=on_failure,
        )
        return _record_batches(found)

    async def to_arrow(
        self,
        device_id: str,
        *,
        payload: Mapping[str, str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        order: Order = "asc",
        concurrency: int = 1,
        verify_ties: bool | None = None,
        on_bad_row: OnBadRow = "raise",
        patience: Seconds | None = None,
    ) -> Table:
        """Read every message of a range, each once, into one Arrow table.

        pandas, polars and DuckDB read a table ``readings`` in one line:
        ``readings.to_pandas()``, ``polars.from_arrow(readings)``, ``duckdb.sql("FROM readings")``.

        Args:
            device_id: the device's id.
            payload: further columns: the path in the payload of each, by the column's name,
                such as ``{"temperature": "sensor_data_reading.temperature"}``. The type is
                found from the data: bool, int64, double, string, or string with the JSON of
                objects and arrays. A message without the path has null. None (the default)
                adds no column.
            start: an aware `datetime`: messages from this moment on. None (the default) is the
                oldest message.
            end: an aware `datetime`: messages before it. None (the default), or the future, ends
                the walk at the server's present less `Config.settle` (D11).
            type: "all" (the default), "userdefined" for messages of the devices' scripts, or
                "iottlyagent" for those of the agent.
            order: "asc" (the default), oldest first, or "desc", newest first.
            concurrency: requests at the same time, at most. The quota may allow fewer.
                Default 1.
            verify_ties: whether to prove that a millisecond with more messages than a page
                holds was read whole (D6). None (the default) is `Config.verify_ties`, which is
                True.
            on_bad_row: what happens with a row that is no message (D8), once it was requested
                again: "raise" (the default) ends the walk with `DecodeError`; "skip" goes on,
                logs it (``iottly_async.walk``, WARNING) and leaves it out.
            patience: seconds for which failures of the service that pass are waited out,
                `math.inf` without end (D18). None (the default) is `Config.patience`, 300 s by
                default.

        Returns:
            A `pyarrow.Table` with the columns of `iottly_async.arrow.SCHEMA`, and those of
            `payload` behind them.

        Raises:
            ConfigurationError: pyarrow is not installed, or an argument is not as above; nothing
                was sent.
            DecodeError: as in `batches`; or a column of `payload` has values of two types, such
                as a number in one message and a text in another.
            PageOrderError: as in `batches`.
            UnstableTieOrderError: as in `batches`.

        Example:
            ```python
            paths = {"temperature": "sensor_data_reading.temperature"}
            readings = await project.messages.to_arrow(device_id, payload=paths)
            frame = readings.to_pandas()
            ```
        """
        _check_installed()
        from ..arrow.collector import Collector
        from ..arrow.table import TableBuilder

        builder = TableBuilder(payload or {})
        found = self.batches(
            device_id,
            start=start,
            end=end,
            type=type,
            order=order,
            concurrency=concurrency,
            verify_ties=verify_ties,
            on_bad_row=on_bad_row,
            patience=patience,
        )
        async with aclosing(Collector().collect(found)) as collected:
            async for rows, _ in collected:
                builder.add(rows)
        return builder.table()


def _check_installed() -> None:
    """Check that pyarrow is there.

    Raises:
        ConfigurationError: it is not; the text says what to install.
    """
    if find_spec("pyarrow") is None:
        raise ConfigurationError(
            "messages as Arrow columns need the extra arrow: pip install 'iottly-async[arrow]'"
        )


async def _record_batches(
    found: AsyncGenerator[MessageBatch, None],
) -> AsyncGenerator[tuple[RecordBatch, dict[str, Cursor]], None]:
    from ..arrow import record_batch
    from ..arrow.collector import Collector

    async with aclosing(Collector().collect(found)) as collected:
        async for rows, cursors in collected:
            yield record_batch(rows), cursors


async def _with_cursor(
    found: AsyncGenerator[tuple[RecordBatch, dict[str, Cursor]], None], device_id: str
) -> AsyncGenerator[tuple[RecordBatch, Cursor], None]:
    async with aclosing(found):
        async for rows, cursors in found:
            yield rows, cursors[device_id]
