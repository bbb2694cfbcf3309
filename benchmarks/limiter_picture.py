"""Requests a second against the quota, drawn: one lane a client, refusals marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

_BIN = 0.5
_NAMES = {
    "burst": "iottly-async, burst",
    "spread": "iottly-async, spread",
    "backoff": "exponential back-off, full jitter",
    "aiolimiter": "aiolimiter, told the quota",
}


class Lane(Protocol):
    """What is drawn of one client; times in seconds after its beginning."""

    @property
    def admitted(self) -> Sequence[float]: ...
    @property
    def refused(self) -> Sequence[float]: ...
    @property
    def seconds(self) -> float: ...


def draw(
    path: Path, lanes: Mapping[str, Lane], *, limit: int, window: float, first_turn: float
) -> None:
    """Write the picture.

    Args:
        path: of the PNG.
        lanes: by client.
        limit: requests a window.
        window: seconds.
        first_turn: seconds from the beginning until the server's window turns.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    end = max(lane.seconds for lane in lanes.values()) * 1.02
    figure, axes = plt.subplots(
        len(lanes), 1, sharex=True, figsize=(9, 1.9 * len(lanes)), layout="constrained"
    )
    for axis, (client, lane) in zip(axes, lanes.items(), strict=True):
        _lane(axis, lane, end)
        for turn in range(int((end - first_turn) / window) + 1):
            axis.axvline(first_turn + turn * window, color="0.8", linewidth=0.8, zorder=0)
        axis.axhline(limit / window, color="0.5", linewidth=0.8, linestyle="--")
        axis.set_title(
            f"{_NAMES.get(client, client)}: done after {lane.seconds:.1f} s, "
            f"{len(lane.refused)} refused",
            loc="left",
            fontsize=10,
        )
        axis.set_xlim(0, end)
        axis.set_ylabel("requests/s", fontsize=8)
    axes[-1].set_xlabel(
        f"seconds; the quota is {limit} a window of {window:g} s, between the grey lines, and "
        "dashed on average; x marks requests that were told 429",
        fontsize=8,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _lane(axis: Any, lane: Lane, end: float) -> None:
    edges = [_BIN * step for step in range(int(end / _BIN) + 2)]
    counts, _, _ = axis.hist(
        [lane.admitted, lane.refused],
        bins=edges,
        weights=[[1 / _BIN] * len(lane.admitted), [1 / _BIN] * len(lane.refused)],
        stacked=True,
        color=["#2b7a78", "#d1495b"],
    )
    top = float(max(counts[-1], default=1.0))
    if lane.refused:
        axis.plot(lane.refused, [top * 1.08] * len(lane.refused), "x", color="#d1495b", ms=3)
    axis.set_ylim(0, top * 1.2)
