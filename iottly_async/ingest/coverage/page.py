"""Coverage as one HTML file, which needs no server, no network and no other file."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import Any

import msgspec

from ...texts import without_secrets
from .model import Coverage, DeviceCoverage


def page_of(coverage: Coverage, *, store: str, made_at: datetime | None = None) -> str:
    """Draw coverage as a page of HTML.

    Args:
        coverage: what to draw.
        store: the store's name on the page; user and password of a URL are left out.
        made_at: aware; when the store was read. None is now.

    Returns:
        The page's text.
    """
    made_at = datetime.now(UTC) if made_at is None else made_at
    grid = coverage.grid
    store = without_secrets(store)
    data: dict[str, Any] = {
        "store": store,
        "project": coverage.project_id,
        "type": coverage.type,
        "start": grid.start,
        "end": grid.end,
        "width": grid.width,
        "bins": grid.bins,
        "complete": coverage.complete,
        "madeAt": int(made_at.timestamp() * 1000),
        "devices": [_device(device) for device in coverage.devices],
    }
    # Only "<" can end a script element, whatever the name of a device.
    text = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    head, marker, rest = template.partition("/*DATA*/")
    title = escape(f"Coverage of {store}")
    return head.replace("TITLE", title) + text + rest.removeprefix(marker)


def _device(device: DeviceCoverage) -> dict[str, Any]:
    return {
        "id": device.device_id,
        "name": device.name,
        "rows": device.rows,
        "rejected": device.rejected,
        "complete": device.complete,
        "failed": device.failed,
        "counts": [cell.rows for cell in device.cells],
        # Most cells miss nothing; only the others are listed.
        "missing": {
            str(index): round(cell.missing, 4)
            for index, cell in enumerate(device.cells)
            if cell.missing
        },
    }
