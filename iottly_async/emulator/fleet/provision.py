"""Where a fleet comes from: a seed, a file of messages, or what an earlier start left in the store.

The store remembers what it was made with, and how far the seeded rows reach, so that the beginning
can be had again without making it again.
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
    """Make a fleet and its messages and put them in place of what the store holds.

    Raises what reading ``jsonl`` raises; the store is then as it was.
    """
    fleet, rows = _make(settings)
    store.replace(rows)
    store.set_meta("inputs", None)  # what follows counts only once all of it is there
    store.set_meta("fleet", _fleet_json(fleet))
    store.set_meta("seeded_id", store.last_id())
    store.set_meta("expired", False)
    store.set_meta("inputs", _inputs(settings))
    return fleet


def restore_fleet(store: MessageStore, settings: EmulatorSettings) -> Fleet | None:
    """The fleet that an earlier start left in the store; None where there is none.

    Raises ``ValueError`` where it is another than these settings make.
    """
    kept = store.get_meta("inputs")
    if kept is None:
        return None
    if kept != _inputs(settings):
        raise ValueError(
            f"database={str(settings.database)!r} holds a fleet made with {json.dumps(kept)}: "
            "give the same settings, or another file"
        )
    return _stored_fleet(store)


def reset_fleet(store: MessageStore, settings: EmulatorSettings) -> Fleet:
    """Bring the store back to its seeded rows; the fleet as it was then."""
    if store.get_meta("expired"):
        return create_fleet(store, settings)
    store.delete_after(store.get_meta("seeded_id"))
    return _stored_fleet(store)


def expire_messages(store: MessageStore, before: int, device: int | None) -> int:
    """Delete messages older than ``before`` (ms), which a new beginning has to make again."""
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
    kept = store.get_meta("fleet")
    return Fleet(**kept | {"devices": [Device(**values) for values in kept["devices"]]})
