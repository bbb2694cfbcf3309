"""Following devices: messages as they come, by walks that never end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import attrs

from ..config import Seconds, seconds, whole
from ..errors import ConfigurationError
from ..follow.plan import FollowPlan
from ..models import Cursor, MessageBatch
from ..walk import WalkSettings
from ..walk.track import resumed
from .given import by_device, several
from .pages import bounds
from .walks import TypeFilter, Walks


class Follows(Walks):
    """The part of `project.messages` that follows."""

    def follow(
        self,
        device_id: str,
        *,
        cursor: Cursor | None = None,
        start: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        doorbell: Any = None,
        settle: Seconds | None = None,
        lookback: Seconds = 0.0,
        goal: Seconds = 1.0,
        fastest: Seconds = 1.0,
        slowest: Seconds = 60.0,
        share: float = 0.9,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Messages of one device as they come, without end; as `follow_many`.

        Args:
            device_id: of the device.
            cursor: of a batch whose messages were stored: goes on behind them. None begins
                at `start`.
            start, type, doorbell, settle, lookback, goal, fastest, slowest, share: as in
                `follow_many`.
        """
        return self.follow_many(
            [device_id],
            cursors=None if cursor is None else {device_id: cursor},
            start=start,
            type=type,
            doorbell=doorbell,
            settle=settle,
            lookback=lookback,
            goal=goal,
            fastest=fastest,
            slowest=slowest,
            share=share,
            concurrency=1,
        )

    def follow_many(
        self,
        device_ids: Iterable[str] | None = None,
        *,
        cursors: Mapping[str, Cursor] | None = None,
        start: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        doorbell: Any = None,
        settle: Seconds | None = None,
        lookback: Seconds = 0.0,
        goal: Seconds = 1.0,
        fastest: Seconds = 1.0,
        slowest: Seconds = 60.0,
        share: float = 0.9,
        concurrency: int = 8,
        skip: Iterable[str] = (),
        empty: bool = False,
    ) -> AsyncGenerator[MessageBatch, None]:
        """Messages of many devices as they come, without end, in batches with cursors.

        It looks at each device by the walk, when it is likely to have sent: its last
        messages, which are asked for first, tell its rhythm, and what the quota has left is
        spread over all. So no message is lost, repeated, or out of its device's order,
        whatever else fails; a fault of the service delays it, and is logged.

        A message can be handed out `settle` seconds after its time at the earliest, for
        until then one with an earlier time may still become visible (D11). Every second of
        it is a second of latency; what comes later still is lost, unless `lookback` reads
        that far back again. Measured on a device that sends 20 messages a second, each
        visible late by a second on average (exponentially distributed), all else by
        default:

        ================  ==============  =============  =================================
        settle, lookback  time to the     rows lost      order
                          consumer, p50
        ================  ==============  =============  =================================
        0, 0              0.8 s           58 in 100      kept
        1, 0              1.7 s           21 in 100      kept
        5, 0 (default)    7 s             3 in 1,000     kept
        0, 30             1.4 s           none           rows later than a look come after
        5, 30             7 s             none           3 in 1,000 come after
        ================  ==============  =============  =================================

        Args:
            device_ids: which devices; None is every device of the project, and those that
                are added to it later (looked for every five minutes).
            cursors: where to go on, by device id.
            start: aware; of devices without a cursor, messages from then on. None is from
                the server's present on.
            type: "all", "userdefined" or "iottlyagent".
            doorbell: makes it look as soon as a message can be handed out: a `Doorbell`
                rung by a webhook, a `Stream`, any async-iterable; a callable whose result
                is awaited again and again; or one awaitable. Items that are a device's id,
                or a message of it, concern that device, all others every one. A ring that
                fails to come costs time, never a message; a doorbell that fails is logged.
            settle: seconds; None is `Config.settle`.
            lookback: seconds that each look reads again for late messages; see above. A
                cursor then holds some 40 bytes for each message of that stretch.
            goal: seconds that a device's oldest unseen message may be old, on average,
                where the quota allows it.
            fastest: seconds between two looks at one device, at least; a doorbell apart.
            slowest: seconds between two looks at one device, at most. Where the quota does
                not allow that: two fifths of the time of a look at every device where
                nobody can tell when it sends, three times that time where it never does,
                and three to six times where it is steady, and looked at when its time has
                come.
            share: of the quota that may be used; the rest is for others on the key.
            concurrency: looks at once, at most. Default 8.
            skip: ids of devices that are not followed, as where `device_ids` is None.
            empty: hand out a batch also where a look found nothing: its cursor says up to
                when nothing came. Default False.

        Raises:
            ConfigurationError, CursorMismatchError: by the call itself; an argument is not
                as above, or a cursor is of another query.
            UnauthorizedError, ForbiddenError, DecodeError, PageOrderError: while iterating;
                what will not pass. Messages handed out before are unaffected.
        """
        low, _ = bounds(start, None)
        config = self._context.config
        waited = config.settle if settle is None else seconds(settle, name="settle", zero=True)
        soonest = seconds(fastest, name="fastest")
        latest = seconds(slowest, name="slowest")
        if latest < soonest:
            raise ConfigurationError(f"slowest, {latest:g} s, must not be less than fastest")
        known = by_device(cursors)
        fixed = _ids(device_ids)
        query = partial(self.query, type=type)
        for device_id in {"any"} if fixed is None else {*fixed, *known}:
            resumed(query(device_id), known.get(device_id))

        skipped = frozenset(skip)

        async def devices() -> list[str]:
            ids = fixed
            if ids is None:
                ids = [device.id for device in await self._devices()]
            return [device_id for device_id in ids if device_id not in skipped]

        settings: WalkSettings = self.settings(lookback=lookback)
        plan = FollowPlan(
            query=query,
            devices=devices,
            fixed=fixed is not None,
            fetch=self._pages.fetch,
            history=self._pages.history,
            settings=attrs.evolve(settings, settle=waited),
            start=low,
            cursors=known,
            doorbell=doorbell,
            goal=seconds(goal, name="goal"),
            fastest=soonest,
            slowest=latest,
            share=_share(share),
            concurrency=whole(concurrency, name="concurrency", least=1),
            empty=empty,
        )
        return self._context.follower(plan)


def _ids(device_ids: Iterable[str] | None) -> list[str] | None:
    if device_ids is None:
        return None
    ids = several(device_ids)
    if not ids:
        raise ConfigurationError("device_ids is empty; None is every device of the project")
    return ids


def _share(share: object) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigurationError(f"share must be above 0 and up to 1, not {share!r}")
    return float(share)
