"""Headless Chromium, driven over its DevTools protocol: what a page asked for, complained of, and looks like."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PHONE, DESKTOP = (390, 844), (1280, 900)


class Page:
    """One open page. `requests` are the URLs that it asked for, `complaints` what its console shows."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbers = count(1)
        self.session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loaded = asyncio.Event()
        self.answers: dict[int, asyncio.Future[Any]] = {}

    async def listen(self) -> None:
        async for message in self.socket:
            told = message.json()
            if "id" in told:
                self.answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            elif told["method"] in {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}:
                self.complaints.append(str(told["params"]))
            elif told["method"] == "Page.loadEventFired":
                self.loaded.set()

    async def tell(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        session = {"sessionId": self.session} if self.session else {}
        await self.socket.send_json({"id": number, "method": method, "params": params, **session})
        answer = await asyncio.wait_for(self.answers[number], 60)
        assert "error" not in answer, answer
        return answer["result"]

    async def see(self, file: Path, size: tuple[int, int], *, dark: bool = False) -> None:
        """Open a file anew, at a size."""
        await self.tell(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])
        self.requests.clear()
        self.complaints.clear()
        self.loaded.clear()
        await self.tell("Page.navigate", url=file.as_uri())
        await asyncio.wait_for(self.loaded.wait(), 60)

    async def run(self, script: str) -> Any:
        """What an expression amounts to on the page; promises are waited for."""
        done = await self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def picture(self, file: Path) -> None:
        """All of the page as a PNG, to be looked at."""
        done = await self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        _write(file, base64.b64decode(done["data"]))


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Page]:
    """A page of a browser of this test's own."""
    if (chromium := shutil.which("chromium")) is None:
        message = "there is no Chromium for this test: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    process = await asyncio.create_subprocess_exec(
        chromium,
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        *("--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}"),
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        said = await asyncio.wait_for(process.stderr.readuntil(b"/devtools/browser/"), 60)
        said += await process.stderr.readline()
        found = re.search(rb"ws://\S+", said)
        assert found is not None, said
        async with aiohttp.ClientSession() as client, client.ws_connect(found[0].decode(), max_msg_size=0) as socket:
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            target = await page.tell("Target.createTarget", url="about:blank")
            attached = await page.tell("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            page.session = attached["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                await page.tell(f"{domain}.enable")
            yield page
            listening.cancel()
    finally:
        process.terminate()
        await process.wait()
