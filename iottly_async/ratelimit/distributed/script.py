"""The script that shares a quota through Redis, and its reply.

The script itself is beside this file, `lease.lua`. Its arguments are made by `Report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

__all__ = ["SCRIPT", "Lease"]

SCRIPT = files(__package__).joinpath("lease.lua").read_text("utf-8")


class Lease(NamedTuple):
    """What the script replies.

    Attributes:
        permits: how many were leased.
        wait: seconds until it makes sense to ask again.
        next_in: seconds until there can be another permit, if none is given back.
        generation: of these permits; it is given back with them.
        probe: whether the permit is for a probe.
        limit: requests a window; None if not known.
        left: permits left after these; None if not known.
        ends_in: seconds to the window's end; None if not known.
        window: the window's length in seconds; None if not known.
        repaired: whether Redis held what no limiter writes, and the quota began anew.
    """

    permits: int
    wait: float
    next_in: float
    generation: int
    probe: bool
    limit: int | None
    left: int | None
    ends_in: float | None
    window: float | None
    repaired: bool

    @classmethod
    def read(cls, reply: Sequence[int]) -> Lease:
        """Read the script's reply."""
        permits, wait, next_in, generation, probe, limit, left, ends_in, window, repaired = reply
        return cls(
            permits,
            wait / 1000,
            next_in / 1000,
            generation,
            probe > 0,
            None if limit < 0 else limit,
            None if left < 0 else left,
            None if ends_in < 0 else ends_in / 1000,
            None if window < 0 else window / 1000,
            repaired > 0,
        )
