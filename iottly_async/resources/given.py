"""What a caller gives several of: device ids, and cursors by device id; checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import ConfigurationError
from ..models import Cursor
from ..wire import segment


def several(device_ids: Iterable[str], *, name: str = "device_ids") -> list[str]:
    """The ids, each once, in the order given; `name` is the argument's.

    Raises:
        ConfigurationError: one text, no iterable, or an id that cannot stand in a path.
    """
    if isinstance(device_ids, str) or not isinstance(device_ids, Iterable):
        given = "one text" if isinstance(device_ids, str) else type(device_ids).__name__
        raise ConfigurationError(f"{name} must be several ids, such as a list, not {given}")
    ids = list(device_ids)
    for device_id in ids:
        segment(device_id, name=name)
    return list(dict.fromkeys(ids))


def by_device(cursors: Mapping[str, Cursor] | None) -> dict[str, Cursor]:
    """The cursors by device id; none for None.

    Raises:
        ConfigurationError: no mapping.
    """
    if cursors is None:
        return {}
    if not isinstance(cursors, Mapping):
        raise ConfigurationError(
            f"cursors must be a mapping of device ids to cursors, not {type(cursors).__name__}"
        )
    return dict(cursors)
