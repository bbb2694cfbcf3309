"""Manifests: the result of a partition. A manifest is written last, once its files are whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
from attrs import frozen

from .layout import REJECTED, file_path, manifest_path
from .partition import Partition


@frozen(kw_only=True)
class PartitionManifest:
    """The result of a partition.

    Attributes:
        partition_id: the partition's id.
        partition: the partition as it was planned; it holds no key.
        rows: messages in its file of rows.
        rejected: messages that failed validation, and rows that are no messages (D8); they
            are in a file of their own, with their bytes.
        digest: of the keys of all messages, in order; the same for the same messages.
        files: the size in bytes of each file, by its name.
        windows: the number of windows.
        failed: the error's text of each window that failed, by "device start end" in
            milliseconds. A partition with failed windows is fetched again when it is run
            again.
        requests: attempts that the run made; 0 if the partition was complete before.
        seconds: how long the run took; 0 if the partition was complete before.
        reused: whether the partition was complete before, so that nothing was fetched.
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
        """Read the manifest of a partition.

        Args:
            folder: that the partition was run into.
            partition_id: the partition's id.

        Returns:
            The manifest; None if there is none, or if one of its files is missing or has
            another size.

        Raises:
            OSError: the manifest cannot be read.
        """
        names = {f"{partition_id}.{suffix}" for suffix in ("jsonl", "parquet", REJECTED)}
        try:
            with open(manifest_path(folder, partition_id), "rb") as file:
                found = msgspec.json.decode(file.read(), type=cls)
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        if found.partition_id != partition_id or not found.files.keys() <= names:
            return None  # it was altered, and could name any file
        for name, size in found.files.items():
            try:
                if os.path.getsize(file_path(folder, name)) != size:
                    return None
            except FileNotFoundError:
                return None
        return found

    def to_json(self) -> bytes:
        """The manifest as one line of JSON.

        Returns:
            The content of the manifest's file.
        """
        return msgspec.json.encode(self)


def digest_of(manifests: Iterable[PartitionManifest]) -> str:
    """One digest for many manifests.

    Args:
        manifests: of all partitions of a plan, in any order.

    Returns:
        A text of 32 hexadecimal digits. It is the same for the same messages, whichever
        machine fetched them, and when.
    """
    total = blake2b(digest_size=16)
    for manifest in sorted(manifests, key=lambda each: each.partition_id):
        total.update(f"{manifest.partition_id} {manifest.rows} {manifest.digest}\n".encode())
    return total.hexdigest()
