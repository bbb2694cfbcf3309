"""`iottly send`: a command to a device."""

from __future__ import annotations

from iottly_async.emulator import EmulatorThread

from .conftest import Run


def test_send_decodes_values_that_are_json(iottly: Run, emulator: EmulatorThread) -> None:
    """A number is sent as a number, other text as text; the device gets the command once."""
    before = len(emulator.commands)
    done = iottly(
        "send", emulator.device_ids[0], "echo", "content=hi there", "level=3", 'text="3"', "e="
    )
    (command,) = emulator.commands[before:]
    assert command.body["values"] == {
        "echo.content": "hi there",
        "echo.level": 3,
        "echo.text": "3",
        "echo.e": "",
    }
    assert (done.code, done.out) == (0, "")
    assert "accepted echo" in done.err
