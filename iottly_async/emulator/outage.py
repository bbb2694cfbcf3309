"""Outages on command: for a while the service is away, in one of four ways.

The control address stays reachable, except that a refused connection cannot reach it either: only
connections to it that were open before can end that outage early.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

import attrs

from .aio import Signal
from .settings import number, one_of, whole

OutageKind = Literal["refuse", "reset", "html", "hang"]


@attrs.frozen(kw_only=True)
class ServiceOutage:
    """How the service is away, and for how long.

    The kinds are:

    - ``refuse``: the port is closed, so connections are refused; open connections are reset.
    - ``reset``: every connection is reset as soon as it brings a request.
    - ``html``: a proxy in front answers with ``status`` and an HTML page.
    - ``hang``: requests are read and never answered; they are reset when the outage ends.

    Streams are reset when an outage begins; those of ``hang`` fall silent and are reset at its end.

    Attributes:
        kind: How the service is away; see above.
        seconds: How long the outage lasts, in the time of the event loop. None, the default, is
            until it is ended.
        status: The status of ``html``: 502, 503 (the default) or 504.
        retry_after: The ``Retry-After`` header of ``html``, in whole seconds. None, the default,
            sends none.
    """

    kind: OutageKind = attrs.field(validator=one_of(get_args(OutageKind)))
    seconds: float | None = attrs.field(default=None, validator=number(0, above=True, none=True))
    status: int = attrs.field(default=503, validator=[whole(500), one_of((502, 503, 504))])

    retry_after: int | None = attrs.field(default=None, validator=whole(0, none=True))

    def as_json(self) -> dict[str, Any]:
        """The outage as the control address shows it.

        Returns:
            The attributes, all of them JSON values.
        """
        return attrs.asdict(self)


class Port(Protocol):
    """The listening socket and the connections that it accepted."""

    def close(self) -> None:
        """Refuse connections from now on."""

    def open(self) -> None:
        """Accept connections again, at the same port."""

    def reset_connections(self, spare: asyncio.BaseTransport | None) -> None:
        """Reset every open connection but ``spare``."""


class Outages:
    """Begins and ends outages; ``present`` is the one that lasts, or None.

    ``on_begin`` and ``on_end`` are called with each outage when it begins and when it has ended.
    """

    def __init__(
        self,
        *,
        on_begin: Callable[[ServiceOutage], None],
        on_end: Callable[[ServiceOutage], None],
    ) -> None:
        self.present: ServiceOutage | None = None
        self.port: Port | None = None
        self._on_begin = on_begin
        self._on_end = on_end
        self._ended = Signal()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, outage: ServiceOutage, spare: asyncio.BaseTransport | None = None) -> None:
        """Begin an outage, which replaces the present one.

        ``spare`` is a connection that stays open: the one that the control address answers on.
        """
        self.end()
        self.present = outage
        if outage.kind == "refuse" and self.port is not None:
            self.port.close()
        if outage.kind in ("refuse", "reset") and self.port is not None:
            self.port.reset_connections(spare)
        self._on_begin(outage)
        if outage.seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(outage.seconds, self.end)

    def end(self) -> None:
        """End the present outage; nothing happens if there is none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        outage, self.present = self.present, None
        if outage is None:
            return
        if outage.kind == "refuse" and self.port is not None:
            self.port.open()
        self._ended.send()
        self._on_end(outage)

    async def until_end(self) -> None:
        """Return at the end of the present outage."""
        await self._ended.wait()
