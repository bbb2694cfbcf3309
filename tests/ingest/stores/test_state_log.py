"""State files: a flush costs what has changed, and a cut file is never read as another state."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iottly_async.errors import ConfigurationError
from iottly_async.ingest.stores.state_log import FileState, StateLog, read_state
from tests.support.scale import sized


def saved(path: Path, *changes: dict[str, str], plan: str = "a plan") -> list[bytes]:
    """Save a state and changes of it. Returns the file's content after each."""
    state, log = FileState(version=1, plan=plan), StateLog[FileState](str(path))
    contents = []
    log.save(state, plan=plan, cursors={})
    contents.append(path.read_bytes())
    for change in changes:
        state.cursors.update(change)
        log.save(state, plan=None, cursors=change)
        contents.append(path.read_bytes())
    log.close()
    return contents


def read(path: Path) -> FileState | None:
    """The state in a file."""
    return read_state(str(path), FileState, version=1)


def test_a_flush_writes_what_has_changed(tmp_path: Path) -> None:
    """With 10,000 devices, a flush of one writes a line of less than 1 KB."""
    path = tmp_path / "state"
    state, log = FileState(version=1), StateLog[FileState](str(path))
    state.cursors = {f"device-{number}": "x" * 300 for number in range(10_000)}
    log.save(state, plan=None, cursors={})
    whole = path.stat().st_size
    assert whole > 3_000_000
    state.cursors["device-7"] = "y" * 300
    log.save(state, plan="new", cursors={"device-7": "y" * 300})
    assert 0 < path.stat().st_size - whole < 1000
    found = read(path)
    assert found is not None
    assert (found.plan, found.cursors) == ("new", state.cursors)
    log.close()


def test_a_file_of_many_changes_is_replaced(tmp_path: Path) -> None:
    """It never takes much more than three times the whole state."""
    path = tmp_path / "state"
    state, log = FileState(version=1), StateLog[FileState](str(path))
    sizes = []
    for number in range(sized(600, 3000)):
        state.cursors["a"] = cursor = f"{number:0300}"
        log.save(state, plan=None, cursors={"a": cursor})
        sizes.append(path.stat().st_size)
        assert read(path) == state
    assert max(sizes) < 70_000
    assert sizes[-1] < max(sizes)
    log.close()


def test_a_file_that_is_cut_anywhere_is_an_earlier_state(tmp_path: Path) -> None:
    """Or, if it is cut within the first line, an error that names the file."""
    path = tmp_path / "state"
    contents = saved(path, {"a": "1"}, {"b": "2"}, {"a": "3"})
    states = []
    for content in contents:
        path.write_bytes(content)
        states.append(read(path))
    first = len(contents[0]) - 1  # without the end of the line
    for size in range(len(contents[-1])):
        path.write_bytes(contents[-1][:size])
        if size < first:
            with pytest.raises(ConfigurationError, match=str(path)):
                read(path)
        else:
            whole = sum(size >= len(content) for content in contents)
            assert read(path) == states[max(whole - 1, 0)]


@settings(max_examples=60)
@given(st.data())
def test_lines_that_are_mixed_up_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Lines of another store, in another order, twice or left out: the error names the file."""
    folder = tmp_path_factory.mktemp("mixed")
    changes = [{"a": "1"}, {"b": "2"}, {"a": "3"}, {"c": "4"}]
    own = saved(folder / "state", *changes)[-1].splitlines(keepends=True)
    other = saved(folder / "other", *changes)[-1].splitlines(keepends=True)
    lines = data.draw(st.lists(st.sampled_from([*own[1:], *other]), min_size=1, max_size=6))
    path = folder / "state"
    path.write_bytes(b"".join([own[0], *lines]))
    if lines == own[1 : len(lines) + 1]:
        assert read(path) is not None
    else:
        with pytest.raises(ConfigurationError, match="does not follow the one before"):
            read(path)


@settings(max_examples=200)
@given(at=st.integers(0, 1000), byte=st.integers(0x20, 0x7E))
def test_a_byte_that_was_altered_is_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    """A digit of a cursor that was altered, too: it is never read as another cursor."""
    path = tmp_path_factory.mktemp("altered") / "state"
    content = saved(path, {"a": "1"}, {"b": "2"}, {"a": "3"})[-1]
    whole = read(path)
    at %= content.rindex(b"\n", 0, -1)  # the last line may be a part of one
    path.write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
    found = whole
    with suppress(ConfigurationError):
        found = read(path)
    assert found == whole


def test_a_last_line_without_content_is_ignored(tmp_path: Path) -> None:
    """A machine that loses its power may keep the length of a line, and not the line."""
    path = tmp_path / "state"
    _, one, two = saved(path, {"a": "1"}, {"a": "2"})
    path.write_bytes(one + b"\0" * (len(two) - len(one) - 1) + b"\n")
    found = read(path)
    assert found is not None
    assert found.cursors == {"a": "1"}
    path.write_bytes(one + b"\0\0\n" + two[len(one) :])
    with pytest.raises(ConfigurationError, match="does not follow"):
        read(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    """Also one of the future, whose fields are not known."""
    path = tmp_path / "state"
    contents: list[object] = [{"version": 2}, {"version": 2, "rows": {}}, [], 1, None]
    for content in contents:
        path.write_text(json.dumps(content))
        with pytest.raises(ConfigurationError, match=rf"{path}.* is not a state file of version 1"):
            read(path)
