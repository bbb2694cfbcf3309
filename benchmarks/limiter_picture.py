"""Requests a second against the quota, drawn: one lane a client, refusals marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

_BIN = 0.5
_NAMES = {
    "burst": "iottly-async, burst",
    "spread": "iottly-async, spread",
    "backoff": "exponential back-off, full jitter",
    "aiolimiter": "aiolimiter, told the quota",
}


_LEGEND: Final[Mapping[str, Any]] = {"loc": "outside lower center", "ncols": 5, "fontsize": 8}


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

    average = f"the quota, {limit} a window of {window:g} s, on average"
    end = max(lane.seconds for lane in lanes.values()) * 1.02
    # A bar ends where a window does, so that none seems to begin before its time.
    edges = [first_turn % _BIN + _BIN * step for step in range(-1, int(end / _BIN) + 2)]
    figure, axes = plt.subplots(
        len(lanes), 1, sharex=True, figsize=(9, 1.9 * len(lanes)), layout="constrained"
    )
    for axis, (client, lane) in zip(axes, lanes.items(), strict=True):
        _lane(axis, lane, edges)
        for turn in range(int((end - first_turn) / window) + 1):
            axis.axvline(first_turn + turn * window, color="0.85", linewidth=0.8, zorder=0)
        axis.axhline(limit / window, color="0.35", linewidth=0.9, linestyle="--", label=average)
        axis.set_title(
            f"{_NAMES.get(client, client)}: done after {lane.seconds:.1f} s, "
            f"{len(lane.refused)} refused",
            loc="left",
            fontsize=10,
        )
        axis.set_xlim(0, end)
        axis.set_ylabel("requests/s", fontsize=8)
    axes[-1].set_xlabel("seconds; a window of the server ends at each grey line", fontsize=9)
    requests = max(len(lane.admitted) for lane in lanes.values())
    figure.suptitle(f"{requests} requests, as quickly as each can", fontsize=11)
    figure.legend(*axes[_most_refused(lanes)].get_legend_handles_labels(), **_LEGEND)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _most_refused(lanes: Mapping[str, Lane]) -> int:
    counts = [len(lane.refused) for lane in lanes.values()]
    return counts.index(max(counts))


def _lane(axis: Any, lane: Lane, edges: Sequence[float]) -> None:
    counts, _, _ = axis.hist(
        [lane.admitted, lane.refused],
        bins=edges,
        weights=[[1 / _BIN] * len(lane.admitted), [1 / _BIN] * len(lane.refused)],
        stacked=True,
        color=["#2b7a78", "#d1495b"],
        label=["admitted", "refused (429)"],
    )
    top = float(max(counts[-1], default=1.0))
    if lane.refused:
        marks = [top * 1.08] * len(lane.refused)
        axis.plot(lane.refused, marks, "x", color="#d1495b", ms=3, label="each refusal")
    axis.axvline(lane.seconds, color="black", linewidth=1.2, linestyle=":", label="all are done")
    axis.set_ylim(0, top * 1.2)
