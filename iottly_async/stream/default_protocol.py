"""The protocol that is assumed for the stream of generation v1 (D9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from attrs import evolve, field, frozen

from ..codec import Answers, cut_object, encode_fleet_command
from ..errors import (
    ApiError,
    DecodeError,
    ForbiddenError,
    IottlyError,
    ProtocolError,
    UnauthorizedError,
)
from ..times import read_time
from ..wire import Answer, Request, Route, read_answer, target
from .protocol import (
    CommandAccepted,
    CommandFinished,
    CommandRefused,
    Credential,
    Frame,
    HeaderKey,
    Heartbeat,
    StreamProtocol,
    Subscribed,
    Subscription,
    Welcome,
    message_frame,
)

_COMMAND: Final = Route("stream.command", "POST", "v1", command=True)


class _Wire(msgspec.Struct, rename={"kind": "type"}):
    """The fields of every frame that the service sends."""

    kind: str
    seq: int | None = None
    at: Any = None
    heartbeat: float | None = None
    ref: str | None = None
    command_id: str | None = None
    status: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")


_FRAME_FIELDS: Final = ("type", "ref")
_decode: Final = msgspec.json.Decoder(_Wire).decode
_FINAL: Final[Mapping[int, type[ApiError]]] = {4401: UnauthorizedError, 4403: ForbiddenError}


@frozen
class DefaultStreamProtocol(StreamProtocol):
    """The assumed protocol of the v1 stream, which this package's emulator speaks (D9).

    The vendor has a page about its WebSocket that we could not read, so the real service may
    differ; then pass another `StreamProtocol`.

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
      end the stream. After any other code the stream reconnects, and ends after five
      connections in a row that carried nothing.

    Example:
        ```python
        protocol = DefaultStreamProtocol(address="wss://live.example.com/v1/stream")
        async with session.stream(protocol=protocol) as stream:
            ...
        ```

    Attributes:
        address: a path on the service's host, or a whole URL. Default ``/v1/stream``.
        credential: where the key is sent; None sends none. Default ``HeaderKey()``, which is
            ``Authorization: Bearer KEY``.
        confirms_subscription: True, the default, because the service confirms.
    """

    address: str = "/v1/stream"
    credential: Credential | None = field(factory=HeaderKey)
    confirms_subscription: bool = True
    _answers: Answers = field(factory=Answers, repr=False, eq=False)

    def opening(self, subscription: Subscription, key: str | None) -> Sequence[str | bytes]:
        """The hello frame and the subscribe frame.

        Args:
            subscription: which messages to ask for.
            key: not used, because no frame of this protocol has the key.

        Returns:
            Two JSON texts.
        """
        devices = None if subscription.devices is None else list(subscription.devices)
        return (
            _text({"type": "hello", "version": 1}),
            _text({"type": "subscribe", "devices": devices, "messages": subscription.type}),
        )

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

    def read(self, data: str | bytes) -> Sequence[Frame]:
        """Read a frame.

        Args:
            data: the frame's JSON, as text or as UTF-8.

        Returns:
            What the frame says; nothing for an unknown ``type``.

        Raises:
            DecodeError: the data is not a JSON object with a ``type``, or a field is not as
                described above.
        """
        wire = _read_fields(data)
        match wire.kind:
            case "message":
                if not bytes(wire.message):
                    raise DecodeError("expected this field", path="$.message")
                return (message_frame(bytes(wire.message), seq=wire.seq),)
            case "heartbeat":
                return (Heartbeat(seq=wire.seq, at=_time(wire.at)),)
            case "welcome":
                promised = wire.heartbeat is not None and wire.heartbeat > 0
                return (Welcome(heartbeat=wire.heartbeat if promised else None),)
            case "subscribed":
                return (Subscribed(seq=wire.seq, at=_time(wire.at)),)
            case "accepted":
                return (CommandAccepted(ref=wire.ref or "", command_id=wire.command_id or ""),)
            case "result":
                return (self._finished(wire, data),)
            case "error":
                return (_refused(wire, data),)
        return ()

    def final(self, code: int) -> IottlyError | None:
        """Decide whether a close code ends the stream at once.

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


def _read_fields(data: str | bytes) -> _Wire:
    """Read the fields of a frame; a message that is not JSON throughout is cut out (D8)."""
    wire = _attempt(data)
    if wire is None:
        members = cut_object(data.encode("utf-8", "replace") if isinstance(data, str) else data)
        message = members.pop("message", b"")
        raw = {name: msgspec.Raw(value) for name, value in members.items()}
        wire = _attempt(msgspec.json.encode(raw)) if message else None
        if wire is None:
            raise DecodeError("expected a JSON object with a text `type`", path="$")
        wire.message = msgspec.Raw(message)
    return wire


def _attempt(data: str | bytes) -> _Wire | None:
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        return None


def _text(frame: Mapping[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()


def _time(text: Any) -> datetime | None:
    try:
        return None if text is None else read_time(text, "$.at")
    except DecodeError:
        return None  # as other optional fields that cannot be read (D8)


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
