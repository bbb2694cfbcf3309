"""The live channels as a test holds them in its hand: webhooks, and what befalls the streams."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar

from .webhooks import Delivery, Webhook
from .world import World

T = TypeVar("T")


class LiveSurface(ABC):
    """The part of ``Surface`` that concerns webhooks and ``/v1/stream``."""

    @property
    @abstractmethod
    def _world(self) -> World: ...

    @abstractmethod
    def _call(self, function: Callable[[], T]) -> T:
        """Run a function where the server runs, and give back what it returns."""

    # -- webhooks ---------------------------------------------------------------------------------

    def add_webhook(
        self,
        url: str,
        *,
        type: str = "all",  # noqa: A002 - the platform's name
        channel: str | None = None,
        payload_only: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Webhook:
        """POST every message that is appended from now on to a loopback ``url``, as it becomes
        visible.

        ``type`` is ``all``, ``userdefined`` or ``iottlyagent``; ``channel`` None is every one.
        ``payload_only`` sends the bare payload instead of ``{"msg": {...}}``. ``headers`` are up to
        five. Messages come in order and are tried once. Raises ``ValueError`` for the sixth
        webhook, a sixth header, or what else is not as above.
        """
        made = Webhook(
            url=url, type=type, channel=channel, payload_only=payload_only, headers=headers or {}
        )
        return self._call(lambda: self._world.webhooks.add(made))

    def clear_webhooks(self) -> None:
        """Take every webhook down."""
        self._call(self._world.webhooks.clear)

    @property
    def webhooks(self) -> list[Webhook]:
        """The webhooks that are set up."""
        return self._call(lambda: self._world.webhooks.active)

    @property
    def deliveries(self) -> list[Delivery]:
        """What was POSTed so far, oldest first, and how it was answered."""
        return self._call(lambda: list(self._world.webhooks.deliveries))

    # -- streams ----------------------------------------------------------------------------------

    @property
    def streams(self) -> int:
        """How many streams are subscribed at present."""
        return self._call(lambda: self._world.streams.count)

    def set_stream_heartbeat(self, seconds: float) -> None:
        """How many ``seconds`` a stream opened from now on may be silent; 10 by default."""
        if not seconds > 0:
            raise ValueError(f"seconds={seconds!r}: more than 0")

        def change() -> None:
            self._world.streams.heartbeat = seconds

        self._call(change)

    def drop_streams(self, code: int | None = None) -> int:
        """End every open stream; returns how many there were.

        ``code`` is a WebSocket close code (1000 to 4999); None resets the connection without one.
        """
        if code is not None and not 1000 <= code <= 4999:
            raise ValueError(f"code={code}: 1000 to 4999, or None for a reset")
        return self._call(lambda: self._world.streams.drop(code))

    def stall_streams(self) -> None:
        """Make every open stream half-open, until ``release``: it is silent, and deaf."""
        self._call(self._world.streams.stall)

    def lose_frames(self, count: int) -> None:
        """Lose the next ``count`` messages of every open stream; their numbers are used up."""
        self._call(lambda: self._world.streams.lose(count))

    def reverse_frames(self, count: int) -> None:
        """Send the next ``count`` messages of every open stream last first, once all are there."""
        self._call(lambda: self._world.streams.reverse(count))
