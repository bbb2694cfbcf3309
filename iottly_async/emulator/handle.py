"""The handle of an emulator: the methods that a test, a benchmark or an application calls.

``Emulator`` runs them in its own event loop, ``EmulatorThread`` from any thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from os import PathLike
from typing import Any, TypeVar, Unpack

import attrs

from .clock import EmulatorClock
from .faults import Fault, FaultKind
from .outage import OutageKind, ServiceOutage
from .quota import QuotaDecision
from .records import CommandRecord, RequestRecord
from .settings import EmulatorOptions, EmulatorSettings, Latency
from .state import EmulatorState
from .webhooks import Delivery, Webhook

T = TypeVar("T")


class EmulatorHandle(ABC):
    """What ``Emulator`` and ``EmulatorThread`` have in common.

    Everything but ``settings`` and ``api_key`` raises ``RuntimeError`` before the emulator has
    been started. The records stay readable after it has been closed; the messages do not.

    Attributes:
        settings: The settings that the emulator was made with.
    """

    settings: EmulatorSettings

    def __init__(
        self, settings: EmulatorSettings | None = None, **options: Unpack[EmulatorOptions]
    ) -> None:
        self.settings = attrs.evolve(settings or EmulatorSettings(), **options)

    @property
    @abstractmethod
    def base_url(self) -> str:
        """The server's address, ``http://127.0.0.1:PORT``, without a generation's path."""

    @property
    @abstractmethod
    def _state(self) -> EmulatorState: ...

    @abstractmethod
    def _call(self, function: Callable[[], T]) -> T:
        """Run a function where the server runs and return its result."""

    # -- credentials and ids ----------------------------------------------------------------------

    @property
    def api_key(self) -> str:
        """An API key that both generations accept: the first of ``settings.api_keys``."""
        return self.settings.api_keys[0]

    @property
    def project_id(self) -> str:
        """The project's id on v1.0."""
        return self._state.fleet.project_id

    @property
    def fleet_project_id(self) -> str:
        """The same project's id on v1 (``prj_…``)."""
        return self._state.fleet.fleet_project_id

    @property
    def device_ids(self) -> list[str]:
        """The devices' ids on v1.0. The first device is connected and has the most messages."""
        return [device.id for device in self._state.fleet.devices]

    @property
    def fleet_ids(self) -> list[str]:
        """The devices' ids on v1 (``dev_…``), in the order of ``device_ids``."""
        return [device.fleet_id for device in self._state.fleet.devices]

    @property
    def clock(self) -> EmulatorClock:
        """The server's clock: set its ``offset``, or pin it."""
        return self._state.clock

    def set_connected(self, device_id: str, connected: bool) -> None:
        """Connect or disconnect a device; one that is disconnected sends nothing.

        Args:
            device_id: The device's id of either generation.
            connected: Whether the device is connected from now on.

        Raises:
            KeyError: There is no such device.
        """

        def change() -> None:
            self._state.fleet.find(device_id).connected = connected

        self._call(change)

    # -- messages ---------------------------------------------------------------------------------

    def append(
        self,
        device_id: str,
        messages: int | Iterable[Mapping[str, Any]] = 1,
        *,
        late_by: Latency | None = None,
    ) -> list[int]:
        """Add messages of a device, as if the device had sent them now.

        A mapping describes one message; every field may be missing:

        - ``payload``: any JSON value; a made-up reading by default.
        - ``payload_json``: the payload's text instead, stored as it is, valid JSON or not.
        - ``type``: the message's type, ``userdefined`` by default.
        - ``timestamp``: an aware ``datetime``, epoch milliseconds or an ISO text; the server's
          present time by default.
        - ``devicetimestamp``: the same forms; ``timestamp`` by default.
        - ``channel``: the channel's name; the device's own channel by default.

        Args:
            device_id: The device's id of either generation.
            messages: How many messages to make up, or one mapping for each message.
            late_by: Seconds from now until the messages become visible (D11), or a range to draw
                from. None takes the setting ``late_by``.

        Returns:
            The row numbers of the new messages.

        Raises:
            KeyError: There is no such device.
            ValueError: A message has an unknown field or a value that is not allowed, or the device
                is disconnected and a message has no ``timestamp``. Nothing is stored then.

        Example:
            ```python
            emulator.append(device_id, [{"payload": {"temperature": 21.5}}])
            ```
        """
        return self._call(lambda: self._state.append(device_id, messages, late_by=late_by))

    def append_raw(
        self,
        device_id: str,
        rows: Iterable[object],
        *,
        timestamp: datetime | int | None = None,
        late_by: Latency | None = None,
    ) -> list[int]:
        """Add rows of any form, to see what a client does with rows that it cannot read (D8).

        They are sent as they are, wherever messages are sent. The fault ``row`` does the same to a
        single answer.

        Args:
            device_id: The device's id of either generation.
            rows: One for each row: a JSON value, or bytes that are sent as they are, JSON or not.
            timestamp: The time at which the rows stand among the messages: aware, or epoch
                milliseconds. None takes a row's own ``timestamp`` if it is an object with one that
                can be read, and else the present time.
            late_by: Seconds from now until the rows become visible (D11), or a range to draw from.
                None takes the setting ``late_by``.

        Returns:
            The row numbers of the new rows.

        Raises:
            KeyError: There is no such device.
            ValueError: A row is neither JSON nor UTF-8. Nothing is stored then.

        Example:
            ```python
            emulator.append_raw(device_id, [{"from": device_id, "timestamp": "n/a"}, None])
            ```
        """
        return self._call(
            lambda: self._state.append_raw(device_id, rows, timestamp=timestamp, late_by=late_by)
        )

    def stored(
        self,
        device_id: str,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        type: str = "all",  # noqa: A002 - the wire's name
    ) -> list[dict[str, Any]]:
        """Read the messages of a device straight from the store, to compare a client's with.

        Messages that are not visible yet are included.

        Args:
            device_id: The device's id of either generation.
            start: The first instant, inclusive: aware, or epoch milliseconds. None: no bound.
            end: The last instant, exclusive, in the same forms. None: no bound.
            type: ``all``, ``userdefined`` or ``iottlyagent``.

        Returns:
            A dict for each message, by time and then by row number. Its keys are ``id`` (the row
            number), ``oid``, ``device_id``, ``project_id``, ``timestamp`` and
            ``devicetimestamp`` (aware), the same two with ``_ms`` (epoch milliseconds), ``type``,
            ``channel``, ``payload`` (None if it is not JSON), ``payload_json``,
            ``visible_at_ms`` and ``raw`` (the text of a raw row, else None).

        Raises:
            KeyError: There is no such device.
        """
        return self._call(lambda: self._state.stored(device_id, start, end, type))

    def expire(self, before: datetime | int, device_id: str | None = None) -> int:
        """Delete old messages, as the platform's retention does.

        Args:
            before: Messages older than this are deleted: aware, or epoch milliseconds.
            device_id: The device's id of either generation. None: all devices.

        Returns:
            How many messages were deleted.
        """
        return self._call(lambda: self._state.expire(before, device_id))

    def start_appending(self, rate: float, device_ids: list[str] | None = None) -> None:
        """Append new messages at a steady rate from now on; replaces an earlier rate.

        Args:
            rate: Messages a second, over all devices.
            device_ids: The devices that send, in turn; a device that is disconnected is passed
                over. None: all devices.

        Raises:
            KeyError: There is no such device.
            ValueError: ``rate`` is not positive, or there is no device.
        """
        self._call(lambda: self._state.start_appending(rate, device_ids))

    def stop_appending(self) -> None:
        """Stop what ``start_appending`` started."""
        self._call(self._state.appender.stop)

    def load_jsonl(self, path: str | PathLike[str]) -> int:
        """Replace the fleet by the messages of a file, and reset everything else.

        Args:
            path: A file of messages, one JSON object a line, in the form of either endpoint or
                as ``iottly ingest`` and ``iottly messages`` write it.

        Returns:
            How many messages the file holds.

        Raises:
            ValueError: A line is not a message (the error names the line), or the messages belong
                to several projects. The fleet stays as it was.
            OSError: The file cannot be read.
        """
        return self._call(lambda: self._state.load_jsonl(path))

    # -- records ----------------------------------------------------------------------------------

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests to the API so far, oldest first."""
        return self._call(lambda: list(self._state.records.requests))

    @property
    def commands(self) -> list[CommandRecord]:
        """The commands that were accepted, oldest first."""
        return self._call(lambda: list(self._state.records.commands))

    def forget_requests(self) -> None:
        """Delete the request records and start counting requests from 1 again."""
        self._call(lambda: self._state.records.forget_requests())

    # -- faults, outages and quota ----------------------------------------------------------------

    def fault(
        self,
        kind: FaultKind,
        *,
        route: str | None = None,
        method: str | None = None,
        count: int | None = 1,
        probability: float = 1.0,
        skip: int = 0,
        after: bool = False,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        row: int = 0,
    ) -> Fault:
        """Inject a fault into requests to come; by default into the next one.

        Args:
            kind: What goes wrong; see ``Fault``.
            route: A route's name, or a path pattern such as ``/v1/*``. None: every route.
            method: An HTTP method. None: every method.
            count: Into how many requests the fault is injected. None: into all.
            probability: With which probability it is injected into a request, 0 to 1.
            skip: How many matching requests pass before the first.
            after: Whether the handler runs first, so that a command is executed and its answer
                is lost.
            status: The answer's status, for ``status`` and ``html``. None: 500, and 502 for
                ``html``.
            body: The answer's body, for ``status``: text, bytes or a JSON value. None: the
                generation's own error shape. For ``row``: what stands in place of a message.
            headers: The answer's headers, for ``status``, ``html`` and ``date``. None: no extra
                headers.
            seconds: How long a ``stall`` lasts. None: until ``release``. For ``date``: how far
                ahead the date is.
            row: For ``row``: which message of the answer, from 0.

        Returns:
            The fault; its ``injected`` counts how often it was injected.

        Raises:
            ValueError: A value is not allowed, or there is no such route.

        Example:
            ```python
            emulator.fault("status", status=503, route="paginated", count=2)
            ```
        """
        made = Fault(
            kind=kind,
            route=route,
            method=method,
            count=count,
            probability=probability,
            skip=skip,
            after=after,
            status=status,
            body=body,
            headers=headers or {},
            seconds=seconds,
            row=row,
        )
        return self._call(lambda: self._state.faults.add(made))

    def clear_faults(self) -> None:
        """Remove every fault, and release the requests and streams that stall."""
        self._call(self._state.clear_faults)

    def release(self) -> None:
        """Release the requests and streams that stall at present; the faults stay."""
        self._call(self._state.release)

    def outage(
        self,
        kind: OutageKind = "refuse",
        *,
        seconds: float | None = None,
        status: int = 503,
        retry_after: int | None = None,
    ) -> None:
        """Begin an outage of the whole service; replaces one that lasts.

        Args:
            kind: How the service is away: ``refuse``, ``reset``, ``html`` or ``hang``; see
                ``ServiceOutage``.
            seconds: How long it lasts. None: until ``end_outage``.
            status: The status of ``html``: 502, 503 or 504.
            retry_after: The ``Retry-After`` header of ``html``, in whole seconds. None: no header.

        Raises:
            ValueError: A value is not allowed.

        Example:
            ```python
            emulator.outage("html", status=502, seconds=10)
            ```
        """
        made = ServiceOutage(kind=kind, seconds=seconds, status=status, retry_after=retry_after)
        self._call(lambda: self._state.outages.begin(made))

    def end_outage(self) -> None:
        """End the outage; nothing happens if there is none."""
        self._call(self._state.outages.end)

    @property
    def present_outage(self) -> ServiceOutage | None:
        """The outage that lasts; None if there is none."""
        return self._call(lambda: self._state.outages.present)

    def spend(self, requests: int = 1, *, key: str | None = None) -> QuotaDecision | None:
        """Use up quota, as another client with the same API key would.

        Args:
            requests: How many requests to spend.
            key: The API key whose quota is spent. None: ``api_key``.

        Returns:
            The decision on the last request; None if the rate is not limited or ``requests`` is 0.
        """

        def spend() -> QuotaDecision | None:
            decision: QuotaDecision | None = None
            for _ in range(requests):
                decision = self._state.quotas.take(key or self.api_key, self._state.clock.time())
            return decision

        return self._call(spend)

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
        """POST every new message to a URL as soon as it is visible.

        Messages are delivered in order, one at a time, and each is tried once.

        Args:
            url: An http address on the loopback interface.
            type: Which messages: ``all``, ``userdefined`` or ``iottlyagent``.
            channel: Only messages of this channel. None: every channel.
            payload_only: Whether to send the bare payload instead of ``{"msg": {…}}``.
            headers: Up to five headers to send along. None: no headers.

        Returns:
            The webhook.

        Raises:
            ValueError: A value is not allowed, or the project has five webhooks already.
        """
        made = Webhook(
            url=url, type=type, channel=channel, payload_only=payload_only, headers=headers or {}
        )
        return self._call(lambda: self._state.webhooks.add(made))

    def clear_webhooks(self) -> None:
        """Remove every webhook; messages that wait for delivery are dropped."""
        self._call(self._state.webhooks.clear)

    @property
    def webhooks(self) -> list[Webhook]:
        """The webhooks, oldest first."""
        return self._call(lambda: self._state.webhooks.active)

    @property
    def deliveries(self) -> list[Delivery]:
        """What was POSTed to webhooks so far, oldest first; the newest 100,000 are kept."""
        return self._call(lambda: list(self._state.webhooks.deliveries))

    # -- streams ----------------------------------------------------------------------------------

    @property
    def streams(self) -> int:
        """How many streams are subscribed at present."""
        return self._call(lambda: self._state.streams.count)

    def set_stream_heartbeat(self, seconds: float) -> None:
        """Set how long a stream may be silent before the server sends a heartbeat.

        Args:
            seconds: More than 0; 10 by default.

        Raises:
            ValueError: ``seconds`` is not positive.
        """
        self._call(lambda: self._state.streams.set_heartbeat(seconds))

    def drop_streams(self, code: int | None = None) -> int:
        """Close every open stream.

        Args:
            code: The WebSocket close code, 1000 to 4999. None resets the connections instead.

        Returns:
            How many streams were closed.

        Raises:
            ValueError: ``code`` is out of range.
        """
        return self._call(lambda: self._state.streams.drop(code))

    def stall_streams(self) -> None:
        """Make every open stream half-open until ``release``: nothing is sent or read."""
        self._call(self._state.streams.stall)

    def lose_frames(self, count: int) -> None:
        """Lose messages of every open stream; their numbers are used up.

        Args:
            count: How many of the next messages are lost.
        """
        self._call(lambda: self._state.streams.lose(count))

    def reverse_frames(self, count: int) -> None:
        """Send messages of every open stream in reverse order.

        Args:
            count: How many of the next messages are held back and then sent, the last one first.
        """
        self._call(lambda: self._state.streams.reverse(count))

    # -- reset ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Go back to the start: fleet, messages, clock, quotas, faults, records and commands.

        Webhooks are removed, and open streams are closed.
        """
        self._call(self._state.reset)
