"""Draws the comparison of walks as a picture, for the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .walk_server import Result

_OURS = "#0b6e4f"
_OTHERS = "#b8b8b8"
_INK = "#222222"


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw requests, time and skipped rows of every way with 32 requests at once, to `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [result for result in results if result.concurrency == 32 and result.stream != "tied"]
    ways = list(dict.fromkeys(result.way for result in shown))
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3, sharey=True)
    panels: list[tuple[str, str, str]] = [
        ("requests / ideal", "over", "{:.2f}"),
        ("time / ideal", "slower", "{:.2f}"),
        ("rows the server skips", "skipped", "{:,.0f}"),
    ]
    for row, stream in zip(axes, ["even", "bursty"], strict=True):
        by_way = {result.way: result for result in shown if result.stream == stream}
        for axis, (title, field, form) in zip(row, panels, strict=True):
            values = [float(getattr(by_way[way], field)) for way in ways]
            _bars(axis, ways, values, form, log=field != "over")
            if stream == "even":
                axis.set_title(title, fontsize=11, color=_INK)
        row[0].set_ylabel(f"{stream} stream", fontsize=11, color=_INK)
    axes[0][0].invert_yaxis()  # shared by all panels
    rows = round(max(result.ideal for result in shown) / 10_000, 1)
    figure.suptitle(
        f"{rows:g} million messages of a year, 32 requests at once, 50 ms each", fontsize=12
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _bars(axis: Any, ways: list[str], values: list[float], form: str, *, log: bool) -> None:
    colours = [_OURS if way.startswith("walk") else _OTHERS for way in ways]
    places = range(len(ways))
    axis.barh(places, [max(value, 1) if log else value for value in values], color=colours)
    if log:
        axis.set_xscale("log")
    axis.set_xlim(1 if log else 0, max([*values, 2]) * (60 if log else 1.3))
    for place, value in zip(places, values, strict=True):
        axis.text(
            max(value, 1) * (1.15 if log else 1) + (0 if log else max(values) * 0.02),
            place,
            form.format(value),
            va="center",
            fontsize=9,
            color=_INK,
        )
    axis.set_yticks(places, ways, fontsize=10)
    axis.tick_params(axis="x", labelsize=8, colors="#666666")
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)
