"""Commands: what a device gets on v1.0, and what it answers on v1.

Nothing is run. The text of a v1 command decides how it ends, and the server's clock decides its
progress.
"""

import shlex
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import attrs

from .times import second_text

_NOT_FOUND = 127
_TIMED_OUT = 124


def command_message(
    kind: str, defaults: Mapping[str, Any], values: Mapping[str, Any], *, skip_empty: bool
) -> dict[str, Any]:
    """What a device gets for a v1.0 command: the declared defaults, with values set in them.

    The names in a dotted key reach nested members. With ``skip_empty``, a value that is ``""`` or
    null leaves the default in its place.
    """
    message: dict[str, Any] = {kind: deepcopy(dict(defaults))}
    for key, value in values.items():
        if skip_empty and (value is None or value == ""):
            continue
        *parents, last = key.split(".")
        target = message
        for name in parents:
            inner = target.get(name)
            if not isinstance(inner, dict):
                inner = target[name] = {}
            target = inner
        target[last] = value
    return message


class Outcome(NamedTuple):
    """How a command ends; ``seconds`` is how long it runs in addition to the usual time."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Execution:
    """A command that a device accepted at ``timestamp`` (epoch milliseconds)."""

    id: str
    timestamp: int
    outcome: Outcome
    pending_ms: int
    running_ms: int

    def as_json(self, now: int) -> dict[str, Any]:
        """The answer of ``GET commands/<id>`` at the server's time ``now`` (epoch milliseconds)."""
        started = self.timestamp + self.pending_ms
        ended = started + self.running_ms
        done = now >= ended
        return {
            "command_id": self.id,
            "status": "completed" if done else "running" if now >= started else "pending",
            "exit_code": self.outcome.exit_code if done else None,
            "stdout": self.outcome.stdout if done else "",
            "stderr": self.outcome.stderr if done else "",
            "completed_at": second_text(ended) if done else None,
        }


def execute(
    id: str,  # noqa: A002 - the record's name
    command: str,
    *,
    timeout: float | None,
    timestamp: int,
    pending_for: float,
    running_for: float,
) -> Execution:
    """Accept a command. After ``timeout`` seconds it ends with exit code 124 (None: no timeout).

    ``pending_for`` and ``running_for`` are the usual seconds before and after it starts.
    """
    outcome = _outcome(command)
    seconds = running_for + outcome.seconds
    if timeout is not None and outcome.seconds > timeout:
        seconds, outcome = timeout, Outcome(_TIMED_OUT, "", "timed out\n")
    return Execution(
        id=id,
        timestamp=timestamp,
        outcome=outcome,
        pending_ms=round(pending_for * 1000),
        running_ms=round(seconds * 1000),
    )


def _outcome(command: str) -> Outcome:
    try:
        words = shlex.split(command)
    except ValueError as error:
        return Outcome(2, "", f"sh: {error}\n")
    match words:
        case ["uptime"]:
            return Outcome(0, " 14:22:45 up 12 days,  3:11,  0 users,  load average: 0.02", "")
        case ["echo", *rest]:
            return Outcome(0, " ".join(rest) + "\n", "")
        case ["true"]:
            return Outcome(0, "", "")
        case ["false"]:
            return Outcome(1, "", "")
        case ["exit", code] if code.isascii() and code.isdigit() and int(code) < 256:
            return Outcome(int(code), "", "")
        case ["sleep", length] if length.isascii() and length.isdigit() and len(length) < 7:
            return Outcome(0, "", "", float(length))
        case [name, *_]:
            return Outcome(_NOT_FOUND, "", f"sh: {name}: not found\n")
        case _:
            return Outcome(0, "", "")
