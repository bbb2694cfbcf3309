"""The live page of the backend, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
import pytest_asyncio
from fastapi import FastAPI

from examples.fastapi_backend.main import create_app
from examples.fastapi_backend.settings import Settings
from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator

from ..support.browser import Page, browsing, installed
from ..support.serving import serving

# A browser starts slowly, so all tests share one, and the event loop with it.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        installed() is None, reason="Chromium is not installed (Debian's package is chromium)"
    ),
]

LIVE = "document.querySelector('#live').dataset.state === 'live'"
WIDTHS = [320, 390, 768, 1280, 1920]

# The texts with too little contrast to their background.
FAINT = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (part) => part <= 10 ? part / 3295 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const over = (top, under) => [0, 1, 2].map(
    (at) => top[at] * (top[3] ?? 1) + under[at] * (1 - (top[3] ?? 1)));
  const ground = (element) => {
    const own = parse(getComputedStyle(element).backgroundColor);
    if ((own[3] ?? 1) === 1) return own;
    return over(own, element.parentElement ? ground(element.parentElement) : [255, 255, 255]);
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const both = [light(over(ink, ground(element))), light(ground(element))].sort((a, b) => a - b);
    const contrast = (both[1] + 0.05) / (both[0] + 0.05);
    if (contrast < 4.5) faint.push(`${element.className || element.id}: ${contrast.toFixed(2)}`);
  }
  return faint;
})()
"""


class Shown(NamedTuple):
    """A loaded page, and the emulator and the backend behind it."""

    page: Page
    emulator: Emulator
    backend: AsyncExitStack
    url: str

    @property
    def device(self) -> str:
        """The id of the device that is shown."""
        return self.emulator.device_ids[0]

    async def append(self, reading: float) -> None:
        """Append a reading of that device."""
        payload = {"sensor_data_reading": {"temperature": reading}}
        self.emulator.append(self.device, [{"payload": payload}])


