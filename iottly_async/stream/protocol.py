"""How a stream is spoken: the one place that knows the address and the frames (D9).

The vendor says that telemetry and commands come over a WebSocket and does not say how. So
everything about it is an assumption of ours, gathered in `DefaultStreamProtocol` and told
in its docstring; who learns more writes another class with the methods of
`StreamProtocol` and gives it to `session.stream(protocol=...)`.
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
    """What a stream is to bring.

    Attributes:
        devices: their ids of generation v1.0; None for all of the key's project.
        type: "all", "userdefined" or "iottlyagent".
    """

    devices: tuple[str, ...] | None = None
    type: str = "all"


@frozen(kw_only=True)
class Welcome:
    """The service promises a frame at least every `heartbeat` seconds; None: no promise."""

    heartbeat: float | None = None


@frozen(kw_only=True)
class Subscribed:
    """Messages come from now on; `seq` is the number before the first, `at` the server's now."""

    seq: int | None = None
    at: datetime | None = None


@frozen(kw_only=True)
class MessageFrame:
    """A message, and its number in the subscription; None where the service does not number."""

    message: Message
    seq: int | None = None


@frozen(kw_only=True)
class Heartbeat:
    """A sign of life: `seq` is the number of the last message sent, `at` the server's now."""

    seq: int | None = None
    at: datetime | None = None


@frozen(kw_only=True)
class CommandAccepted:
    """A command was taken, under an id."""

    ref: str
    command_id: str


@frozen(kw_only=True)
class CommandFinished:
    """A command has ended."""

    ref: str
    result: CommandResult


@frozen(kw_only=True)
class CommandRefused:
    """A command was not taken."""

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
    """Address, hello, subscribe, command, and how a frame is read."""

    @property
    def path(self) -> str:
        """From the host on, such as ``/v1/stream``."""
        ...

    @property
    def generation(self) -> Generation:
        """Whose credential is sent on connecting."""
        ...

    def hello(self) -> str | None:
        """What to send first; None for nothing."""
        ...

    def subscribe(self, wanted: Subscription) -> str | None:
        """What to send to get the messages `wanted`; None for nothing: they come by themselves.

        Where something is sent, the service must answer by what `read` takes for
        `Subscribed`, soon: else the connection is made anew.
        """
        ...

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str:
        """What to send to run a command; its answers carry `ref`.

        Args:
            ref: unlike that of any other command on this connection.
            device_id: of generation v1.
            command: what the device is to run.
            timeout: seconds that the device gives it.
        """
        ...

    def read(self, data: str | bytes) -> Frame | None:
        """A frame that came; None for one of no concern.

        Args:
            data: of the frame; a text frame's is `str`.

        Raises:
            DecodeError: it is not as it should be. The connection is then made anew.
        """
        ...

    def final(self, code: int) -> IottlyError | None:
        """The error that ends the stream for good after this close `code`; None to reconnect."""
        ...


class _Wire(msgspec.Struct, rename={"kind": "type"}):
    kind: str
    seq: int | None = None
    at: str | None = None
    heartbeat: float | None = None
    ref: str | None = None
    command_id: str | None = None
    status: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")


_OURS: Final = ("type", "ref")
_decode: Final = msgspec.json.Decoder(_Wire).decode
_FINAL: Final[Mapping[int, type[ApiError]]] = {4401: UnauthorizedError, 4403: ForbiddenError}


@frozen
class DefaultStreamProtocol:
    """Our assumption of the v1 stream, which the emulator of this package speaks.

    WebSocket at ``/v1/stream`` with the v1 credential. Each frame is a JSON object in a
    text message, its kind in ``type``:

    - we send ``{"type": "hello", "version": 1}`` and are told ``welcome`` with
      ``heartbeat``, the most seconds without a frame;
    - we send ``{"type": "subscribe", "devices": [...] or null, "messages": "all"}`` and
      are told ``subscribed`` with ``seq`` and ``at``;
    - ``message`` frames have ``seq``, counted up by one in a connection, and ``message``
      in the form of the paginated endpoint; ``heartbeat`` frames have ``seq`` and ``at``;
    - we send ``{"type": "command", "ref", "device", "command", "timeout_s"}`` and are told
      ``accepted`` with ``command_id``, then ``result`` with the fields of the HTTP answer,
      or ``error`` with ``status`` and the HTTP answer's ``error``;
    - close code 4401 says that the key is not accepted, 4403 that it gives no access:
      both are final, all others are not.

    Attributes:
        path: from the host on; default ``/v1/stream``.
        generation: whose credential is sent; default "v1".
    """

    path: str = "/v1/stream"
    generation: Generation = "v1"
    _answers: Answers = field(factory=Answers, repr=False, eq=False)

    def hello(self) -> str | None:
        """The greeting."""
        return _text({"type": "hello", "version": 1})

    def subscribe(self, wanted: Subscription) -> str | None:
        """The subscription to what is `wanted`."""
        devices = None if wanted.devices is None else list(wanted.devices)
        return _text({"type": "subscribe", "devices": devices, "messages": wanted.type})

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str:
        """The command `ref` to `device_id`, which gives it `timeout` seconds."""
        body = msgspec.json.decode(encode_fleet_command(command, timeout))
        return _text({"type": "command", "ref": ref, "device": device_id, **body})

    def read(self, data: str | bytes) -> Frame | None:
        """The frame that `data` is; None for a kind that is not known.

        Raises:
            DecodeError: it is no JSON object of a kind, or not of the form above.
        """
        try:
            wire = _decode(data)
        except (ValueError, RecursionError):
            wire = None
        if wire is None:
            raise DecodeError("expected a frame of the stream", path="$")
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
        """4401 and 4403 end the stream."""
        kind = _FINAL.get(code)
        return None if kind is None else kind(f"stream: closed with code {code}", sent="yes")

    def _finished(self, wire: _Wire, data: str | bytes) -> CommandFinished:
        body = data.encode() if isinstance(data, str) else data
        result = self._answers.command_result(body, wire.command_id or "")
        extra = {name: value for name, value in result.extra.items() if name not in _OURS}
        return CommandFinished(ref=wire.ref or "", result=evolve(result, extra=extra))


def _text(frame: Mapping[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()


def _time(text: str | None) -> datetime | None:
    return None if text is None else read_time(text, "$.at")


def _refused(wire: _Wire, data: str | bytes) -> CommandRefused:
    """The error that the same answer would be over HTTP."""
    status = wire.status if isinstance(wire.status, int) and wire.status >= 400 else 400
    body = data.encode() if isinstance(data, str) else data
    request: Request[None] = Request(_COMMAND, target("v1", ["stream"]), lambda _: None)
    try:
        read_answer(request, Answer(status, {}, body))
    except ApiError as error:
        refusal = error
    else:
        raise ProtocolError("the stream refused a command without saying why", sent="maybe")
    return CommandRefused(ref=wire.ref or "", error=refusal)
