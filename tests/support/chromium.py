"""A real Chromium without a window, and its tabs; without one, CI fails and a laptop skips."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S

PICTURES = Path(os.environ["PICTURES"]).resolve() if os.environ.get("PICTURES") else None
"""The folder for pictures of the pages, for people to look at; none by default."""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic",
]  # fmt: skip


@contextmanager
def opened_chromium() -> Iterator[Any]:
    """The browser, of playwright's synchronous interface."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; .ci/run installs it.")
        pytest.skip("Chromium is not installed.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield opened
        opened.close()


class Tab:
    """A page of the browser, and what its console complained of."""

    def __init__(self, page: Any) -> None:
        page.set_default_timeout(PROCESS_TIMEOUT_S * 1000)
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        self.page = page
        self.complaints: list[str] = []

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}: {self.text()}"
            self.page.wait_for_timeout(25)

    def text(self, selector: str = "body") -> str:
        shown: str = self.page.inner_text(selector)
        return shown

    def save(self, name: str, *, full_page: bool = True) -> None:
        """A picture, where they are wanted."""
        if PICTURES:
            PICTURES.mkdir(exist_ok=True)
            self.page.screenshot(path=PICTURES / f"{name}.png", full_page=full_page)
