"""A real, headless Chromium on one page, spoken to by its own DevTools protocol.

Nothing but aiohttp is needed for that. The browser has a folder of its own, no network, and is
ended by its own pid; what it asks for and complains of is written down.
"""

import base64
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import aiohttp
import anyio
import msgspec

from tests.support.poll import until

PROGRAM = "chromium"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
)
T = TypeVar("T")


class _Message(msgspec.Struct):
    """An answer (with an id) or an event (with a method)."""

    id: int = 0
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: dict[str, object] | None = None


class _Found(msgspec.Struct):
    url: str = ""


class _Asked(msgspec.Struct):
    request: _Found


class _Value(msgspec.Struct):
    value: msgspec.Raw = msgspec.Raw(b"null")


class _Evaluated(msgspec.Struct):
    result: _Value
    exceptionDetails: dict[str, object] | None = None  # noqa: N815 - the protocol's name


class _Named(msgspec.Struct):
    targetId: str = ""  # noqa: N815 - the protocol's name
    sessionId: str = ""  # noqa: N815 - the protocol's name
    data: str = ""


class Browser:
    """One page. `requests` are all addresses that it asked for, `complaints` what it logged."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse) -> None:
        self._line = line
        self._session = ""
        self._number = 0
        self._events: list[_Message] = []

    @property
    def requests(self) -> list[str]:
        """What was asked for since the page was opened, in that order."""
        asked = [e for e in self._events if e.method == "Network.requestWillBeSent"]
        return [msgspec.json.decode(e.params, type=_Asked).request.url for e in asked]

    @property
    def complaints(self) -> list[str]:
        """Errors, warnings and everything else that a console would show."""
        loud = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [bytes(e.params).decode() for e in self._events if e.method in loud]

    async def call(self, method: str, **params: object) -> bytes:
        """One call of the protocol; the events that come before its answer are kept."""
        self._number += 1
        said: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session:
            said["sessionId"] = self._session
        await self._line.send_str(msgspec.json.encode(said).decode())
        while True:
            heard = await self._next()
            if heard.id == self._number:
                assert heard.error is None, f"{method}: {heard.error}"
                return bytes(heard.result)

    async def open(self, path: Path) -> None:
        """Begin with a page, without any network; returns when all of it is loaded."""
        self._events.clear()
        await self.call("Page.navigate", url=path.as_uri())
        while not any(event.method == "Page.loadEventFired" for event in self._events):
            await self._next()

    async def look(self, *, width: int = 1280, scheme: str = "light", media: str = "") -> None:
        """Show the page on such a screen, in such a scheme, or as it would be printed."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", media=media, features=features)

    async def ask(self, shape: type[T], expression: str) -> T:
        """The value of an expression on the page; what it throws fails the test."""
        raw = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        found = msgspec.json.decode(raw, type=_Evaluated)
        assert found.exceptionDetails is None, found.exceptionDetails
        return msgspec.json.decode(found.result.value, type=shape)

    async def picture(self, method: str = "Page.captureScreenshot", **params: object) -> bytes:
        """A picture of the page (or by another method, a PDF)."""
        raw = await self.call(method, **params)
        return base64.b64decode(msgspec.json.decode(raw, type=_Named).data)

    async def attach(self) -> None:
        """Take a page of its own, and have everything on it told."""
        raw = await self.call("Target.createTarget", url="about:blank")
        target = msgspec.json.decode(raw, type=_Named).targetId
        raw = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = msgspec.json.decode(raw, type=_Named).sessionId
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        nothing = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        await self.call("Network.emulateNetworkConditions", offline=True, **nothing)

    async def _next(self) -> _Message:
        heard = await self._line.receive()
        assert heard.type is aiohttp.WSMsgType.TEXT, f"the browser has gone: {heard}"
        message = msgspec.json.decode(heard.data, type=_Message)
        if message.method:
            self._events.append(message)
        return message


@asynccontextmanager
async def browsing(deadline_seconds: float = 60.0) -> AsyncGenerator[Browser, None]:
    """A browser with a page; it is ended, and its folder removed, whatever happens."""
    with (
        TemporaryDirectory(prefix="valkeep-chromium-", ignore_cleanup_errors=True) as folder,
        _running(folder) as process,
        anyio.fail_after(deadline_seconds),
    ):
        async with _attached(Path(folder), process) as browser:
            yield browser


@contextmanager
def _running(folder: str) -> Generator["subprocess.Popen[bytes]", None, None]:
    command = [PROGRAM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@asynccontextmanager
async def _attached(
    folder: Path, process: "subprocess.Popen[bytes]"
) -> AsyncGenerator[Browser, None]:
    async def listens() -> bool:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        return _address(folder) is not None

    await until(listens, "chromium listens")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(_address(folder) or "", max_msg_size=0) as line,
    ):
        browser = Browser(line)
        await browser.attach()
        yield browser


def _address(folder: Path) -> str | None:
    """Where a browser listens, once it has written that down whole."""
    port = folder / "DevToolsActivePort"
    said = port.read_text().splitlines() if port.exists() else []
    return f"ws://127.0.0.1:{said[0]}{said[1]}" if len(said) == 2 else None
