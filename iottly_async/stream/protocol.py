"""The protocol of a stream: its address and its frames, which nothing else knows (D9).

The vendor offers telemetry and commands over a WebSocket, and has a page about it that we
could not read. So `DefaultStreamProtocol`, which is used if nothing else is said, is an
assumption. If the service differs, write a subclass of `StreamProtocol` and pass it to
`session.stream(protocol=...)`. Everything else (reconnecting, gaps, backfill, dedupe) works
with any protocol:

```python
import json

from iottly_async.stream.protocol import HeaderKey, StreamProtocol, message_frames


class Feed(StreamProtocol):
    address = "wss://live.example.com/feed"
    credential = HeaderKey("X-Api-Key", "")

    def opening(self, subscription, key):
        return [json.dumps({"watch": subscription.devices})]

    def read(self, data):
        return message_frames(data, "messages")  # {"messages": [...]}


stream = session.stream(protocol=Feed())
```

``examples/open_source_stream.py`` is a second whole protocol, that of the vendor's open-source
platform of 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from attrs import frozen

from ..errors import ConfigurationError, IottlyError
from .credential import Credential, FrameKey, HeaderKey, QueryKey
from .frames import (
    CommandAccepted,
    CommandFinished,
    CommandRefused,
    Frame,
    Heartbeat,
    MessageFrame,
    Subscribed,
    UnreadableMessage,
    Welcome,
    message_frame,
    message_frames,
)

__all__ = [
    "CommandAccepted",
    "CommandFinished",
    "CommandRefused",
    "Credential",
    "Frame",
    "FrameKey",
    "HeaderKey",
    "Heartbeat",
    "MessageFrame",
    "QueryKey",
    "StreamProtocol",
    "Subscribed",
    "Subscription",
    "UnreadableMessage",
    "Welcome",
    "message_frame",
    "message_frames",
]


@frozen(kw_only=True)
class Subscription:
    """The messages that a stream asks for.

    Attributes:
        project_id: the project's id of generation v1.0. None, the default, if the stream was
            given none.
        devices: ids of generation v1.0. None, the default, is all devices of the project.
        type: "all", "userdefined" or "iottlyagent". Default "all".
    """

    project_id: str | None = None
    devices: tuple[str, ...] | None = None
    type: str = "all"


@runtime_checkable
class StreamProtocol(Protocol):
    """What a stream must know of a service: an address, what to send, and a reader of frames.

    A subclass needs `address` and `read`; the other members have defaults. The messages that
    a stream yields are those of its devices and its type, also if the service sends others.
    """

    @property
    def address(self) -> str:
        """Where the WebSocket is.

        Returns:
            A path on the service's host, such as ``/v1/stream``; or a whole URL, such as
            ``wss://live.example.com/feed``, for which the rules of `Config.base_url` about
            https apply. No redirect is followed (D12).
        """
        ...

    @property
    def credential(self) -> Credential | None:
        """Where the API key is sent.

        Returns:
            `HeaderKey`, `QueryKey` or `FrameKey`; None sends no key. The default is
            `HeaderKey()`, the v1 credential. The key is sent to the host of `address`, also
            if that is another host than the service's.
        """
        return HeaderKey()

    @property
    def confirms_subscription(self) -> bool:
        """Whether the service answers the opening frames.

        Returns:
            True if it sends a frame that `read` turns into `Subscribed`. If that does not
            come within `Config.attempt_timeout`, the connection is closed and opened again.
            False, the default, if no answer may come. The stream then counts as subscribed
            when the service has sent any frame, or has answered a ping that is sent after
            the opening frames, or at the latest after a second.
        """
        return False

    def opening(self, subscription: Subscription, key: str | None) -> Sequence[str | bytes]:
        """The frames to send first on a connection.

        Args:
            subscription: which messages the stream is for.
            key: the API key if `credential` is `FrameKey`, else None. Its repr is redacted.
                `json.dumps` takes it as it is; use ``str(key)`` for other encoders.

        Returns:
            Texts, or bytes for binary frames. The default is to send nothing.
        """
        return ()

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str | bytes:
        """The frame that runs a command.

        Args:
            ref: a text that is unique on this connection; the service's answers repeat it.
            device_id: the id of generation v1.
            command: what the device runs.
            timeout: seconds that the command may take on the device.

        Returns:
            A text, or bytes for a binary frame.

        Raises:
            ConfigurationError: the protocol has no commands; that is the default.
        """
        raise ConfigurationError(
            f"{type(self).__name__} has no commands; use session.commands, which go over HTTP"
        )

    def read(self, data: str | bytes) -> Sequence[Frame]:
        """Read a frame.

        Args:
            data: the frame's data: `str` for a text frame, `bytes` for a binary one.

        Returns:
            What the frame says: none, one or several of the values in
            `iottly_async.stream.protocol`. An empty sequence ignores the frame.

        Raises:
            DecodeError: the frame is not valid. The connection is then closed and opened
                again.
        """
        ...

    def final(self, code: int) -> IottlyError | None:
        """Decide whether a close code ends the stream at once.

        Args:
            code: the close code of a connection.

        Returns:
            The error that the stream raises. None, the default for each code, reconnects;
            after five connections in a row that carried nothing the stream ends all the
            same.
        """
        return None
