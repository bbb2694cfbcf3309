"""A manifest: what came of a partition. It is written last, and says that its files are whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
from attrs import frozen

from .partition import Partition

FOLDER = "_manifests"


@frozen(kw_only=True)
class PartitionManifest:
    """What came of a partition.

    Attributes:
        partition_id: of which.
        partition: all of it, as it was planned; without a key, as ever.
        rows: messages in its file.
        rejected: messages that can be no row; they are in a file of their own.
        digest: of the keys of all of them, in order: the same for the same messages.
        files: name and size in bytes of each.
        windows: how many it has.
        failed: what could not be fetched, by window ("device start end", in milliseconds),
            and the error's text; such a partition is done anew when it is run again.
        requests: attempts that it took; not counted where it had been done before.
        seconds: that it took.
        reused: whether it had been done before, and nothing was fetched.
    """

    partition_id: str
    partition: Partition
    rows: int
    rejected: int
    digest: str
    files: Mapping[str, int]
    windows: int
    failed: Mapping[str, str]
    requests: int
    seconds: float
    reused: bool = False

    @classmethod
    def read(cls, folder: str, partition_id: str) -> PartitionManifest | None:
        """The manifest of a partition whose files are all there; None where it is not done.

        Raises:
            OSError: there is one, and it cannot be read.
        """
        try:
            with open(path_of(folder, partition_id), "rb") as file:
                found = msgspec.json.decode(file.read(), type=cls)
        except (FileNotFoundError, ValueError):
            return None
        for name, size in found.files.items():
            try:
                if os.path.getsize(os.path.join(folder, name)) != size:
                    return None
            except FileNotFoundError:
                return None
        return found

    def to_json(self) -> bytes:
        """The manifest as one line of JSON."""
        return msgspec.json.encode(self)


def path_of(folder: str, partition_id: str) -> str:
    """Where the manifest of a partition lies."""
    return os.path.join(folder, FOLDER, f"{partition_id}.json")


def digest_of(manifests: Iterable[PartitionManifest]) -> str:
    """One digest for all: the same for the same messages, whoever fetched them and when."""
    total = blake2b(digest_size=16)
    for manifest in sorted(manifests, key=lambda each: each.partition_id):
        total.update(f"{manifest.partition_id} {manifest.rows} {manifest.digest}\n".encode())
    return total.hexdigest()
