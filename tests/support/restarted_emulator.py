"""An emulator in a process of its own, which a test kills and starts again on its port.

Without a database file the same seed gives the same messages after a kill. With one, messages that
were appended are kept too.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from iottly_async.emulator import DEVELOPMENT_KEY

from .emulator_process import control

__all__ = ["EmulatorProcess", "running_emulator"]


class EmulatorProcess:
    """``python -m iottly_async.emulator``, on a free port at first and then always on that one.

    Args:
        options: of its command line, such as ``--devices=3``.

    Attributes:
        url: its base URL; known after the first start.
        api_key: a key that it accepts.
        project_id: its project.
        device_ids: its devices, of generation v1.0.
    """

    def __init__(self, *options: str) -> None:
        self.url = self.project_id = ""
        self.api_key = DEVELOPMENT_KEY
        self.device_ids: list[str] = []
        self._options = options
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        command = [sys.executable, "-m", "iottly_async.emulator", f"--port={self._port}"]
        self._process = subprocess.Popen(
            [*command, *self._options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        printed = [self._process.stdout.readline().strip() for _ in range(3)]
        if not printed[-1]:
            raise RuntimeError("the emulator did not start")
        values = dict(line.split("=", 1) for line in printed)
        self.url, self.project_id = values["IOTTLY_BASE_URL"], values["IOTTLY_PROJECT"]
        self._port = self.url.rpartition(":")[2]
        self.device_ids = [device["id"] for device in control(self.url, "state")["devices"]]

    def kill(self) -> None:
        """Kill the process: its connections are lost, and its port refuses new ones."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def running_emulator(*options: str) -> Iterator[EmulatorProcess]:
    """An emulator's process that is killed at the end of the block."""
    process = EmulatorProcess(*options)
    try:
        process.start()
        yield process
    finally:
        process.kill()
