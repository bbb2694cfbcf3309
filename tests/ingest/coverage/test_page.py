"""The page of coverage: what it contains, and that a browser draws it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from iottly_async.ingest.coverage import page_of
from iottly_async.ingest.coverage.model import coverage_of
from iottly_async.ingest.grid import TimeGrid
from tests.support.browser import browsing, installed

from .values import cursor_of, plan_to

NAME = "Pump <i>north</i>"
HOSTILE = "</script><script>document.title='taken'</script>"


def page(devices: int = 3) -> str:
    """A page with a device whose id is a script, and one that failed."""
    names = [HOSTILE, *(f"device-{number:05d}" for number in range(devices - 1))]
    cursors = [cursor_of(name, end=100) for name in names[:-1]]
    counts = {name: [number, 0, 1, 0] for number, name in enumerate(names[:-1])}
    plan = plan_to(100, **{names[-1]: "an <i>error</i>"})
    by_device = {one.device_id: one for one in cursors}
    grid = TimeGrid.over(0, 100, 4)
    found = coverage_of(plan, by_device, counts, grid, names={names[1]: NAME})
    return page_of(found, store="<b>store</b>")


def test_a_page_is_one_file_and_escapes_its_texts() -> None:
    """It refers to no address. No id, error or store's name becomes markup."""
    text = page()
    assert HOSTILE not in text
    assert "<i>error" not in text
    assert "<i>north" not in text
    assert "<b>store" not in text
    assert not [word for word in ("http:", "https:", "src=", "href=", "@import") if word in text]


@pytest.mark.skipif(installed() is None, reason="Chromium is not installed")
async def test_a_page_is_drawn_by_a_browser(tmp_path: Path) -> None:
    """Tiles, rows and the search work without an error, for 3 devices and for 5,000."""
    for devices in (3, 5000):
        (tmp_path / f"{devices}.html").write_text(page(devices), "utf-8")
    async with asyncio.timeout(60), browsing(tmp_path / "profile") as tab:
        await tab.open((tmp_path / "3.html").as_uri())
        assert await tab.run("document.title") == "Coverage of <b>store</b>"
        assert await tab.run("document.querySelectorAll('.row').length") == 3
        assert "2 of 3" in await tab.text("#tiles")
        assert await tab.text(".row code") == HOSTILE
        assert await tab.text(".row .device span") == NAME
        await tab.run(
            "document.querySelector('.row:last-child canvas').dispatchEvent("
            "new PointerEvent('pointermove', {bubbles: true, clientX: 400, clientY: 300}))"
        )
        assert "an <i>error</i>" in await tab.text("#tip")
        await tab.open((tmp_path / "5000.html").as_uri())
        assert await tab.run("document.querySelectorAll('.row').length") < 100
        await tab.run(
            "const find = document.getElementById('find'); find.value = '04321';"
            "find.dispatchEvent(new Event('input'))"
        )
        assert await tab.text("#rows code") == "device-04321"
        await tab.run("find.value = 'pump'; find.dispatchEvent(new Event('input'))")
        assert await tab.text("#rows code") == "device-00000"
        assert tab.errors == []
