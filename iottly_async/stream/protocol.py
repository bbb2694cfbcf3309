"""The protocol of a stream: its address and its frames, which nothing else knows (D9).

The vendor offers telemetry and commands over a WebSocket, but we could not read how. So
everything here is an assumption, and `DefaultStreamProtocol` documents it. If the service
differs, write another class with the methods of `StreamProtocol`, and pass it to
`session.stream(protocol=...)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
from attrs import evolve, field, frozen

from ..auth import Generation
from ..codec import Answers, decode_message, encode_fleet_command
from ..errors import (
    ApiError,
    DecodeError,
    ForbiddenError,
    IottlyError,
    ProtocolError,
    UnauthorizedError,
)
from ..models import CommandResult, Message
from ..times import read_time
from ..wire import Answer, Request, Route, read_answer, target

_COMMAND: Final = Route("stream.command", "POST", "v1", command=True)


@frozen(kw_only=True)
class Subscription:
    """The messages that a stream asks for.

    Attributes:
        devices: ids of generation v1.0. None, the default, is all devices of the project.
        type: "all", "userdefined" or "iottlyagent". Default "all".
    """

    devices: tuple[str, ...] | None = None
    type: str = "all"


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
    | Heartbeat
    | CommandAccepted
    | CommandFinished
    | CommandRefused
)


@runtime_checkable
class StreamProtocol(Protocol):
    """What a protocol must provide: an address, the texts to send, and a reader of frames."""

    @property
    def path(self) -> str:
        """The address on the service's host.

        Returns:
            A path such as ``/v1/stream``.
        """
        ...

    @property
    def generation(self) -> Generation:
        """The generation of the API whose credential is sent.

        Returns:
            "v1.0" or "v1".
        """
        ...

    def hello(self) -> str | None:
        """The first frame to send.

        Returns:
            A text, or None to send nothing.
        """
        ...

    def subscribe(self, subscription: Subscription) -> str | None:
        """The frame that asks for messages.

        Args:
            subscription: which messages.

        Returns:
            A text, or None if messages come without a request. After a text, the service
            must send a frame that `read` turns into `Subscribed` within
            `Config.attempt_timeout`; else the connection is closed and opened again.
        """
        ...

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str:
        """The frame that runs a command.

        Args:
            ref: a text that is unique on this connection; the service's answers repeat it.
            device_id: the id of generation v1.
            command: what the device runs.
            timeout: seconds that the command may take on the device.

        Returns:
            A text.
        """
        ...

    def read(self, data: str | bytes) -> Frame | None:
        """Read a frame.

        Args:
            data: the frame's data: `str` for a text frame, `bytes` for a binary one.

        Returns:
            What the frame says, or None to ignore it.

        Raises:
            DecodeError: the frame is not valid. The connection is then closed and opened
                again.
        """
        ...

    def final(self, code: int) -> IottlyError | None:
        """Decide whether a close code ends the stream.

        Args:
            code: the close code of a connection.

        Returns:
            The error that the stream raises, or None to reconnect.
        """
        ...


class _Wire(msgspec.Struct, rename={"kind": "type"}):
    """The fields of every frame that the service sends."""

    kind: str
    seq: int | None = None
    at: str | None = None
    heartbeat: float | None = None
    ref: str | None = None
    command_id: str | None = None
    status: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")


_FRAME_FIELDS: Final = ("type", "ref")
_decode: Final = msgspec.json.Decoder(_Wire).decode
_FINAL: Final[Mapping[int, type[ApiError]]] = {4401: UnauthorizedError, 4403: ForbiddenError}


@frozen
class DefaultStreamProtocol:
    """The assumed protocol of the v1 stream, which this package's emulator speaks (D9).

    The WebSocket is at ``/v1/stream`` and takes the v1 credential. Each frame is a JSON
    object in a text message. Its ``type`` says what it is:

    - The client sends ``{"type": "hello", "version": 1}``. The service answers ``welcome``
      with ``heartbeat``, the largest number of seconds between two frames.
    - The client sends ``{"type": "subscribe", "devices": [...] or null, "messages": "all"}``.
      The service answers ``subscribed`` with ``seq`` and ``at``.
    - A ``message`` frame has ``seq``, which grows by 1 with each message of a connection, and
      ``message`` in the form of the paginated endpoint.
    - A ``heartbeat`` frame has ``seq`` and ``at``.
    - The client sends ``{"type": "command", "ref", "device", "command", "timeout_s"}``. The
      service answers ``accepted`` with ``command_id``, and later ``result`` with the fields
      of the HTTP answer; or it answers ``error`` with ``status`` and the HTTP answer's
      ``error``.
    - Close code 4401 means that the key is not accepted, 4403 that it gives no access. Both
      end the stream. After any other code the stream reconnects.

    Example:
        ```python
        protocol = DefaultStreamProtocol(path="/v1/live")
        async with session.stream(protocol=protocol) as stream:
            ...
        ```

    Attributes:
        path: the address on the service's host. Default ``/v1/stream``.
        generation: the generation whose credential is sent, "v1.0" or "v1". Default "v1".
    """

    path: str = "/v1/stream"
    generation: Generation = "v1"
    _answers: Answers = field(factory=Answers, repr=False, eq=False)

    def hello(self) -> str | None:
        """The hello frame.

        Returns:
            A JSON text.
        """
        return _text({"type": "hello", "version": 1})

    def subscribe(self, subscription: Subscription) -> str | None:
        """The subscribe frame.

        Args:
            subscription: which messages to ask for.

        Returns:
            A JSON text.
        """
        devices = None if subscription.devices is None else list(subscription.devices)
        return _text({"type": "subscribe", "devices": devices, "messages": subscription.type})

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str:
        """The command frame.

        Args:
            ref: a text that is unique on this connection; the service's answers repeat it.
            device_id: the id of generation v1.
            command: what the device runs.
            timeout: seconds that the command may take on the device.

        Returns:
            A JSON text.
        """
        body = msgspec.json.decode(encode_fleet_command(command, timeout))
        return _text({"type": "command", "ref": ref, "device": device_id, **body})

    def read(self, data: str | bytes) -> Frame | None:
        """Read a frame.

        Args:
            data: the frame's JSON, as text or as UTF-8.

        Returns:
            What the frame says; None for an unknown ``type``.

        Raises:
            DecodeError: the data is not a JSON object with a ``type``, or a field is not as
                described above.
        """
        try:
            wire = _decode(data)
        except (ValueError, RecursionError):
            wire = None
        if wire is None:
            raise DecodeError("expected a JSON object with a text `type`", path="$")
        match wire.kind:
            case "message":
                return MessageFrame(message=decode_message(bytes(wire.message)), seq=wire.seq)
            case "heartbeat":
                return Heartbeat(seq=wire.seq, at=_time(wire.at))
            case "welcome":
                promised = wire.heartbeat is not None and wire.heartbeat > 0
                return Welcome(heartbeat=wire.heartbeat if promised else None)
            case "subscribed":
                return Subscribed(seq=wire.seq, at=_time(wire.at))
            case "accepted":
                return CommandAccepted(ref=wire.ref or "", command_id=wire.command_id or "")
            case "result":
                return self._finished(wire, data)
            case "error":
                return _refused(wire, data)
        return None

    def final(self, code: int) -> IottlyError | None:
        """Decide whether a close code ends the stream.

        Args:
            code: the close code of a connection.

        Returns:
            `UnauthorizedError` for 4401, `ForbiddenError` for 4403; None for every other
            code, after which the stream reconnects.
        """
        kind = _FINAL.get(code)
        return None if kind is None else kind(f"stream: closed with code {code}", sent="yes")

    def _finished(self, wire: _Wire, data: str | bytes) -> CommandFinished:
        body = data.encode() if isinstance(data, str) else data
        result = self._answers.command_result(body, wire.command_id or "")
        extra = {name: value for name, value in result.extra.items() if name not in _FRAME_FIELDS}
        return CommandFinished(ref=wire.ref or "", result=evolve(result, extra=extra))


def _text(frame: Mapping[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()


def _time(text: str | None) -> datetime | None:
    return None if text is None else read_time(text, "$.at")


def _refused(wire: _Wire, data: str | bytes) -> CommandRefused:
    """The error of the HTTP answer with the same status and body."""
    status = wire.status if isinstance(wire.status, int) and wire.status >= 400 else 400
    body = data.encode() if isinstance(data, str) else data
    request: Request[None] = Request(_COMMAND, target("v1", ["stream"]), lambda _: None)
    try:
        read_answer(request, Answer(status, {}, body))
    except ApiError as error:
        refusal = error
    else:
        raise ProtocolError("the service refused a command and gave no error", sent="maybe")
    return CommandRefused(ref=wire.ref or "", error=refusal)
