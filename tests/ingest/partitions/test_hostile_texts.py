"""Partitions and plans whose texts were cut, mixed up or made up: an error, or the same work."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import Config, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.partitions import Partition, PartitionManifest, run_partition
from iottly_async.ingest.partitions.division import Division
from iottly_async.ingest.partitions.folder_plan import FolderPlan, PlannedSource, read_plan
from iottly_async.ingest.partitions.partition import id_of, windows_of

from .plans import plan_file, planned, written

T = TypeVar("T")

DIVISION: Final = Division(
    type="all",
    start=1_000_000,
    end=None,
    window=60_000,
    windows_per_partition=3,
    pinned_ends=(1_300_000, 1_400_000),
)
EDGES: Final = next(DIVISION.batches())
PARTITION: Final = Partition(
    id=id_of("p1", "all", "d1", EDGES),
    project="p1",
    key_env="KEY_ONE",
    redis_env="REDIS_OF_OURS",
    base_url="http://127.0.0.1:9",
    type="all",
    concurrency=8,
    windows=windows_of("d1", EDGES),
    division=DIVISION,
)
SOURCE: Final = PlannedSource("p1", "http://127.0.0.1:9", "KEY_ONE")
PLAN: Final = FolderPlan(DIVISION).with_partitions(
    [
        (SOURCE, id_of("p1", "all", device, edges), device, edges)
        for device in ("d1", "d2")
        for edges in DIVISION.batches()
    ]
)

HOSTILE: Final = [
    *("../../out", "..", ".", "", "/etc/x", "a/b", "a\\b", "C:x", "a\0b", "a.b", "x" * 101, "-x"),
    *("http://[::1]evil", "https://user:pw@h", "https://h/path", "ftp://h", "h", "file:///etc"),
    *("A=B", "PATH;", "ik_live_1", "\x1b[2J", "\ud800"),
]
VALUES: Final = st.one_of(
    st.sampled_from(HOSTILE),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.one_of(st.integers(-5, 2**62), st.none(), st.text(max_size=3)), max_size=4),
)


def places(value: Any) -> list[list[Any]]:
    """The paths of all members and items of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[list[Any]] = []
    for key, inner in members:
        found.append([key])
        if isinstance(inner, dict | list):
            found += [[key, *rest] for rest in places(inner)]
    return found


@st.composite
def altered(draw: st.DrawFn, text: str) -> str:
    """A JSON text that was cut, or with one to three of its values removed, moved or replaced."""
    if draw(st.integers(0, 3)) == 0:
        cut = draw(st.integers(0, len(text)))
        return text[:cut] + draw(st.sampled_from(["", text[: cut // 2], "\0", "]}"]))
    form = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(places(form)))
        inner = form
        for key in where[:-1]:
            inner = inner[key]
        match draw(st.integers(0, 3)):
            case 0:
                del inner[where[-1]]
            case 1:
                inner[where[-1]] = deepcopy(draw(st.sampled_from(list(form.values()))))
            case _:
                inner[where[-1]] = draw(VALUES)
        if not form:
            break
    return json.dumps(form)


def outcome_of(read: Callable[[], T]) -> T | str:
    """What a function returns, or the text of its error."""
    try:
        return read()
    except ConfigurationError as error:
        return str(error)


@given(altered(PARTITION.to_json()))
def test_an_altered_partition_is_refused_or_stays_in_its_folder(text: str) -> None:
    """What is accepted can be a file's name, and has a variable and a URL."""
    found = outcome_of(lambda: Partition.from_json(text))
    if isinstance(found, str):
        assert found.startswith("this text is not a partition")
        return
    assert os.path.dirname(os.path.normpath(f"/srv/folder/{found.id}.jsonl")) == "/srv/folder"
    assert found.key_env.isupper()
    assert found.base_url.startswith(("http://", "https://"))
    assert Partition.from_json(found.to_json()) == found


@given(altered(PLAN.to_json().decode()))
def test_an_altered_plan_is_refused_or_has_its_own_ids(text: str) -> None:
    """The error names the file. No id is of other windows than before."""
    with TemporaryDirectory() as outer:
        path = written(plan_file(Path(outer, "rows")), text)
        found = outcome_of(lambda: read_plan(f"{outer}/rows"))
    if isinstance(found, str):
        assert str(path) in found
        assert "name another folder" in found
        return
    assert found is not None
    for one in found.partitions:
        project = found.sources[one.source].project
        assert one.id == id_of(project, found.division.type, one.device_id, one.edges)
        assert found.division.batch_at(one.edges[0]) == one.edges


def test_what_is_not_altered_is_accepted() -> None:
    """So the tests above alter something that was right."""
    assert Partition.from_json(PARTITION.to_json()) == PARTITION
    with TemporaryDirectory() as outer:
        written(plan_file(Path(outer, "rows")), PLAN.to_json().decode())
        assert read_plan(f"{outer}/rows") == PLAN


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"id": "../../out"}, "id must be 1 to 100 letters"),
        ({"id": ".."}, "id must be 1 to 100 letters"),
        ({"id": "a\\b"}, "id must be 1 to 100 letters"),
        ({"id": "x" * 101}, "id must be 1 to 100 letters"),
        ({"project": "../x"}, "project must be an id"),
        ({"key_env": "ik_live_0123"}, "key_env must be the name"),
        ({"redis_env": "redis://host"}, "redis_env must be the name"),
        ({"base_url": "https://user:pw@host"}, "must not hold a user or password"),
        ({"base_url": "https://host/path"}, "must be the host alone"),
        ({"type": "others"}, "type must be"),
        ({"concurrency": 0}, "concurrency must be 1 to 1000"),
        ({"windows": windows_of("a/b", EDGES)}, "the device's id must be an id"),
        ({"windows": windows_of("d1", (5, 4))}, "begin before they end"),
        ({"windows": windows_of("d1", (5, 1 << 60))}, "begin before they end"),
        ({"windows": windows_of("d1", (5, 9)) + windows_of("d1", (8, 12))}, "disjoint"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, Any], reason: str) -> None:
    """The error names it, whether the partition is made here or read from a text."""
    with pytest.raises(ConfigurationError, match=reason):
        evolve(PARTITION, **values)
    form = json.loads(PARTITION.to_json()) | values
    with pytest.raises(ConfigurationError, match=reason):
        Partition.from_json(json.dumps(form))


