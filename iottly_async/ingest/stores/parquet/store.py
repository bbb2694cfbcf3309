"""Stores messages as Parquet files in one folder, with its state beside it (`schema`).

A flush appends rows to a log (`row_log`), which makes them durable. A cut moves the rows of the log
into Parquet files, where readers find them. It changes nothing in what is stored, and its steps
are:

1. all files are written to the state folder and synced;
2. ``part.pending`` names them, and is synced;
3. each file is renamed to its place, and the folders are synced;
4. a line with the number of the cut is appended to the manifest, and synced; a new log begins.

After a kill before step 2, the rows are in the log still. After a kill before step 4, the next
`open` does the remaining steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from secrets import token_hex
from typing import TYPE_CHECKING, Final, get_args

import msgspec
from attrs import evolve

from ....clock import SYSTEM_CLOCK
from ....codec import choice
from ....config import whole
from ....errors import ConfigurationError, StoreError
from ...payload_columns import PayloadColumn
from ..appendfile import AppendFile, os_errors_as
from ..aside import remove_asides, replace_file
from ..base import Group, StoredState, StoreReader
from ..devices import StoredDevice
from ..file_store import FileStore
from ..names import checked_path, real_path
from ..rejected_lines import rejected_lines_of, unreadable_of
from .columns import check_columns, check_without
from .placing import check_folder, check_new, check_pending, make_folder, put_in_place, remove
from .rejected import rejected_marks
from .schema import (
    DEFAULT_PART,
    OLD_STATE_FOLDER,
    Manifest,
    PartitionBy,
    PendingCut,
    checked_part,
    devices_path,
    files_of,
    is_aside_of,
    is_log_of,
    layout_of,
    log_path,
    names_in,
    new_manifest,
    read_manifest,
    read_pending,
    rejected_path,
    state_folder,
    state_path,
)

if TYPE_CHECKING:
    from .row_log import RowLog

TARGET_FILE_BYTES: Final = 64 * 1024 * 1024
"""The size from which a Parquet file gets no more rows, by default."""
READABLE_AFTER: Final = 30.0
"""Seconds after which readers find a row that is durable, while cuts are quick."""
_REST: Final = 50
"""How many times as long as a cut took the next one waits."""
LOG_BYTES: Final = 256 * 1024 * 1024
"""The size of the log at which a cut is due."""
_MOST_RACES: Final = 10


class ParquetStore(FileStore[Manifest]):
    """A store that is a folder of Parquet files. Rows are durable after each `flush`.

    Files are few and large. Readers find a row about half a minute after it is durable, and all
    rows when the job ends (`schema`).

    Args:
        path: of the folder; created if it does not exist. The job's own files are in a folder
            beside it, ``<path>.ingest``.
        part: the name of this job within the folder. It names the job's files and its
            manifest. Jobs with different parts can write to one folder at the same time.
            Default "part".
        partition_by: "day" has the rows of all devices in one file after the other, each in
            order of day, device and time; "device" has a folder for each device, with files in
            order of time. None (the default) is as the folder is, and "day" for a new one.
            ``iottly compact`` changes it.
        target_file_bytes: the size from which a file gets no more rows. Default 64 MiB.

    Raises:
        ConfigurationError: the extra ``parquet`` is not installed, `part` cannot be a
            part of a file's name, or an argument is not as above.
    """

    group_rows = 4_000  # fewer rows are not worth the fixed cost of making columns

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        part: str = DEFAULT_PART,
        partition_by: PartitionBy | None = None,
        target_file_bytes: int = TARGET_FILE_BYTES,
    ) -> None:
        try:
            from . import devices, row_files, row_log, typed
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the Parquet store needs the extra parquet: pip install 'iottly-async[parquet]'"
            ) from None
        text = checked_path(path, name="the store's path")
        self._folder = folder = real_path(text)
        self._part = checked_part(part)
        if partition_by is not None:
            choice(partition_by, get_args(PartitionBy), name="partition_by")
        self._partition_by = partition_by
        self._target = whole(target_file_bytes, name="target_file_bytes", least=1, most=1 << 40)
        super().__init__(
            text,
            state_path=state_path(folder, part),
            lock_path=state_path(folder, part, "lock"),
            state=new_manifest(),
            thread="iottly-parquet",
        )
        self._modules = row_files, row_log, typed
        self._devices = devices
        self._state_folder = state_folder(folder)
        self._pending_path = state_path(folder, part, "pending")
        self._token = token_hex(8)  # in the names of files that are written aside
        self._made = False  # the state folder, by this store
        self._rows: RowLog | None = None
        self._rejected = AppendFile(rejected_path(folder, part))
        self._added = self._added_rejected = 0  # rows since the last flush
        self._written = False  # since the last flush
        self._used = False  # since the store was opened
        self._failed = False
        self._waiting_since: float | None = None  # the first flush after the last cut
        self._cut_took = 0.0

    def reader(self) -> StoreReader:
        """What reads this store."""
        from .reader import ParquetReader

        return ParquetReader(self._folder, self._part)

    @property
    def _devices_path(self) -> str:
        return devices_path(self._folder, self._part)

    def _encoded_devices(self, devices: Sequence[StoredDevice]) -> bytes:
        return self._devices.encode_devices(devices)

    def _decoded_devices(self, data: bytes) -> list[StoredDevice]:
        return self._devices.decode_devices(data)

    @property
    def awaits_flush(self) -> bool:
        """Whether rows are durable that readers do not find yet (`Store`)."""
        return self._cut_waits

    async def keep_columns(self, columns: Sequence[PayloadColumn]) -> list[PayloadColumn]:
        """Make typed columns, in all files of the folder (`Store`)."""
        return await self._thread.run(lambda: self._keep_columns(columns))

    async def settle(self) -> None:
        """Move the rows that a killed job has left in the log into files.

        Raises:
            StoreError: the store failed.
        """
        await self._thread.run(lambda: self._cut() if self._cut_waits else None)

    def _keep_columns(self, columns: Sequence[PayloadColumn]) -> list[PayloadColumn]:
        check_columns(self._folder, self._part, columns)
        _, row_log, typed = self._modules
        state = self._state
        with os_errors_as(StoreError, f"store {self.path!r}"):
            logged = row_log.logged_rows(log_path(self._folder, self._part, state.cut), state.log)
            names = files_of(self._folder, self._part)
            stored = typed.stored_payloads(os.path.join(self._folder, name) for name in names)
            state.columns = typed.typed(columns, chain([logged], stored), known=state.columns)
        self._written = True
        self._flush()
        return state.columns

    # --- open ----------------------------------------------------------------------------

    def _hold(self) -> None:
        for _ in range(_MOST_RACES):
            try:
                self._make_state_folder()
                super()._hold()
            except FileNotFoundError as error:
                # A job with another part, which was refused, has just deleted the folder.
                missing = error
            else:
                return self._prepare()
        raise missing

    def _prepare(self) -> None:
        """Convert a store of an earlier version, and check how the rows are divided."""
        from .conversion import convert
        from .swap import wait_for_none

        wait_for_none(self._folder)
        convert(self._folder, self._part, target_bytes=self._target)
        check_without(self._folder, self._part)
        found = layout_of(self._folder)
        if found is not None and self._partition_by not in (None, found):
            raise ConfigurationError(
                f"store {self.path!r} is divided by {found}: leave out partition_by, or run "
                f"iottly compact {self.path} --partition-by {self._partition_by} first"
            )
        self._partition_by = found or self._partition_by or "day"

    def _open(self) -> StoredState:
        stored = super()._open()
        return evolve(stored, columns={one.name: one for one in self._state.columns})

    def _load(self) -> Manifest:
        _, row_log, _ = self._modules
        manifest = read_manifest(self._folder, self._part) or new_manifest()
        pending = read_pending(self._folder, self._part)
        if pending is not None:
            check_pending(self._folder, self._part, pending, manifest)
            if pending.cut > manifest.cut:
                self._state = manifest
                self._finish(pending)
        remove_asides(self._pending_path)
        log = log_path(self._folder, self._part, manifest.cut)
        for name in names_in(self._state_folder):
            path = os.path.join(self._state_folder, name)
            stray = is_log_of(name, self._part) and path != log
            if stray or is_aside_of(name, self._part):
                remove(path)
        self._rows = row_log.RowLog(log, manifest.log, manifest.log_end)
        if self._rejected.exists:
            self._rejected.open(follow=False)
        self._rejected.cut(manifest.rejected_size, manifest.rejected_end)
        return manifest

    def _make_state_folder(self) -> None:
        """Make the state folder. Jobs with other parts may do the same at this moment."""
        found = names_in(self._folder)
        # A store's state folder is there before its first row is.
        old = os.path.join(self._folder, OLD_STATE_FOLDER)
        if found and not any(map(os.path.isdir, (self._state_folder, old))):
            raise ConfigurationError(
                f"store {self.path!r} is a folder with files of something else; name another "
                "folder, which need not exist. If it was a store elsewhere, the folder "
                f"{os.path.basename(self._state_folder)!r} must be moved with it"
            )
        self._made = make_folder(self._state_folder) or self._made
        with suppress(FileNotFoundError):
            check_folder(self._folder, self.path)

    def _unreadable(self) -> dict[str, set[str]]:
        return unreadable_of(rejected_marks(self._folder, self._part, self._state.rejected_size))

    # --- write ---------------------------------------------------------------------------

    def _begin(self, plan: str) -> None:
        first = not self._begun
        if first:
            check_without(self._folder, self._part)  # a part may have begun since
        super()._begin(plan)
        if first and self._cut_waits:
            self._cut()  # the rows of a run that was killed

    def _create(self) -> None:
        make_folder(self._folder)

    def _write(self, group: Group) -> None:
        with self._noting_failure():
            self._written = self._used = True
            super()._write(group)

    def _add(self, group: Group) -> None:
        rows = group.arrow()
        if rows.num_rows:
            self._log_of_rows().append(rows)
            self._added += rows.num_rows
        if group.rejected:
            os.makedirs(os.path.dirname(self._rejected.path), exist_ok=True)
            self._rejected.open(follow=False)
            self._rejected.append(rejected_lines_of(group.rejected))
            self._added_rejected += len(group.rejected)

    def _full(self) -> bool:
        return self._log_of_rows().size >= LOG_BYTES

    def _flush(self) -> None:
        with self._noting_failure():
            if self._written or self._new_plan is not None:
                super()._flush()
                self._written = False
            if self._cut_is_due():
                self._cut()

    def _sync_rows(self) -> None:
        rows, state = self._log_of_rows(), self._state
        rows.sync()
        self._rejected.sync()
        state.log, state.log_end = rows.size, rows.end()
        state.rejected_size, state.rejected_end = self._rejected.size, self._rejected.end()
        state.rows += self._added
        state.rejected += self._added_rejected
        self._added = self._added_rejected = 0

    def _log_of_rows(self) -> RowLog:
        if self._rows is None:
            raise OSError("the store is not open")
        return self._rows

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Note that the block has failed, so that the store is not written to at its end."""
        failed, self._failed = self._failed, True
        yield
        self._failed = failed

    # --- move rows into files -------------------------------------------------------------

    @property
    def _cut_waits(self) -> bool:
        return self._state.log > 0 or self._state.columns_wait

    def _cut_is_due(self) -> bool:
        if not self._cut_waits:
            return False
        now = SYSTEM_CLOCK.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        waited = now - self._waiting_since
        return self._state.log >= LOG_BYTES or waited >= max(READABLE_AFTER, _REST * self._cut_took)

    def _cut(self) -> None:
        """Move the rows of the log into files, which get the typed columns if they have others."""
        row_files, row_log, _ = self._modules
        begun = SYSTEM_CLOCK.monotonic()
        made = [one for one in self._state.columns if one.kind is not None]
        state, number = self._state, self._state.cut + 1
        with os_errors_as(StoreError, f"store {self.path!r}"):
            files = row_files.RowFiles(
                folder=self._folder,
                part=self._part,
                partition_by=self._partition_by or "day",
                target_bytes=self._target,
                number=state.file,
                columns=made,
            ).write(
                row_log.logged_rows(log_path(self._folder, self._part, state.cut), state.log),
                os.path.join(self._state_folder, f"{self._part}-{number:08d}"),
                self._token,
                again=files_of(self._folder, self._part) if state.columns_wait else (),
            )
            check_new(self._folder, self._part, files.values(), last=state.file)
            pending = PendingCut(number, files, state.id, made, state.change)
            replace_file(self._pending_path, msgspec.json.encode(pending))
            self._finish(pending)
            log = log_path(self._folder, self._part, number)
            self._log_of_rows().delete()
            self._rows = row_log.RowLog(log)
        self._waiting_since = None
        self._cut_took = SYSTEM_CLOCK.monotonic() - begun

    def _finish(self, pending: PendingCut) -> None:
        """Rename the files of a cut, and count it. After a crash, this is done again."""
        state = self._state
        last = put_in_place(self._folder, self._part, pending)
        state.file = max(state.file, last)
        state.cut, state.log, state.log_end, state.made = pending.cut, 0, "", pending.made
        self._log.save(state, plan=None, cursors={})

    def _close(self) -> None:
        try:
            if (self._begun or self._used) and self._cut_waits and not self._failed:
                self._cut()
        finally:
            super()._close()
            if self._made and not self._begun:
                # The job was refused before its first request. A folder in use is not empty.
                with suppress(OSError):
                    os.rmdir(self._state_folder)

    def _close_files(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()
        self._rejected.close()
