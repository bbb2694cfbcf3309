"""Draws the diagrams of the pages "How it works", as SVG files beside them.

    python docs/generate/diagrams.py

They are narrow, so that a phone shows them without making the text too small, and have their own
light background, so that they look the same on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "how"
WIDTH = 440
PAPER, INK, GREY = "#fbfcfd", "#1b2730", "#5b6872"
CALM, GOOD, WAIT, BAD = "#e3eaf0", "#b9e3d3", "#fbe3a4", "#f6c2bb"


class Drawing:
    """An SVG file in the making.

    Args:
        title: what the picture shows, for those who cannot see it.
        height: in pixels.
    """

    def __init__(self, title: str, height: int) -> None:
        font = "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"
        size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        tip = 'id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-size="14" font-family="{font}">',
            f"<title>{escape(title)}</title>",
            f'<defs><marker {tip} orient="auto">',
            f'<path d="M0 0L8 4L0 8z" fill="{GREY}"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>',
        ]

    def text(
        self, x: float, y: float, words: str, *, colour: str = INK, anchor: str = "start"
    ) -> None:
        """Write one line; `y` is its base line."""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        words: str = "",
        *,
        fill: str = CALM,
        height: int = 28,
    ) -> None:
        """Draw a box with a word in it."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="4" fill="{fill}" '
            f'stroke="{GREY}" stroke-width="0.7"/>'
        )
        if words:
            self.text(x + width / 2, y + height / 2 + 5, words, anchor="middle")

    def boxes(
        self, x: float, y: float, words: Sequence[str], fills: Sequence[str], *, width: float = 34
    ) -> None:
        """Draw boxes in a row."""
        for number, (word, fill) in enumerate(zip(words, fills, strict=True)):
            self.box(x + number * (width + 3), y, width, word, fill=fill)

    def arrow(self, path: str) -> None:
        """Draw a line with a tip at its end."""
        self._parts.append(
            f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="1.4" '
            'marker-end="url(#tip)"/>'
        )

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>"]) + "\n"


def shifting_pages() -> Drawing:
    """Page numbers repeat or lose a message if another one arrives or is deleted."""
    drawing = Drawing(
        "Page numbers shift between two requests, so a message is read twice or lost", 318
    )
    pages = [("page 1", 16), ("page 2", 231)]
    cases = [
        ("Request page 1. Newest first, 5 messages a page:", "9 8 7 6 5 4 3 2 1 0", "ggggg-----"),
        (
            "Message 10 arrives. Request page 2: 5 is read twice.",
            "10 9 8 7 6 5 4 3 2 1",
            "-----bgggg",
        ),
        ("Or: 7 is deleted. Request page 2: 4 is never read.", "9 8 6 5 4 3 2 1 0", "----bgggg"),
    ]
    fills = {"g": GOOD, "b": BAD, "-": CALM}
    for row, (words, numbers, marks) in enumerate(cases):
        y = 30 + 104 * row
        drawing.text(16, y, words)
        for name, x in pages:
            drawing.text(x, y + 22, name, colour=GREY)
        for number, (message, mark) in enumerate(zip(numbers.split(), marks, strict=True)):
            x = 16 + number * 40 + (15 if number > 4 else 0)
            drawing.box(x, y + 30, 36, message, fill=fills[mark])
    return drawing


def held_back() -> Drawing:
    """A walk holds back the last millisecond of a full page, and asks for it again."""
    drawing = Drawing(
        "A walk holds back the last millisecond of a full page and requests it again", 300
    )
    drawing.text(16, 28, "Four messages a page; a1 to a3 share millisecond 10.")
    rows = [
        ("from 0", ["7 x", "8 y", "10 a1", "10 a2"], "ggww", "full: yield x y, hold back 10"),
        (
            "from 10",
            ["10 a1", "10 a2", "10 a3", "12 z"],
            "gggw",
            "full: yield a1 a2 a3, hold back 12",
        ),
        ("from 12", ["12 z"], "g", "not full, the last page: yield z"),
    ]
    fills = {"g": GOOD, "w": WAIT}
    for row, (request, messages, marks, words) in enumerate(rows):
        y = 52 + 82 * row
        drawing.text(16, y + 19, request)
        drawing.boxes(96, y, messages, [fills[mark] for mark in marks], width=72)
        drawing.text(96, y + 48, words, colour=GREY)
    return drawing


