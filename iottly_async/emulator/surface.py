"""What a test or a benchmark holds in its hand: one set of methods, whatever runs the server.

``Emulator`` calls them in its own event loop, ``EmulatorThread`` from any thread.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from os import PathLike
from typing import Any, TypeVar

from .clock import EmulatorClock
from .faults import Fault, FaultKind
from .journal import CommandRecord, RequestRecord
from .live_surface import LiveSurface
from .quota import Verdict
from .settings import EmulatorSettings
from .world import World

T = TypeVar("T")


class Surface(LiveSurface):
    """The handle of an emulator; all but ``settings`` raise ``RuntimeError`` before it runs."""

    settings: EmulatorSettings

    @property
    @abstractmethod
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT``, without a generation's path."""

    @property
    @abstractmethod
    def _world(self) -> World: ...

    @abstractmethod
    def _call(self, function: Callable[[], T]) -> T:
        """Run a function where the server runs, and give back what it returns."""

    # -- who is there -----------------------------------------------------------------------------

    @property
    def api_key(self) -> str:
        """A key that is accepted on both generations: the development key, unless set otherwise."""
        return self.settings.api_keys[0]

    @property
    def project_id(self) -> str:
        """The one project's id on v1.0."""
        return self._world.fleet.project_id

    @property
    def fleet_project_id(self) -> str:
        """The same project's id on v1 (``prj_…``)."""
        return self._world.fleet.fleet_project_id

    @property
    def device_ids(self) -> list[str]:
        """The devices' ids on v1.0; the first device sent most and is connected."""
        return [device.id for device in self._world.fleet.devices]

    @property
    def fleet_ids(self) -> list[str]:
        """The devices' ids on v1 (``dev_…``), in the order of ``device_ids``."""
        return [device.fleet_id for device in self._world.fleet.devices]

    @property
    def clock(self) -> EmulatorClock:
        """The server's clock: set its ``offset``, or pin it."""
        return self._world.clock

    def set_connected(self, device_id: str, connected: bool) -> None:
        """Make a device (``device_id`` of either generation) ``connected`` or not."""

        def change() -> None:
            self._world.fleet.find(device_id).connected = connected

        self._call(change)

    # -- messages ---------------------------------------------------------------------------------

    def append(
        self,
        device_id: str,
        messages: int | Iterable[Mapping[str, Any]] = 1,
        *,
        late_by: float | None = None,
    ) -> list[int]:
        """Add messages of a device (``device_id`` of either generation); returns their row numbers.

        ``messages`` is how many readings the device should make up, or mappings of which every
        field may be missing: ``payload`` (any JSON value), ``payload_json`` (its text, taken as it
        is, valid or not), ``type`` (userdefined), ``timestamp`` (the server's now) and
        ``devicetimestamp`` (the timestamp), each an aware ``datetime``, epoch ms or an ISO text,
        and ``channel``. ``late_by`` seconds from now they become visible (None: as in the settings,
        D11). Raises ``KeyError`` for an unknown device, ``ValueError`` for an unknown field.
        """
        return self._call(lambda: self._world.append(device_id, messages, late_by=late_by))

    def stored(
        self,
        device_id: str,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        type: str = "all",  # noqa: A002 - the wire's name
    ) -> list[dict[str, Any]]:
        """The truth: every stored message of a device, by time and then row number.

        Straight from the store, visible yet or not; ``start`` inclusive, ``end`` exclusive (aware,
        or epoch ms; None: open). Each has ``id`` (row number), ``oid``, ``device_id``,
        ``project_id``, ``timestamp`` and ``devicetimestamp`` (aware), the same with ``_ms``,
        ``type``, ``channel``, ``payload`` (None if not JSON), ``payload_json``, ``visible_at_ms``.
        """
        return self._call(lambda: self._world.stored(device_id, start, end, type))

    def expire(self, before: datetime | int, device_id: str | None = None) -> int:
        """Delete what is older than ``before``, of ``device_id`` or (None) all; says how many."""
        return self._call(lambda: self._world.expire(before, device_id))

    def start_appending(self, rate: float, device_ids: list[str] | None = None) -> None:
        """Append ``rate`` messages a second from now on, ``device_ids`` (None: all) in turn."""
        self._call(lambda: self._world.appender.start(rate, device_ids))

    def stop_appending(self) -> None:
        """Append no more."""
        self._call(self._world.appender.stop)

    def load_jsonl(self, path: str | PathLike[str]) -> int:
        """Replace the fleet by that of the messages in ``path``, and start over; returns how many.

        Lines are messages as either endpoint gives them out. Raises ``ValueError`` naming the line
        that is none.
        """
        return self._call(lambda: self._world.load(path))

    # -- what happened ----------------------------------------------------------------------------

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests to the API so far, oldest first; one without an answer has status None."""
        return self._call(lambda: list(self._world.journal.requests))

    @property
    def commands(self) -> list[CommandRecord]:
        """The commands that devices executed, in order."""
        return self._call(lambda: list(self._world.journal.commands))

    def forget_requests(self) -> None:
        """Empty the record of requests."""
        self._call(lambda: self._world.journal.forget_requests())

    # -- what goes wrong --------------------------------------------------------------------------

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
    ) -> Fault:
        """Put a fault in force; what comes back counts in ``struck`` how often it did.

        ``kind``, ``status``, ``body``, ``headers``, ``seconds`` and ``after`` say what happens,
        ``route``, ``method``, ``count``, ``probability`` and ``skip`` to which requests: see
        ``Fault``. Raises ``ValueError`` for what is not as there.
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
        )
        return self._call(lambda: self._world.faults.add(made))

    def clear_faults(self) -> None:
        """Put every fault out of force, and release the requests that stall."""

        def clear() -> None:
            self._world.faults.clear()
            self._release()

        self._call(clear)

    def release(self) -> None:
        """Release the requests and streams that stall at present; faults stay in force."""
        self._call(self._release)

    def _release(self) -> None:
        self._world.stalls.release()
        self._world.streams.release()

    def spend(self, requests: int = 1, *, key: str | None = None) -> Verdict | None:
        """Spend ``requests`` of a ``key``'s quota (None: ``api_key``), as another client would.

        Returns the last verdict; None if unlimited.
        """

        def spend() -> Verdict | None:
            verdict: Verdict | None = None
            for _ in range(requests):
                verdict = self._world.quotas.take(key or self.api_key, self._world.clock.time())
            return verdict

        return self._call(spend)

    def reset(self) -> None:
        """Back to the beginning: fleet, messages, clock, quotas, faults, records, commands.

        Webhooks are taken down, and open streams end.
        """
        self._call(self._world.reset)
