"""No text from outside steers the terminal: every command, on a pseudo-terminal and in a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from cyclopts import App

from iottly_async.cli.app import make_app
from iottly_async.cli.console import json_of

from .conftest import Run, shown_by

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

CONTROLS: Final = frozenset(
    map(
        chr,
        [
            *range(0x20),
            *range(0x7F, 0xA0),
            *(0x61C, 0x200E, 0x200F),
            *range(0x2028, 0x202F),
            *range(0x2066, 0x2070),
        ],
    )
)
HOSTILE: Final = "<b>" + "".join(f"{character}x" for character in sorted(CONTROLS)) + "[2J"
ARGUMENT: Final = os.fsdecode(HOSTILE.replace("\0", "").encode() + b"\xff\xed\xa0\x80")
"""As a shell can give it: without NUL, with bytes that are no UTF-8."""

DEVICE: Final = "3781de91-d446-4c64-825d-756dd60f2dab"


def device(text: str) -> dict[str, Any]:
    """A device of the project API whose texts are hostile."""
    return {
        "ID": DEVICE,
        "name": text,
        "macaddress": text,
        "operatingstatus": text,
        "token": text,
        "agent_version": text,
        text: text,
    }


def answer(path: str, text: str) -> Any:
    """The answer to a request, with a hostile text wherever the service has a text."""
    match path.split("/")[1:]:
        case ["v1.0", "project", "ping"]:
            return {"status": text}
        case ["v1.0", "project", _, "inspect"]:
            names = ("name", "projectgetagenturl", "agentfile", "agentapihost", "board", text)
            return {"id": "p", **dict.fromkeys(names, text)}
        case ["v1.0", "project", _, "license"]:
            board = {"macaddress": text, "operatingstatus": text, "id": text, "name": text}
            return {text: {"status": "paired", "board": board}}
        case ["v1.0", "project", _, "devices", "props"]:
            return {"count": 1, "errors": text, "devices": [device(text)]}
        case ["v1.0", "project", _, "device", _, "props"]:
            return device(text)
        case ["v1.0", "project", _, "messages", _]:
            stamp: Any = {"$date": "2026-01-01T00:00:00Z"}
        case ["v1.0", "project", _, "device", _, "messages", "paginated"]:
            stamp = "2026-01-01T00:00:00"
        case ["v1", "devices"]:
            fleet = {"id": text, "name": text, "project_id": text, "status": text}
            meta = {"total": 1, "page": 1, "per_page": 100}
            return {"data": [fleet | {"last_seen_at": None}], "meta": meta}
        case ["v1", "devices", _, "commands"]:
            return {"command_id": "cmd_1", "status": "pending", text: text}
        case ["v1", "commands", _]:
            ended = {"status": "completed", "exit_code": 1, "completed_at": text}
            return {"command_id": text, "stdout": text, "stderr": text} | ended
        case _:
            return {}
    message = {
        "from": DEVICE,
        "to": text,
        "timestamp": stamp,
        "devicetimestamp": text,
        "type": text,
        "channel": text,
        "payload": {text: [text]},
        text: text,
    }
    return {"status": 200, "messages": [message]}


@contextmanager
def service(text: str, status: int) -> Iterator[str]:
    """A service that answers everything with one status and hostile texts. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = answer(urlsplit(self.path).path, text)
            if status != 200:
                fleet = self.path.startswith("/v1/")
                error = {"code": text, "message": text, "request_id": text}
                body = {"error": error if fleet else text}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_PUT(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def commands(folder: Path, app: App | None = None) -> list[list[str]]:
    """Every command, with arguments that are right.

    Args:
        folder: For the files of commands.
        app: The application. Default: the whole one.
    """
    store = str(folder / "x.jsonl")
    past = ["--start", "2025-01-01T00:00Z"]
    samples: dict[str, list[list[str]]] = {
        "devices": [[], ["--fleet"]],
        "rename": [[DEVICE, "pump"]],
        "send": [[DEVICE, "echo", "content=hi"], [DEVICE, "echo", "--dry-run"]],
        "run": [["dev_1", "uptime"]],
        "tail": [["pump"]],
        "messages": [[DEVICE], [DEVICE, *past], [DEVICE, *past, "--format", "csv"]],
        "ingest": [[DEVICE, "--to", store, "--patience", "0"]],
        "coverage": [[store]],
        "doctor": [["--yes"]],
        "emulator": [["--jsonl", str(folder / "none.jsonl")]],
        "compact": [[str(folder / "none.parquet")]],
    }
    trials = []
    for name, required in required_arguments(app).items():
        if name not in samples:
            needs = ", ".join(required)
            assert not required, f"iottly {name} needs {needs}: add examples to `samples`"
        trials += [[name, *arguments] for arguments in samples.get(name, [[]])]
    return trials


def required_arguments(app: App | None = None) -> dict[str, list[str]]:
    """The names of the arguments that each command needs, by command."""
    app = make_app() if app is None else app
    return {
        name: [
            argument.name
            for argument in app[name].assemble_argument_collection()
            if argument.field_info.required
        ]
        for name in app
        if not name.startswith("-")
    }


def hostile_commands(folder: Path, app: App | None = None) -> list[list[str]]:
    """Every command with hostile arguments: in each place that it needs, and as some options."""
    trials = [
        [name, *[ARGUMENT] * max(1, sum(not one.startswith("-") for one in required))]
        for name, required in required_arguments(app).items()
    ]
    return [
        *trials,
        ["inspect", "--project", ARGUMENT],
        ["licenses", f"--{ARGUMENT}"],
        ["devices", "--format", ARGUMENT],
        ["rename", DEVICE, ARGUMENT],
        ["rename", ARGUMENT, "pump"],
        ["send", ARGUMENT, ARGUMENT, f"{ARGUMENT}={ARGUMENT}"],
        ["send", DEVICE, ARGUMENT, ARGUMENT],
        ["run", "dev_1", ARGUMENT, "--dry-run"],
        ["tail", "--columns", ARGUMENT],
        ["messages", DEVICE, "--start", ARGUMENT],
        ["messages", DEVICE, "--tz", ARGUMENT],
        ["messages", DEVICE, "--since", ARGUMENT],
        ["messages", DEVICE, "--columns", ARGUMENT],
        ["messages", DEVICE, "--query", ARGUMENT],
        ["ingest", ARGUMENT, "--to", str(folder / "y.jsonl")],
        ["ingest", "--to", ARGUMENT],
        ["ingest", "--to", f"postgresql://{ARGUMENT}"],
        ["ingest", "--to", str(folder / "y.jsonl"), "--report", f"{folder}/none/{ARGUMENT}"],
        ["coverage", str(folder / f"{ARGUMENT}.jsonl")],
        ["doctor", "--yes", "--profile", ARGUMENT],
        ["doctor", "--yes", "--save", f"{folder}/none/{ARGUMENT}"],
        ["emulator", "--jsonl", ARGUMENT],
        ["emulator", "--rate-limit", ARGUMENT],
        ["tail", DEVICE, "--tz", ARGUMENT],
        ["quota", "--profile", ARGUMENT],
        ["ping", "--proxy", ARGUMENT],
        [ARGUMENT],
    ]


def test_a_new_command_is_tried(tmp_path: Path) -> None:
    """Without a change here if it needs no arguments, and else only if it has examples."""
    app = make_app()
    app.command(lambda: None, name="blink")
    assert ["blink"] in commands(tmp_path, app)
    assert ["blink", ARGUMENT] in hostile_commands(tmp_path, app)

    def reboot(device: str, reason: str, /) -> None:
        """Reboot a device."""

    app.command(reboot)
    assert ["reboot", ARGUMENT, ARGUMENT] in hostile_commands(tmp_path, app)
    with pytest.raises(AssertionError, match="reboot needs DEVICE, REASON: add examples"):
        commands(tmp_path, app)


def settings(url: str, **more: str) -> dict[str, str]:
    """The variables of a command; the terminal is a dumb one, which gets no style on purpose."""
    return {
        "IOTTLY_API_KEY": "k",
        "IOTTLY_BASE_URL": url,
        "IOTTLY_PROJECT": "p",
        "TERM": "dumb",
        "COLUMNS": "100",
        **more,
    }


def by_name(trials: list[list[str]], shown: list[str]) -> dict[str, str]:
    """The texts of commands, together for those of one name."""
    texts: dict[str, str] = {}
    for arguments, text in zip(trials, shown, strict=True):
        name = arguments[0] if arguments[0].isalpha() else "no command"
        texts[name] = texts.get(name, "") + text
    return texts


def assert_harmless(shown: dict[str, str]) -> None:
    """Assert that no command wrote a character that steers a terminal."""
    for name, text in shown.items():
        found = CONTROLS & {*text} - {"\n"}
        assert not found, f"{name} shows {found!r}: {text[:2000]!r}"
        assert "Traceback" not in text, text


@pytest.mark.parametrize("on_terminal", [True, False], ids=["terminal", "pipe"])
def test_what_the_service_says_is_escaped(on_terminal: bool, tmp_path: Path) -> None:
    """Names, ids, payloads, unknown members and errors, also with surrogates."""
    answers = [(HOSTILE, 200), (HOSTILE, 400), (HOSTILE, 403), ("\ud800 \udc00", 200)]
    with ExitStack() as stack:
        trials = []
        for number, (text, status) in enumerate(answers):
            (folder := tmp_path / str(number)).mkdir()
            url = stack.enter_context(service(text, status))
            trials += [(settings(url), arguments) for arguments in commands(folder)]
        shown = shown_by(trials, on_terminal=on_terminal)
    tried = [arguments for _, arguments in trials]
    assert_harmless(by_name(tried, shown))
    one = len(commands(tmp_path))
    answered = by_name(tried[:one], shown[:one])
    assert answered.keys() == {arguments[0] for arguments in tried}
    for name in ("inspect", "licenses", "devices", "rename", "messages"):
        assert r"\u0000x\u0001x" in answered[name], name
        if not on_terminal:  # a table's last column is cut to the terminal's width
            assert r"\u009bx" in answered[name]
            assert r"\u202ex" in answered[name]


def test_json_in_a_pipe_is_the_text_itself(iottly: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads the pipe gets every character back."""
    with service(HOSTILE, 200) as url:
        for name, value in settings(url).items():
            monkeypatch.setenv(name, value)
        (project,), (message,) = iottly("inspect").records, iottly("messages", DEVICE).records
    assert project["name"] == HOSTILE
    assert message["payload"] == {HOSTILE: [HOSTILE]}


def test_a_lone_surrogate_is_escaped() -> None:
    """A text that is no UTF-8 is valid JSON."""
    assert json_of({"name": "\ud800"}) == b'{"name":"\\ud800"}'


@pytest.mark.parametrize("on_terminal", [True, False], ids=["terminal", "pipe"])
def test_arguments_are_escaped(on_terminal: bool, tmp_path: Path) -> None:
    """A script may pass on a text from outside, and the error repeats it."""
    trials = hostile_commands(tmp_path)
    with service("pump", 200) as url:
        shown = shown_by([(settings(url), each) for each in trials], on_terminal=on_terminal)
    assert_harmless(by_name(trials, shown))


def test_the_environment_is_escaped() -> None:
    """So are a host and a key that are none."""
    hostile = ARGUMENT.replace("\udcff", "")
    with service("pump", 200) as url:
        trials = [
            (settings(url, **{variable: hostile}), [command])
            for variable in ("IOTTLY_BASE_URL", "IOTTLY_API_KEY", "IOTTLY_PROJECT")
            for command in ("ping", "devices")
        ]
        shown = shown_by(trials, on_terminal=True)
    assert_harmless(by_name([arguments for _, arguments in trials], shown))
