"""What a frame of a stream says, as values that do not depend on the protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from attrs import frozen

from ..codec import decode_message
from ..codec.json_slices import NotJSON, split_array, split_object
from ..errors import ApiError, DecodeError
from ..models import CommandResult, Message


@frozen(kw_only=True)
class Welcome:
    """The service greets.

    Attributes:
        heartbeat: the service promises a frame at least every so many seconds. None, the
            default, is no promise.
    """

    heartbeat: float | None = None


@frozen(kw_only=True)
class Subscribed:
    """The service confirms the subscription; messages come from now on.

    Attributes:
        seq: the number before that of the first message. None, the default, if the service
            does not number messages.
        at: the service's present time, aware. None, the default, if the service does not say.
    """

    seq: int | None = None
    at: datetime | None = None


@frozen(kw_only=True)
class MessageFrame:
    """A message.

    Attributes:
        message: the message.
        seq: its number on this connection. None, the default, if the service does not number
            messages.
    """

    message: Message
    seq: int | None = None


@frozen(kw_only=True)
class UnreadableMessage:
    """A message that cannot be read, because it has no readable time or device (D8).

    The stream reports it as a gap of one message and goes on. With `fill_gaps` it is asked
    for once more over REST.

    Attributes:
        path: the JSON path of the fault, within the message.
        seq: its number on this connection. None, the default, if the service does not number
            messages.
    """

    path: str
    seq: int | None = None


@frozen(kw_only=True)
class Heartbeat:
    """The service is alive.

    Attributes:
        seq: the number of the last message that was sent. None, the default, if the
            service does not say.
        at: the service's present time, aware. None, the default, if the service does not say.
    """

    seq: int | None = None
    at: datetime | None = None


@frozen(kw_only=True)
class CommandAccepted:
    """The service accepts a command.

    Attributes:
        ref: the `ref` of the command.
        command_id: the service's id of the command.
    """

    ref: str
    command_id: str


@frozen(kw_only=True)
class CommandFinished:
    """A command has ended.

    Attributes:
        ref: the `ref` of the command.
        result: its result.
    """

    ref: str
    result: CommandResult


@frozen(kw_only=True)
class CommandRefused:
    """The service refuses a command.

    Attributes:
        ref: the `ref` of the command.
        error: the error, which `Stream.run` raises.
    """

    ref: str
    error: ApiError


Frame = (
    Welcome
    | Subscribed
    | MessageFrame
    | UnreadableMessage
    | Heartbeat
    | CommandAccepted
    | CommandFinished
    | CommandRefused
)


def message_frame(
    row: bytes | Mapping[str, Any], *, seq: int | None = None
) -> MessageFrame | UnreadableMessage:
    """Read one message of a frame.

    To read a list of messages, use `message_frames`.

    Example:
        ```python
        def read(self, data):
            frame = json.loads(data)
            return [message_frame(frame["row"], seq=frame["number"])]
        ```

    Args:
        row: the message in a form of the REST API: an object with ``from`` and
            ``timestamp``, and optionally ``to``, ``type``, ``payload``, ``devicetimestamp``
            and ``channel``. Times are ISO texts or ``{"$date": ...}`` (D7). It is JSON as
            bytes, or what a JSON parser made of it.
        seq: the message's number on this connection. None, the default, if the service does
            not number messages.

    Returns:
        The message; `UnreadableMessage` if it has no readable time or device. So one bad
        message does not hide the others of its frame.
    """
    try:
        if isinstance(row, Mapping):
            # Not msgspec's encoder, which writes null for NaN; over REST it stays what it is.
            row = json.dumps(row, default=msgspec.to_builtins).encode()
        if isinstance(row, bytes | bytearray | memoryview | msgspec.Raw):
            return MessageFrame(message=decode_message(bytes(row)), seq=seq)
    except DecodeError as error:
        return UnreadableMessage(path=error.path, seq=seq)
    except (TypeError, ValueError, RecursionError):  # a value that is not of JSON
        pass
    return UnreadableMessage(path="$", seq=seq)


def message_frames(data: str | bytes, *path: str) -> list[MessageFrame | UnreadableMessage]:
    """Read a list of messages out of a frame, each on its own.

    A message whose payload is no valid JSON (NaN, say) hides no other, and is read as over
    REST: its payload is kept as bytes.

    Example:
        ```python
        def read(self, data):
            return message_frames(data, "events", "msgs")  # {"events": {"msgs": [...]}}
        ```

    Args:
        data: the frame's data, JSON.
        path: the names of the fields that lead to the list.

    Returns:
        As `message_frame`, for each element of the list. Nothing if the frame has no list
        there: it is of another kind.

    Raises:
        DecodeError: the data is no JSON, or is cut.
    """
    found = data.encode() if isinstance(data, str) else data
    for depth, name in enumerate(path):
        try:
            members = split_object(found)
        except NotJSON:
            if depth == 0 and not _is_json(found):
                raise DecodeError("expected JSON", path="$") from None
            return []
        if name not in members:
            return []
        found = members[name]
    try:
        return [message_frame(row) for row in split_array(found)]
    except NotJSON:
        return []


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return False
    return True
