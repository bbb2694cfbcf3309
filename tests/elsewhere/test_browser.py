"""The documentation's site, the live page and the coverage page in Chromium, checked by axe.

``IOTTLY_SITE`` is the folder of a site that mkdocs has built, ``IOTTLY_AXE`` the file
``axe.min.js`` of the npm package axe-core; `.ci/run` sets both.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from examples.fastapi_backend.main import create_app
from examples.fastapi_backend.settings import Settings
from iottly_async import Config, IottlySession
from iottly_async.emulator import Emulator
from iottly_async.ingest import IngestJob
from iottly_async.ingest.coverage import page_of, survey
from tests.support.browser import Page, browsing, installed
from tests.support.scale import LONG
from tests.support.serving import serving

SITE = Path(os.environ.get("IOTTLY_SITE", ""))
AXE = Path(os.environ.get("IOTTLY_AXE", ""))
SCRIPT = AXE.read_text("utf-8") if AXE.is_file() else ""
PAGES = sorted(SITE.rglob("*.html")) if SITE.is_dir() and os.environ.get("IOTTLY_SITE") else []

# The first page, a guide with code, tables, the reference, and a page without a place.
OF_EACH_KIND = {"", "history/read/", "errors/", "api/webhooks/", "404.html"}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(installed() is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not SCRIPT, reason="IOTTLY_AXE: npm install axe-core"),
]

# What is wider than the window, unless it scrolls in itself.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
VIOLATIONS = """
axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.map(
  (each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.target).join(' ')}`))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A browser tab."""
    async with browsing(tmp_path_factory.mktemp("profile")) as page:
        await page.call("Network.enable")
        yield page


async def check(page: Page, url: str, *, ready: str = "true", by_axe: bool = True) -> list[str]:
    """Open a page on a phone, and dark on a tablet and a screen; returns what is wrong with it."""
    page.errors.clear()
    page.console.clear()
    page.requests.clear()
    found: list[str] = []
    for width, dark in ((360, False), (768, True), (1440, True)):
        await page.look(width=width, height=900, dark=dark)
        if width != 1440:
            await page.open("about:blank")  # to open the same address again would load nothing
            await page.open(url)
            await page.until(ready)
        where = f"{urlsplit(url).path} at {width}{' dark' if dark else ''}"
        if over := await page.run(OVERFLOW):
            found.append(f"{where}: {over} pixels too wide")
        if by_axe and width != 768:
            await page.run(SCRIPT)
            violations: list[Any] = await page.run(VIOLATIONS)
            found += [f"{where}: {each}" for each in violations]
    host = urlsplit(url).netloc
    others = {urlsplit(each).netloc for each in page.requests} - {host, ""}
    return [*found, *page.errors, *page.console, *(f"a request to {each}" for each in others)]


@pytest.mark.skipif(not PAGES, reason="IOTTLY_SITE: mkdocs build")
@pytest.mark.parametrize("part", range(4))
async def test_every_page_of_the_site(browser: Page, part: int) -> None:
    """It has no error, nothing that is too wide, no request to another host, no axe violation.

    axe takes seconds for a page. In a short run it sees one page of each kind.
    """
    app = Starlette(routes=[Mount("/iottly-async", StaticFiles(directory=SITE, html=True))])
    found = []
    async with serving(app) as address:
        for page in PAGES[part::4]:
            path = page.relative_to(SITE).as_posix().removesuffix("index.html")
            found += await check(
                browser, f"{address}/iottly-async/{path}", by_axe=LONG or path in OF_EACH_KIND
            )
    assert found == []


async def test_the_live_page(browser: Page) -> None:
    """It has no error, nothing that is too wide, and no axe violation."""
    async with Emulator(devices=3, messages=600) as emulator:
        config = Config(base_url=emulator.base_url)
        app = create_app(
            Settings(emulator.project_id), lambda: IottlySession(emulator.api_key, config=config)
        )
        async with serving(app, patience=0) as address:
            url = f"{address}/#{emulator.device_ids[0]}"
            found = await check(browser, url, ready="document.querySelector('#chart .curve')")
            await browser.open("about:blank")
    assert found == []


async def test_the_coverage_page(browser: Page, tmp_path: Path) -> None:
    """It has no error, nothing that is too wide, and no axe violation."""
    async with Emulator(devices=40, messages=4000) as emulator:
        config = Config(base_url=emulator.base_url)
        async with IottlySession(emulator.api_key, config=config) as session:
            store = str(tmp_path / "store.duckdb")
            await IngestJob(session, project=emulator.project_id, store=store).run()
    page = tmp_path / "coverage.html"
    page.write_text(page_of(await survey(store), store="store.duckdb"), "utf-8")
    assert await check(browser, page.as_uri()) == []
