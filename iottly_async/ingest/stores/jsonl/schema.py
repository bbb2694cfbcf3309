"""The format of a JSON lines store; a user's scripts may rely on it.

The file ``telemetry.jsonl`` has one message a line, in the order of arrival. A name that
ends in ``.zst`` makes it a sequence of Zstandard frames. A line is a JSON object:

- ``key``: text; unique, and the same for the same message in every run.
- ``device_id``: text.
- ``timestamp``: the server's time of arrival, an ISO text in UTC with milliseconds.
- ``device_timestamp``: the time that the device recorded, in the same form; null if absent.
- ``type``: "userdefined", "iottlyagent" or another text; null if absent.
- ``channel``: the channel that the message was sent on; null if absent.
- ``payload``: JSON, as it arrived.
- ``extra``: fields that the API's documents do not name; null if there are none.

These files may lie beside it:

- ``telemetry.jsonl.rejected``: what cannot be such a line. A line has the ``reason``, the
  ``path`` of what is wrong, and the fields above. A message whose payload is invalid has the
  payload's bytes as ``payload_base64``. A row that is no message, for example one without a
  timestamp, has the row's bytes as ``raw_base64``, and null for what it does not have.
- ``telemetry.jsonl.devices``: one line a device (`StoredDevice`): ``device_id``, ``name``,
  ``status``, ``agent_version``, ``first_seen`` and ``last_seen``. It is replaced when a job begins,
  when it ends, and each minute while it follows. Name and status are those of the last job that
  took all devices of the project; null before one did.
- ``telemetry.jsonl.cursor``: the sidecar (`Sidecar`), the job's state file. A line is added
  to it after the lines of messages were synced. What a file holds beyond the size in the
  sidecar was written by a run that was killed; the next run cuts it off.
- ``telemetry.jsonl.lock``: who writes the store now. It is deleted when that job ends.
"""

from __future__ import annotations

from typing import Final

from ..state_log import FileState, read_state

VERSION: Final = 1


class Sidecar(FileState, kw_only=True):
    """The state file of a JSON lines store.

    Attributes:
        size: bytes of the file of lines that count.
        rejected_size: bytes of the file of rejected messages that count.
        end: a digest of the last of these lines (`AppendFile.end`), so that a sidecar is not
            taken for that of other lines.
        rejected_end: the same of the rejected messages.
    """

    size: int
    rejected_size: int
    end: str = ""
    rejected_end: str = ""


def new_sidecar() -> Sidecar:
    """The state of a new store."""
    return Sidecar(version=VERSION, size=0, rejected_size=0)


def read_sidecar(path: str) -> Sidecar | None:
    """The sidecar of the store at `path`; None if there is none (raises as `read_state`)."""
    return read_state(sidecar_path(path), Sidecar, version=VERSION)


def sidecar_path(path: str) -> str:
    """The sidecar's path."""
    return path + ".cursor"


def lock_path(path: str) -> str:
    """The path of the lock file."""
    return path + ".lock"


def devices_path(path: str) -> str:
    """The path of the file of devices."""
    return path + ".devices"


def rejected_path(path: str) -> str:
    """The path of the file of rejected messages."""
    return path + ".rejected"


def compressed(path: str) -> bool:
    """Whether the lines are compressed."""
    return path.lower().endswith(".zst")
