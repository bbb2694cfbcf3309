"""A file of JSON lines, with a sidecar that says how much of it counts.

``telemetry.jsonl`` has a message a line, in the order of arrival: ``key``, ``device_id``,
``timestamp``, ``device_timestamp``, ``type``, ``channel``, ``payload`` (as it arrived) and
``extra``; times are ISO texts in UTC, with milliseconds. Beside it lie

* ``telemetry.jsonl.rejected``: messages that cannot be such a line, with the ``reason``
  and the bytes that arrived as ``payload_base64``; made when there is one;
* ``telemetry.jsonl.cursor``: the sidecar. It holds the plan, the cursors, and the sizes of
  the two files when these cursors were written. It is written aside, synced and renamed
  after the lines themselves were synced; what a file holds beyond that size was written by
  a run that was killed, and a resume cuts it off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ....errors import ConfigurationError, StoreError
from ..appendfile import AppendFile, replace_file
from ..base import Group, Held
from ..rows import lines_of, rejected_lines_of
from ..thread import StoreThread

VERSION: Final = 1


class _Sidecar(msgspec.Struct, kw_only=True):
    version: int
    plan: str | None
    size: int
    rejected_size: int
    cursors: dict[str, str]


class JSONLinesStore:
    """Messages as JSON lines; durable at each `flush`.

    Args:
        path: of the file; made where there is none. One that ends in ``.zst`` is compressed.

    Raises:
        ConfigurationError: the extra ``zstd`` is needed and not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        compressed = self.path.lower().endswith(".zst")
        self._packed = _zstandard() if compressed else _as_they_are
        self._lines = AppendFile(self.path)
        self._rejected = AppendFile(self.path + ".rejected")
        self._sidecar_path = self.path + ".cursor"
        self._plan: str | None = None
        self._cursors: dict[str, str] = {}
        self._thread = StoreThread("iottly-jsonl")

    def __repr__(self) -> str:
        return f"JSONLinesStore({self.path!r})"

    async def open(self) -> Held:
        """Open the files and cut off what no cursor follows (`Store.open`)."""
        return await self._thread.run(self._open)

    async def begin(self, plan: str) -> None:
        """Keep the plan (`Store.begin`)."""
        await self._thread.run(lambda: self._begin(plan))

    async def write(self, group: Group) -> Mapping[str, int]:
        """Append a group's lines (`Store.write`)."""
        await self._thread.run(lambda: self._write(group))
        return {}

    async def flush(self) -> None:
        """Sync the lines, then put a new sidecar in place (`Store.flush`)."""
        await self._thread.run(self._flush)

    async def close(self) -> None:
        """Close the files (`Store.close`)."""
        await self._thread.close(self._close)

    def _open(self) -> Held:
        try:
            # The lock is taken first: what another job still writes must not be cut off.
            self._lines.open()
            sidecar = self._read_sidecar()
            self._lines.cut(sidecar.size)
            if sidecar.rejected_size or self._rejected.exists:
                self._rejected.open()
                self._rejected.cut(sidecar.rejected_size)
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            self._plan, self._cursors = sidecar.plan, sidecar.cursors
            return Held(plan=self._plan, cursors=dict(self._cursors))
        raise ConfigurationError(f"store {self.path!r} cannot be opened: {reason}")

    def _read_sidecar(self) -> _Sidecar:
        try:
            with open(self._sidecar_path, "rb") as file:
                text = file.read()
        except FileNotFoundError:
            if self._lines.size:
                raise ConfigurationError(
                    f"store {self.path!r} has lines and no cursor beside it "
                    f"({self._sidecar_path!r}): it is not a job's; name another file"
                ) from None
            return _Sidecar(version=VERSION, plan=None, size=0, rejected_size=0, cursors={})
        try:
            sidecar = msgspec.json.decode(text, type=_Sidecar)
        except (ValueError, RecursionError):
            sidecar = None
        if sidecar is None or sidecar.version != VERSION:
            raise ConfigurationError(
                f"{self._sidecar_path!r} is not a sidecar of version {VERSION}, "
                "which this library writes; name another file"
            )
        return sidecar

    def _begin(self, plan: str) -> None:
        self._plan = plan
        self._flush()

    def _write(self, group: Group) -> None:
        try:
            if group.messages:
                self._lines.append(self._packed(lines_of(group.messages)))
            if group.rejected:
                self._rejected.open()
                self._rejected.append(rejected_lines_of(group.rejected))
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            for device_id, cursor in group.cursors.items():
                self._cursors[device_id] = cursor.to_json()
            return
        raise StoreError(f"store {self.path!r}: {reason}")

    def _flush(self) -> None:
        sidecar = _Sidecar(
            version=VERSION,
            plan=self._plan,
            size=self._lines.size,
            rejected_size=self._rejected.size,
            cursors=self._cursors,
        )
        try:
            self._lines.sync()
            self._rejected.sync()
            replace_file(self._sidecar_path, msgspec.json.encode(sidecar))
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return
        raise StoreError(f"store {self.path!r}: {reason}")

    def _close(self) -> None:
        self._lines.close()
        self._rejected.close()


def _as_they_are(lines: bytes) -> bytes:
    return lines


def _zstandard() -> Callable[[bytes], bytes]:
    """What makes a frame of lines."""
    try:
        import zstandard
    except ModuleNotFoundError:
        raise ConfigurationError(
            "compressed lines need the extra zstd: pip install 'iottly-async[zstd]'"
        ) from None
    return zstandard.ZstdCompressor(write_checksum=True).compress
