"""The script that shares a quota through Redis: what goes in, and what comes out.

The script itself is beside this file, `lease.lua`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

__all__ = ["SCRIPT", "Lease", "Report"]

SCRIPT = files(__package__).joinpath("lease.lua").read_text("utf-8")


class Lease(NamedTuple):
    """What the script answers.

    Attributes:
        turns: how many were leased.
        wait: seconds until it makes sense to ask again.
        turn: seconds until there can be another turn, if nobody gives one back.
        generation: of these turns; given back with them.
        probe: whether it is the one that looks.
        limit: requests a window; None where not known.
        left: turns left after these; None where not known.
        ends_in: seconds to the window's end; None where not known.
    """

    turns: int
    wait: float
    turn: float
    generation: int
    probe: bool
    limit: int | None
    left: int | None
    ends_in: float | None

    @classmethod
    def read(cls, reply: Sequence[int]) -> Lease:
        """The script's reply."""
        turns, wait, turn, generation, probe, limit, left, ends_in = reply
        return cls(
            turns,
            wait / 1000,
            turn / 1000,
            generation,
            probe > 0,
            None if limit < 0 else limit,
            None if left < 0 else left,
            None if ends_in < 0 else ends_in / 1000,
        )


class Report:
    """What happened in this process since the script was last called.

    Attributes:
        over: turns that are over, by generation.
        notice: the newest window heard of: Reset in epoch seconds, limit, the least
            Remaining, the monotonic time of its end, its length, and how far two Resets
            of one window may lie apart; None where no answer told.
        gate_until: monotonic; nothing may go before; None where nothing was refused.
        opened: whether a probe was answered.
        bare: whether answers came that speak of no quota.
        probe_back: whether a probe came to nothing.
        turned: whether the notice is the first that was heard of its window.
        freed: whether turns came back that nobody has used.
    """

    __slots__ = (
        "bare", "freed", "gate_until", "notice", "opened", "over", "probe_back", "turned",
    )  # fmt: skip

    def __init__(self) -> None:
        self.over: dict[int, int] = {}
        self.notice: tuple[float, int, int, float, float, float] | None = None
        self.gate_until: float | None = None
        self.opened = False
        self.bare = False
        self.probe_back = False
        self.turned = False
        self.freed = False

    def __bool__(self) -> bool:
        return bool(self.over or self.notice or self.urgent)

    @property
    def urgent(self) -> bool:
        """Whether all who wait should know at once."""
        return (
            self.gate_until is not None
            or self.opened
            or self.probe_back
            or self.bare
            or self.turned
            or self.freed
        )

    def end(self, generation: int) -> None:
        """A turn of this generation is over."""
        self.over[generation] = self.over.get(generation, 0) + 1

    def hear(
        self, reset: float, limit: int, remaining: int, ends: float, length: float, same: float
    ) -> bool:
        """An answer told of a window; True where it is the first that tells of this one."""
        known = self.notice
        if known is None or reset > known[0] + same:
            self.notice = (reset, limit, remaining, ends, length, same)
            return True
        if reset >= known[0] - same:
            self.notice = (known[0], limit, min(known[2], remaining), ends, length, same)
        return False

    def arguments(self, want: int, now: float, *, reserve: float, spread: bool) -> list[str]:
        """The script's arguments, with all times relative to `now`."""
        newest = [*sorted(self.over.items(), reverse=True)[:2], (0, 0), (0, 0)]
        reset, limit, remaining, ends, length, same = self.notice or (0, 0, 0, now, 0, 0)
        numbers: list[float] = [
            want,
            *newest[0],
            *newest[1],
            reset,
            limit,
            remaining,
            max(ends - now, 0.0),
            length,
            same,
            0.0 if self.gate_until is None else max(self.gate_until - now, 0.001),
            self.opened,
            self.bare,
            self.probe_back,
            reserve,
            spread,
        ]
        return [f"{number:.6f}" for number in numbers]
