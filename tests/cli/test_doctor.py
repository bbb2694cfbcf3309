"""`iottly doctor`: the plan, the table, the profile and the report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iottly_async import Config
from iottly_async.doctor import profile_text
from iottly_async.emulator import EmulatorThread

from .conftest import ROOT, Run, shown_by, terminal


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """An emulator whose pages start at 0 and have at most 40 messages."""
    with EmulatorThread(devices=2, messages=400, first_page=0, page_size_cap=40) as emulator:
        yield emulator


def asked(emulator: EmulatorThread) -> int:
    """The number of requests that an emulator has answered."""
    return len(emulator.requests)


def test_the_plan_is_shown_before_the_findings(iottly: Run) -> None:
    """stderr lists the requests and the settings; stdout has one finding a line."""
    done = iottly("doctor", "--yes")
    assert done.code == 0
    assert "at most 40 requests" in done.err
    assert "GET /v1.0/project/{project}/device/{device}/messages/paginated" in done.err
    assert "set first_page = 0" in done.err
    found = {record["check"]: record for record in done.records}
    assert found["page numbers"]["setting"] == {"name": "first_page", "value": 0}
    assert found["page size"]["verdict"] == "differs"


def test_the_whole_diagnosis_is_one_json_object(iottly: Run) -> None:
    """`--json` has the findings, the requests, the settings and the versions."""
    (record,) = iottly("doctor", "--yes", "--json").records
    assert record["settings"] == {"first_page": 0, "page_size": 40}
    assert record["stopped"] is None
    assert len(record["findings"]) > 20
    assert record["requests"][0]["request"] == "GET /v1.0/project/ping"
    assert record["iottly_async"]


def test_the_saved_profile_is_used_by_its_name(
    iottly: Run,
    emulator: EmulatorThread,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What `--save` wrote is a profile: of a program by its path, of a command by its name."""
    path = tmp_path / "found.toml"
    assert iottly("doctor", "--yes", "--save", str(path)).code == 0
    expected = Config(base_url=emulator.base_url, first_page=0, page_size=40)
    assert Config.from_file(path) == expected
    assert list(tmp_path.iterdir()) == [path]
    folder = tmp_path / "iottly"
    folder.mkdir()
    (folder / "config.toml").write_text("[plant]\n" + path.read_text())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("IOTTLY_PROJECT")
    monkeypatch.delenv("IOTTLY_BASE_URL")
    (record,) = iottly("doctor", "--yes", "--json", "--profile", "plant").records
    assert record["settings"] == {"first_page": 0, "page_size": 40}
    done = iottly("doctor", "--yes", "--profile", "plnt")
    assert done.code == 2
    assert "its profiles are plant" in done.err


@pytest.mark.parametrize("there", ["file", "link"])
def test_a_file_is_never_overwritten(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path, there: str
) -> None:
    """A file, or a link to nowhere, at `--save` is refused before anything is sent."""
    path = tmp_path / "config.toml"
    if there == "file":
        path.write_text("page_size = 7\n")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    before = asked(emulator)
    done = iottly("doctor", "--yes", "--save", str(path))
    assert done.code == 2
    assert "exists and is not overwritten" in done.err
    assert asked(emulator) == before
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]


