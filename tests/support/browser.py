"""A headless Chromium, controlled through its DevTools protocol."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def installed() -> str | None:
    """The path of the browser; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._arrived: dict[str, asyncio.Event] = {}
        self.errors: list[str] = []  # exceptions that nothing caught
        self.console: list[str] = []  # errors that the browser logs
        self.requests: list[str] = []  # URLs, after `call("Network.enable")`

    async def read(self) -> None:
        """Read the browser's messages until it closes."""
        async for frame in self._socket:
            found = frame.json()
            if "id" in found:
                self._waiting.pop(found["id"]).set_result(found)
            elif found["method"] == "Runtime.exceptionThrown":
                details = found["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", details).get("description", "?"))
            elif found["method"] == "Log.entryAdded":
                entry = found["params"]["entry"]
                if entry["level"] == "error":  # such as a file that was not found
                    self.console.append(f"{entry['text']} {entry.get('url', '')}")
            elif found["method"] == "Network.requestWillBeSent":
                self.requests.append(found["params"]["request"]["url"])
            else:
                self._arrived.setdefault(found["method"], asyncio.Event()).set()

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await self._waiting[number]
        assert "error" not in answer, answer
        return answer["result"]

    async def open(self, url: str) -> None:
        """Load an address; returns once it is loaded."""
        loaded = self._arrived["Page.loadEventFired"] = asyncio.Event()
        await self.call("Page.navigate", url=url)
        await loaded.wait()

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str, *, seconds: float = 10) -> float:
        """Wait until an expression is true; returns how many milliseconds it took."""
        return float(
            await self.run(
                f"""new Promise((done, fail) => {{
                    const begin = performance.now();
                    const look = () => {{
                        const passed = performance.now() - begin;
                        if ({condition}) done(passed);
                        else if (passed > {seconds * 1000}) fail(Error("not within the time"));
                        else setTimeout(look, 5);
                    }};
                    look();
                }})"""
            )
        )

    async def text(self, selector: str) -> str:
        """The text of an element."""
        return str(await self.run(f"document.querySelector({selector!r}).textContent"))

    async def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Set the window's size and its light or dark scheme; returns once it is drawn."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=features)
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        # A chart adapts to a new size one frame later.
        await self.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => "
            "requestAnimationFrame(done))))"
        )


@asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Page]:
    """A tab of a new browser, with an empty profile in the folder ``profile``."""
    program = installed()
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update"),
        # Otherwise a page that is no longer shown keeps its connections open for a while.
        *("--disable-features=BackForwardCache", "about:blank"),
        stdout=DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            # The browser prints its address among other lines.
            while b"DevTools listening on" not in (line := await process.stderr.readline()):
                assert line, "the browser did not start"
        draining = asyncio.create_task(process.stderr.read())
        address = URL(line.decode().split()[-1]).with_scheme("http").origin()
        async with aiohttp.ClientSession(address) as http:
            async with http.get("/json/list") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
            url = tabs[0]["webSocketDebuggerUrl"]
            async with http.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                reading = asyncio.create_task(page.read())
                await page.call("Page.enable")
                await page.call("Runtime.enable")
                await page.call("Log.enable")
                yield page
                await socket.close()
                await reading
        process.kill()
        await draining
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