async def test_a_pickle_is_checked_before_it_is_run(emulator: Emulator, tmp_path: Path) -> None:
    """A pickle can have any id. No file is written, and nothing is sent."""
    partition, *_ = await planned(emulator)
    object.__setattr__(partition, "id", "../../out")
    seen = len(emulator.requests)
    with pytest.raises(ConfigurationError, match="id must be"):
        await run_partition(pickle.loads(pickle.dumps(partition)), tmp_path / "a" / "b")
    assert (os.listdir(tmp_path), len(emulator.requests)) == ([], seen)


async def test_a_key_is_not_sent_in_clear_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule of `Config` holds for a partition's host: http is for loopback, unless the
    machine that runs it allows more. Nothing is written."""
    monkeypatch.setenv("KEY_ONE", "a-key")
    partition = evolve(PARTITION, base_url="http://evil.example", redis_env=None)
    for config in (None, Config()):
        with pytest.raises(ConfigurationError, match="would send the key in clear text"):
            await run_partition(partition, tmp_path, config=config)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hosts", "other.jsonl"])
async def test_a_manifest_that_names_another_file_does_not_count(
    emulator: Emulator, tmp_path: Path, name: str
) -> None:
    """The partition is fetched again."""
    partition, *_ = await planned(emulator)
    first = await run_partition(partition, tmp_path, limiter=RateLimiter())
    path = tmp_path.with_name(f"{tmp_path.name}.ingest") / "manifests" / f"{partition.id}.json"
    form = json.loads(path.read_text())
    path.write_text(json.dumps({**form, "files": {**form["files"], name: 5}}))
    assert PartitionManifest.read(str(tmp_path), partition.id) is None
    again = await run_partition(partition, tmp_path, limiter=RateLimiter())
    assert (again.reused, again.digest) == (False, first.digest)


async def test_other_windows_under_the_same_id_are_refused(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A partition that was made by hand does not pass for one that is complete."""
    partition, *_ = await planned(emulator)
    await run_partition(partition, tmp_path, limiter=RateLimiter())
    plan_file(tmp_path).unlink()
    other = evolve(partition, windows=partition.windows[1:])
    with pytest.raises(ConfigurationError, match="has other windows as partition"):
        await run_partition(other, tmp_path, limiter=RateLimiter())


async def test_a_broken_plan_is_named(emulator: Emulator, tmp_path: Path) -> None:
    """Neither planning nor running goes on without it. Nothing is written."""
    partition, *_ = await planned(emulator)
    folder = tmp_path / "rows"
    path = written(plan_file(folder), '{"version":2,"division":{}}')
    for work in (planned(emulator, to=folder), run_partition(partition, folder)):
        with pytest.raises(ConfigurationError, match=r"plan.json.*version 2.*reads 1"):
            await work
    assert (os.listdir(path.parent), os.listdir(folder)) == (["plan.json"], [])
