"""A real browser for tests: Debian's chromium without a window, spoken to over a pipe by its own protocol (CDP).

A pipe needs no port, no driver and no library. Every page is loaded in a fresh tab; what it asked the network for,
wrote to its console or failed at is kept.
"""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
          "--force-color-profile=srgb", "--remote-debugging-pipe")  # fmt: skip
_PATIENCE = 60.0


class Browser:
    """A running chromium."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM
        to_browser, from_browser = os.pipe(), os.pipe()
        keep = (to_browser[0], from_browser[1])
        # the shell puts the two ends where the protocol expects them
        wrapped = f'exec 3<&{keep[0]} 4>&{keep[1]}; exec "$@"'
        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", wrapped, "bash", *command],
            pass_fds=keep,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in keep:
            os.close(end)
        self._in, self._out = to_browser[1], from_browser[0]
        self._numbers = itertools.count(1)
        self._held = b""
        self._events: deque[dict[str, Any]] = deque()

    def close(self) -> None:
        """End it and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """One command and its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == number:
                assert "error" not in found, (method, found["error"])
                return dict(found["result"])
            self._events.append(found)

    def event(self, method: str, session: str) -> dict[str, Any]:
        """The next event of a kind; those before it stay for later."""
        while True:
            for found in self._events:
                if found.get("method") == method and found.get("sessionId") == session:
                    self._events.remove(found)
                    return dict(found["params"])
            self._events.append(self._next())

    def seen(self, session: str) -> list[dict[str, Any]]:
        """All events of a tab so far."""
        return [found for found in self._events if found.get("sessionId") == session]

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._out], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._out, 1 << 20)
            assert more, "the browser has ended"
            self._held += more
        message, _, self._held = self._held.partition(b"\0")
        return dict(json.loads(message))

    @contextlib.contextmanager
    def tab(self, url: str, width: int = 1200, height: int = 900, dark: bool = False) -> Iterator["Tab"]:
        """A page in a tab of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        tab.call("Emulation.setEmulatedMedia", features=scheme)
        tab.go(url)
        yield tab
        self.call("Target.closeTarget", targetId=target)


@dataclass
class Tab:
    """One page in the browser."""

    browser: Browser
    session: str

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command to this tab."""
        return self.browser.call(method, self.session, **parameters)

    def go(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)
        self.browser.event("Page.loadEventFired", self.session)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression (or of its promise)."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait for an expression to be true."""
        until = time.monotonic() + _PATIENCE
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < until, f"never true: {script}"
            time.sleep(0.02)

    def key(self, key: str, code: int) -> None:
        """Press and release a key."""
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def requests(self) -> list[str]:
        """URLs that were asked for so far."""
        sent = (found for found in self.browser.seen(self.session) if found["method"] == "Network.requestWillBeSent")
        return [found["params"]["request"]["url"] for found in sent]

    def complaints(self) -> list[str]:
        """What went wrong so far: console errors and warnings, exceptions, refused loads."""
        found = []
        for event in self.browser.seen(self.session):
            method, told = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(told["exceptionDetails"]))
            if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(told["args"]))
            if method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"])
        return found

    def picture(self, path: Path, full: bool = True, clip: dict[str, float] | None = None) -> None:
        """A screenshot of the whole page, of what is in the window, or of a rectangle of the page."""
        part = {} if clip is None else {"clip": clip}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full, **part)
        path.write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for the tests of a file."""
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
