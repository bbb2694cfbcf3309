"""Draws requests a second against the quota: one row for each client, refusals marked."""

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


class Drawn(Protocol):
    """The result of one client, as it is drawn; times in seconds after its beginning."""

    @property
    def admitted(self) -> Sequence[float]: ...
    @property
    def refused(self) -> Sequence[float]: ...
    @property
    def seconds(self) -> float: ...


def draw(
    path: Path, results: Mapping[str, Drawn], *, limit: int, window: float, first_end: float
) -> None:
    """Write the picture.

    Args:
        path: Of the PNG.
        results: By client.
        limit: Requests a window.
        window: Seconds.
        first_end: Seconds from the beginning until the server's window ends.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    average = f"the quota, {limit} a window of {window:g} s, on average"
    end = max(row.seconds for row in results.values()) * 1.02
    # A bar ends where a window does, so that none seems to begin before its time.
    edges = [first_end % _BIN + _BIN * step for step in range(-1, int(end / _BIN) + 2)]
    figure, axes = plt.subplots(
        len(results), 1, sharex=True, figsize=(9, 1.9 * len(results)), layout="constrained"
    )
    for axis, (client, row) in zip(axes, results.items(), strict=True):
        _row(axis, row, edges)
        for number in range(int((end - first_end) / window) + 1):
            axis.axvline(first_end + number * window, color="0.85", linewidth=0.8, zorder=0)
        axis.axhline(limit / window, color="0.35", linewidth=0.9, linestyle="--", label=average)
        axis.set_title(
            f"{_NAMES.get(client, client)}: done after {row.seconds:.1f} s, "
            f"{len(row.refused)} refused",
            loc="left",
            fontsize=10,
        )
        axis.set_xlim(0, end)
        axis.set_ylabel("requests/s", fontsize=8)
    axes[-1].set_xlabel("seconds; a window of the server ends at each grey line", fontsize=9)
    requests = max(len(row.admitted) for row in results.values())
    figure.suptitle(f"{requests} requests, as quickly as each can", fontsize=11)
    figure.legend(*axes[_most_refused(results)].get_legend_handles_labels(), **_LEGEND)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _most_refused(results: Mapping[str, Drawn]) -> int:
    counts = [len(row.refused) for row in results.values()]
    return counts.index(max(counts))


def _row(axis: Any, row: Drawn, edges: Sequence[float]) -> None:
    counts, _, _ = axis.hist(
        [row.admitted, row.refused],
        bins=edges,
        weights=[[1 / _BIN] * len(row.admitted), [1 / _BIN] * len(row.refused)],
        stacked=True,
        color=["#2b7a78", "#d1495b"],
        label=["admitted", "refused (429)"],
    )
    top = float(max(counts[-1], default=1.0))
    if row.refused:
        marks = [top * 1.08] * len(row.refused)
        axis.plot(row.refused, marks, "x", color="#d1495b", ms=3, label="each refusal")
    axis.axvline(row.seconds, color="black", linewidth=1.2, linestyle=":", label="all are done")
    axis.set_ylim(0, top * 1.2)
