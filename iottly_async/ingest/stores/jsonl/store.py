"""Stores messages as JSON lines in one file (its format: `schema`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ....errors import ConfigurationError
from ....models.message_batch import rows_of
from ..appendfile import AppendFile, reading
from ..base import Group, StoreReader
from ..devices import StoredDevice
from ..file_store import FileStore
from ..names import checked_path, real_path
from ..rejected_lines import marks_of, rejected_lines_of, unreadable_of
from .lines import device_lines_of, devices_of, lines_of
from .reader import JSONLinesReader, counted_lines
from .schema import (
    Sidecar,
    compressed,
    devices_path,
    lock_path,
    new_sidecar,
    read_sidecar,
    rejected_path,
    sidecar_path,
)


class JSONLinesStore(FileStore[Sidecar]):
    """A store that is a file of JSON lines. Rows are durable after each `flush`.

    Args:
        path: of the file; created if it does not exist. A file whose name ends in ``.zst``
            is compressed.

    Raises:
        ConfigurationError: the extra ``zstd`` is needed and not installed.
    """

    group_rows = 2_000  # each write wakes a thread, which costs as much as a hundred rows

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = checked_path(path, name="the store's path")
        self._real = real_path(text)
        super().__init__(
            text,
            state_path=sidecar_path(self._real),
            lock_path=lock_path(self._real),
            state=new_sidecar(),
            thread="iottly-jsonl",
        )
        self._pack: Callable[[bytes], bytes] = _zstandard() if compressed(text) else bytes
        self._lines = AppendFile(self._real)
        self._rejected = AppendFile(rejected_path(self._real))

    def reader(self) -> StoreReader:
        """What reads this store."""
        return JSONLinesReader(self._real)

    @property
    def _devices_path(self) -> str:
        return devices_path(self._real)

    def _encoded_devices(self, devices: Sequence[StoredDevice]) -> bytes:
        return device_lines_of(devices)

    def _decoded_devices(self, data: bytes) -> list[StoredDevice]:
        return devices_of(data)

    def _load(self) -> Sidecar:
        if self._lines.exists:
            self._lines.open()
        sidecar = read_sidecar(self._real)
        if sidecar is not None and (sidecar.rejected_size or self._rejected.exists):
            self._rejected.open(follow=False)
        if sidecar is None:
            if self._lines.size or self._rejected.exists:
                raise ConfigurationError(
                    f"store {self.path!r} has lines and no cursor beside it "
                    f"({self._state_path!r}): no job wrote it; name another file"
                )
            sidecar = new_sidecar()
        self._lines.cut(sidecar.size, sidecar.end)
        self._rejected.cut(sidecar.rejected_size, sidecar.rejected_end)
        return sidecar

    def _create(self) -> None:
        self._lines.open()

    def _unreadable(self) -> dict[str, set[str]]:
        path = self._rejected.path
        with reading(path):
            return unreadable_of(marks_of(counted_lines(path, self._state.rejected_size)))

    def _add(self, group: Group) -> None:
        if rows := rows_of(group):
            self._lines.open()
            self._lines.append(self._pack(lines_of(rows)))
        if group.rejected:
            self._rejected.open(follow=False)
            self._rejected.append(rejected_lines_of(group.rejected))

    def _sync_rows(self) -> None:
        self._lines.sync()
        self._rejected.sync()
        state = self._state
        state.size, state.end = self._lines.size, self._lines.end()
        state.rejected_size, state.rejected_end = self._rejected.size, self._rejected.end()

    def _close_files(self) -> None:
        self._lines.close()
        self._rejected.close()


def _zstandard() -> Callable[[bytes], bytes]:
    """A function that compresses lines into one frame."""
    try:
        import zstandard
    except ModuleNotFoundError:
        raise ConfigurationError(
            "compressed lines need the extra zstd: pip install 'iottly-async[zstd]'"
        ) from None
    return zstandard.ZstdCompressor(write_checksum=True).compress
