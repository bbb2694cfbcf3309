"""Provides the fleet: makes it, restores it from the store, or resets it.

A fleet is made from a seed or from a file of messages. The store remembers the settings that it was
made from and its last row number, so a restart need not make it again and a reset only deletes the
newer rows.
"""

import json
from collections.abc import Iterable
from os import fspath
from typing import Any

import attrs

from ..rows import Row
from ..settings import EmulatorSettings
from ..store import MessageStore
from .devices import Device, Fleet, make_fleet
from .history import make_history
from .jsonl import load_jsonl

_INPUTS = ("seed", "project_id", "devices", "messages", "days", "licenses")


def create_fleet(store: MessageStore, settings: EmulatorSettings) -> Fleet:
    """Make a fleet and its messages, and replace what the store holds.

    Raises what ``load_jsonl`` raises; the store is then unchanged.
    """
    fleet, rows = _make(settings)
    with store.transaction():
        store.replace(rows)
        store.set_meta("fleet", _fleet_json(fleet))
        store.set_meta("seeded_id", store.last_id())
        store.set_meta("expired", False)
        store.set_meta("inputs", _inputs(settings))
    return fleet


def restore_fleet(store: MessageStore, settings: EmulatorSettings) -> Fleet | None:
    """The fleet that an earlier start left in the store; None if there is none.

    Raises ``ValueError`` if these settings would make another fleet.
    """
    stored = store.get_meta("inputs")
    if stored is None:
        return None
    if stored != _inputs(settings):
        raise ValueError(
            f"database={str(settings.database)!r} holds a fleet made with {json.dumps(stored)}: "
            "use the same settings, or another file"
        )
    return _stored_fleet(store)


def reset_fleet(store: MessageStore, settings: EmulatorSettings) -> Fleet:
    """Bring the store back to the rows that it was made with; returns the fleet as it was then."""
    if store.get_meta("expired"):
        return create_fleet(store, settings)
    store.delete_after(store.get_meta("seeded_id"))
    return _stored_fleet(store)


def expire_messages(store: MessageStore, before: int, device: int | None) -> int:
    """Delete messages older than ``before`` (ms); a reset must then make the fleet again."""
    store.set_meta("expired", True)
    return store.expire(before, device)


def _make(settings: EmulatorSettings) -> tuple[Fleet, Iterable[Row]]:
    if settings.jsonl is not None:
        return load_jsonl(
            settings.jsonl,
            seed=settings.seed,
            project_id=settings.project_id,
            licenses=settings.licenses,
        )
    fleet = make_fleet(
        settings.seed,
        settings.project_id,
        count=settings.devices,
        licenses=settings.licenses,
    )
    return fleet, make_history(fleet, settings)


def _inputs(settings: EmulatorSettings) -> dict[str, Any]:
    made = {name: getattr(settings, name) for name in _INPUTS}
    source = settings.jsonl
    return made | {
        "until": settings.until.isoformat(),
        "jsonl": None if source is None else fspath(source),
    }


def _fleet_json(fleet: Fleet) -> dict[str, Any]:
    return {
        "project_id": fleet.project_id,
        "fleet_project_id": fleet.fleet_project_id,
        "devices": [attrs.asdict(device) for device in fleet.devices],
        "available": fleet.available,
    }


def _stored_fleet(store: MessageStore) -> Fleet:
    stored = store.get_meta("fleet")
    return Fleet(**stored | {"devices": [Device(**values) for values in stored["devices"]]})
