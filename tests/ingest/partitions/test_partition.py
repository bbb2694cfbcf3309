"""Partitions as plain data."""

from __future__ import annotations

import pickle

import pytest

from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.partitions import Partition

from .plans import planned


async def test_a_partition_is_plain_data_without_the_key(emulator: Emulator) -> None:
    """It can be pickled and written as JSON. It names the key's variable, and not the key."""
    (partition, *_) = await planned(emulator, redis_env="REDIS_URL")
    assert Partition.from_json(partition.to_json()) == partition
    assert pickle.loads(pickle.dumps(partition)) == partition
    shown = partition.to_json().encode() + repr(partition).encode() + pickle.dumps(partition)
    assert b"KEY_ONE" in shown
    assert b"a-key-of-one" not in shown


def test_a_text_that_is_not_a_partition_is_refused() -> None:
    """The error says what `from_json` reads."""
    with pytest.raises(ConfigurationError, match="not a partition"):
        Partition.from_json("{}")