def backend(emulator: Emulator) -> FastAPI:
    """The example backend on the emulator."""
    config = Config(base_url=emulator.base_url)

    def open_session() -> IottlySession:
        return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())

    return create_app(Settings(emulator.project_id), open_session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A browser tab."""
    async with browsing(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def shown(browser: Page) -> AsyncIterator[Shown]:
    """The page, with a connected stream and the chart of one device."""
    async with (
        Emulator(devices=3, messages=600, rate_limit="pro") as emulator,
        AsyncExitStack() as stack,
    ):
        url = await stack.enter_async_context(serving(backend(emulator), patience=0))
        browser.errors.clear()
        await browser.open(f"{url}/#{emulator.device_ids[0]}")
        await browser.until(LIVE)
        await browser.until("document.querySelector('#chart .curve')")
        yield Shown(browser, emulator, stack, url)
        await browser.open("about:blank")
        assert browser.errors == []


async def test_the_page_shows_the_fleet_the_quota_and_one_device(shown: Shown) -> None:
    """All figures are filled in."""
    page, emulator = shown.page, shown.emulator
    connected = await page.text("#connected")
    listed = await page.run("document.querySelectorAll('#list .on').length")
    assert int(connected) == listed > 0
    assert await page.text("#devices-total") == " of 3"
    assert await page.text("#quota-limit") == " of 600"
    assert 590 <= int(await page.text("#quota")) < 600
    name = await page.text("#device-name")
    assert name == await page.text(f"#list [data-device='{emulator.device_ids[0]}'] .name")


async def test_a_message_is_shown_within_a_second(shown: Shown) -> None:
    """A new message is drawn, listed and counted."""
    page = shown.page
    await shown.append(12.5)
    assert await page.until("document.querySelector('#value').textContent === '12.5'") < 1000
    assert "12.5" in await page.text("#log li code")
    assert await page.text("#rate") == "1"
    assert "temperature" in await page.text("#value-at")


async def test_the_page_survives_a_reconnect_of_the_stream(shown: Shown) -> None:
    """Messages that were sent in between are drawn, too."""
    page, emulator = shown.page, shown.emulator
    emulator.drop_streams()
    await shown.append(12.5)
    await page.until("document.querySelector('#value').textContent === '12.5'")
    await page.until(LIVE)
    await shown.append(13.5)
    await page.until("document.querySelector('#value').textContent === '13.5'")


async def test_the_page_survives_a_restart_of_the_backend(shown: Shown) -> None:
    """It says that the backend is lost, and recovers when it is back."""
    page, emulator, url = shown.page, shown.emulator, shown.url
    await shown.backend.aclose()
    await page.until("document.querySelector('#live').dataset.state === 'lost'")
    await shown.append(12.5)
    async with serving(backend(emulator), port=int(url.rsplit(":", 1)[1])):
        await page.until(LIVE)
        await page.until("document.querySelector('#value').textContent === '12.5'")
        await shown.append(13.5)
        await page.until("document.querySelector('#value').textContent === '13.5'")


async def test_another_device_can_be_chosen(shown: Shown) -> None:
    """A click on a device shows its readings and sets the URL's fragment."""
    page, other = shown.page, shown.emulator.device_ids[1]
    await page.run(f"document.querySelector(\"[data-device='{other}']\").click()")
    await page.until(f"document.querySelector('#device-note').textContent.includes('{other}')")
    await page.until("document.querySelector('#series').options.length > 0")
    assert await page.run("location.hash") == f"#{other}"


async def test_the_pointer_shows_a_reading(shown: Shown) -> None:
    """The tooltip stays while new readings are drawn."""
    page = shown.page
    await shown.append(12.5)
    await page.until("document.querySelector('#value').textContent === '12.5'")
    await page.run("document.querySelector('#chart').scrollIntoView()")
    box = await page.run("document.querySelector('#chart').getBoundingClientRect().toJSON()")
    right = {"x": box["right"] - 15, "y": box["top"] + 100}
    await page.call("Input.dispatchMouseEvent", type="mouseMoved", **right)
    await page.until("document.querySelector('#tip b')?.textContent === '12.5'")
    await shown.append(13.5)
    await page.until("document.querySelector('#tip b').textContent === '13.5'")
    assert not await page.run("document.querySelector('#tip').hidden")


async def test_the_chart_and_the_list_work_with_the_keyboard(shown: Shown) -> None:
    """Arrow keys move between readings, and the list keeps its focus when it is redrawn."""
    page, emulator = shown.page, shown.emulator
    await shown.append(12.5)
    await page.until("document.querySelector('#value').textContent === '12.5'")
    await page.run("document.querySelector('#chart').focus()")
    await page.press("ArrowLeft")
    assert await page.text("#tip b") == "12.5"
    await page.press("ArrowLeft")
    assert await page.text("#tip b") != "12.5"
    await page.press("End")
    assert await page.text("#tip b") == "12.5"
    first = f"#list [data-device='{emulator.device_ids[0]}']"
    await page.run(f'document.querySelector("{first}").focus()')
    await page.run("document.querySelector('#filter').dispatchEvent(new Event('input'))")
    assert await page.run("document.activeElement.dataset.device") == emulator.device_ids[0]


async def test_the_list_is_one_stop_of_the_tab_key(shown: Shown) -> None:
    """The arrow keys move from device to device, so that a large fleet is passed at once."""
    page = shown.page
    stops = "document.querySelectorAll('#list [tabindex=\"0\"]').length"
    assert await page.run(stops) == 1
    await page.run("document.querySelector('#list [tabindex=\"0\"]').focus()")
    await page.press("End")
    last = "[...document.querySelectorAll('#list button')].at(-1) === document.activeElement"
    assert await page.run(last)
    assert await page.run(stops) == 1


async def test_a_pause_says_how_long_it_was(shown: Shown) -> None:
    """A reading that comes half a year after the others does not look like the next one."""
    page = shown.page
    await shown.append(12.5)
    await page.until("document.querySelector('#value').textContent === '12.5'")
    lengths = await page.run(
        "[...document.querySelectorAll('#chart .length')].map((e) => e.textContent)"
    )
    assert int(lengths[-1].removesuffix(" d")) > 100


async def test_the_page_shows_errors(browser: Page) -> None:
    """If the key is not accepted, the page says so and shows no figures."""
    async with Emulator(devices=1, messages=0) as emulator:
        emulator.fault("status", status=401, count=None)
        async with serving(backend(emulator)) as url:
            await browser.open(url)
            await browser.until("!document.querySelector('#problem').hidden", seconds=20)
            assert "401" in await browser.text("#problem")
            assert not (await browser.text("#connected")).isdecimal()
            await browser.open("about:blank")
    assert browser.errors == []


async def test_all_texts_have_enough_contrast(shown: Shown) -> None:
    """Every text has the contrast that WCAG requires, 4.5 to 1, in light and dark mode."""
    for dark in (False, True):
        await shown.page.look(width=1280, height=800, dark=dark)
        assert await shown.page.run(FAINT) == []


async def test_markup_in_a_payload_is_shown_as_text(shown: Shown) -> None:
    """A device cannot put HTML into the page."""
    page, markup = shown.page, "<img src=x onerror=document.title='taken'>"
    shown.emulator.append(shown.device, [{"payload": {markup: markup, "n": 1}}])
    await page.until("document.querySelector('#log li code')")
    assert "onerror" in await page.text("#log li code")
    assert await page.run("document.querySelectorAll('main img').length") == 0
    assert await page.run("document.title") == "Fleet, live"


async def test_the_page_fits_every_width(shown: Shown) -> None:
    """At no width, and in light and dark mode, is there horizontal scrolling."""
    for width in WIDTHS:
        for dark in (False, True):
            await shown.page.look(width=width, height=800, dark=dark)
            assert await shown.page.run("document.documentElement.scrollWidth") <= width
