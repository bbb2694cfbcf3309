"""`iottly quota`: how many requests the key has left."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..errors import ApiError
from .connection import connected
from .console import say
from .output import FormatOption, Output, record_of
from .profile import ProfileOption, load_profile

_SHOWN: Final = ("limit", "remaining", "window", "resets_at", "source")
"""What is of the key; the other values of a `Quota` are of this process."""


async def quota(*, profile: ProfileOption = None, format: FormatOption = None) -> None:
    """Show how many requests the key has left, as the service says it.

    The question takes one request, or two where the project API says nothing of limits.
    """
    output = Output(format)
    async with connected(load_profile(profile, None)) as session:
        await session.ping()
        if session.quota.limit is None:
            with suppress(ApiError):  # a key may have no access to the fleet API
                await session.devices.page(per_page=1)
        found = session.quota
    if found.limit is None:
        say("the service names no limit")
    shown = record_of(found)
    output.one({name: shown[name] for name in _SHOWN})