def permits() -> Drawing:
    """What may be granted is what remains less what is in flight."""
    drawing = Drawing("Permits in one window: what remains, less what is in flight, is free", 342)
    drawing.text(16, 28, "A window of 60 requests:")
    for x, word, fill in ((196, "spent", CALM), (266, "in flight", WAIT), (356, "free", GOOD)):
        drawing.box(x, 16, 14, fill=fill, height=14)
        drawing.text(x + 20, 28, word)
    rows = [
        ("nothing is known: one probe goes", 0, 1, "the others wait"),
        ("its answer: 59 remain", 1, 0, "59 are free: all are granted"),
        ("59 are in flight", 1, 59, "0 are free"),
        ("answers: 47 and 40 remain", 3, 57, "40 counts: nothing is free"),
        ("all have arrived: 0 remain", 60, 0, "wait for the reset"),
        ("the reset, plus 20 ms: one probe", 0, 1, "a new window begins"),
    ]
    for row, (words, spent, flying, then) in enumerate(rows):
        y = 44 + 49 * row
        drawing.text(16, y + 14, words)
        drawing.text(424, y + 14, then, colour=GREY, anchor="end")
        scale = 408 / 60
        drawing.box(16, y + 20, 408, fill=GOOD, height=14)
        if spent:
            drawing.box(16, y + 20, spent * scale, fill=CALM, height=14)
        if flying:
            drawing.box(16 + spent * scale, y + 20, flying * scale, fill=WAIT, height=14)
    return drawing


def outage() -> Drawing:
    """The outage circuit: closed, open, and the pauses between probes."""
    drawing = Drawing(
        "The outage circuit: three failures open it, the first success closes it", 262
    )
    drawing.box(16, 30, 150, "closed", fill=GOOD, height=40)
    drawing.text(16, 90, "calls are sent", colour=GREY)
    drawing.box(274, 30, 150, "open", fill=BAD, height=40)
    drawing.text(424, 90, "one probe at a time", colour=GREY, anchor="end")
    drawing.arrow("M168 40H270")
    drawing.text(220, 30, "3 failures", anchor="middle")
    drawing.arrow("M272 60H170")
    drawing.text(220, 80, "a success", anchor="middle")
    drawing.text(16, 126, "Probes while it is open, seconds after the first:")
    drawing.arrow("M16 176H428")
    at, pause = 0.0, 0.5
    while at < 62:
        x = 16 + at * 6.5
        drawing.box(x - 2, 160, 4, fill=BAD, height=16)
        at += pause
        pause = min(pause * 1.5, 15)
    for second in (0, 10, 20, 30, 40, 50, 60):
        drawing.text(16 + second * 6.5, 198, str(second), colour=GREY, anchor="middle")
    drawing.text(16, 226, "Pauses grow from 0.5 s by half to 15 s. Patient calls wait;")
    drawing.text(16, 246, "a call that somebody waits for fails within its timeout.")
    return drawing


def one_call() -> Drawing:
    """The steps of one call."""
    drawing = Drawing("One call: deadline, permit, attempt, answer, and perhaps a retry", 352)
    steps = [
        ("deadline", "it covers all waits, attempts and pauses"),
        ("permit", "the limiter grants it, or the call fails"),
        ("attempt", "one request; errors say if it was sent"),
        ("quota", "the limiter reads the answer's headers"),
        ("answer", "a status is an error, a body is a model"),
        ("retry?", "yes: pause, then from “permit” again"),
    ]
    for row, (name, words) in enumerate(steps):
        y = 20 + 55 * row
        drawing.box(40, y, 96, name, fill=WAIT if name == "retry?" else GOOD, height=34)
        drawing.text(150, y + 22, words)
        if row:
            drawing.arrow(f"M88 {y - 20}V{y - 2}")
    drawing.arrow("M40 312H22V92H37")
    return drawing


DIAGRAMS = {
    "shifting-pages.svg": shifting_pages,
    "held-back.svg": held_back,
    "permits.svg": permits,
    "outage.svg": outage,
    "one-call.svg": one_call,
}

if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        (FOLDER / name).write_text(str(draw()), "utf-8")