def test_a_file_that_appears_meanwhile_is_kept(
    iottly: Run, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that another program creates meanwhile is not replaced, and nothing is left."""
    path = tmp_path / "config.toml"

    def and_create(*arguments: Any) -> str:
        path.write_text("page_size = 7\n")
        return profile_text(*arguments)

    monkeypatch.setattr("iottly_async.doctor.profile_text", and_create)
    done = iottly("doctor", "--yes", "--save", str(path))
    assert done.code == 1
    assert "cannot be written: File exists" in done.err
    assert path.read_text() == "page_size = 7\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_holds_no_secret_and_no_id(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """It can be attached to a bug: no key, no ids, no names, no payload, no address."""
    path = tmp_path / "report.json"
    assert iottly("doctor", "--yes", "--report", str(path)).code == 0
    text = path.read_text()
    assert json.loads(text)["settings"] == {"first_page": 0, "page_size": 40}
    ids = [emulator.project_id, emulator.fleet_project_id, *emulator.device_ids]
    ids += [*emulator.fleet_ids, emulator.api_key, emulator.base_url, "temperature", "gateway"]
    assert [each for each in ids if each in text] == []


def test_without_a_terminal_it_needs_yes(iottly: Run, emulator: EmulatorThread) -> None:
    """Nobody can be asked, so nothing is sent."""
    before = asked(emulator)
    done = iottly("doctor")
    assert done.code == 2
    assert "pass --yes" in done.err
    assert asked(emulator) == before


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize(("answer", "sends"), [("y", True), ("n", False), ("", False)])
def test_it_asks_on_a_terminal(
    iottly: Run,
    emulator: EmulatorThread,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    sends: bool,
) -> None:
    """Only a yes goes on."""
    before = asked(emulator)
    with terminal() as (ours, theirs), open(theirs, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(ours, answer.encode() + b"\n")
        done = iottly("doctor")
    assert done.code == 0
    assert "[y/N]" in done.err + done.out
    assert (asked(emulator) > before) is sends
    assert ("nothing was sent" in done.err) is not sends


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_the_table_fits_the_terminal(environment: dict[str, str]) -> None:
    """No line is longer than the terminal is wide, and no evidence is cut."""
    widths = (40, 80, 200)
    wide = {**environment, "NO_COLOR": "1", "TERM": "xterm"}
    trials = [({**wide, "COLUMNS": str(columns)}, ["doctor", "--yes"]) for columns in widths]
    for columns, shown in zip(
        widths, shown_by(trials, on_terminal=True, stderr=False), strict=True
    ):
        text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(map(len, text.splitlines())) <= columns
        words = " ".join(text.split())
        assert "…" not in words
        for part in ("page numbers", "differs", "they start at 0", "first_page = 0"):
            assert part in words


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"kind": "status", "status": 401, "count": None}, 3, "both generations refuse the key"),
        ({"kind": "reset", "count": None}, 1, "the service does not answer"),
        ({"kind": "reset", "count": None, "skip": 5}, 4, "the service does not answer"),
    ],
)
def test_an_end_before_the_end_has_an_exit_code(
    iottly: Run, emulator: EmulatorThread, fault: dict[str, object], code: int, words: str
) -> None:
    """The key refused, a service that is away from the start, and one that goes away."""
    emulator.fault(**fault)  # type: ignore[arg-type]
    done = iottly("doctor", "--yes")
    assert done.code == code
    assert f"ended early: {words}" in done.err
    assert done.records


def test_a_proxy_that_answers_html_is_no_diagnosis(iottly: Run, emulator: EmulatorThread) -> None:
    """Nothing was learned from the API, so the exit code is that of an error."""
    emulator.fault("html", status=200, count=None)
    done = iottly("doctor", "--yes")
    assert done.code == 1
    assert "no answer is the API's own; is this its address" in done.err
    assert {"unknown"} == {each["verdict"] for each in done.records if "key" in each["check"]}


def test_no_output_holds_the_key(
    iottly: Run, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that repeats the key in its answers does not bring it into the output."""
    key = emulator.api_key
    headers = {"Retry-After": key, "Content-Encoding": "identity", "X-RateLimit-Reset": key}
    emulator.fault("status", status=400, headers=headers, body={"error": key}, count=None)
    done = iottly("doctor", "--yes", "--json")
    assert key not in done.out + done.err
    assert "<redacted>" in done.out


def test_the_help_names_the_options() -> None:
    """`--help` explains saving and reporting without loading a key."""
    done = subprocess.run(
        [sys.executable, "-m", "iottly_async", "doctor", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("IOTTLY_")},
    )
    for option in ("--yes", "--save", "--report", "--json", "--profile"):
        assert option in done.stdout
