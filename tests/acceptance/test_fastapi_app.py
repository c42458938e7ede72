"""examples/fastapi_app as its page tells it: a login of its own, and a real Chromium that sees what happened."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.local.redis_server import EmbeddedServer, free_port
from tests.support.chromium import Tab
from tests.support.gateway import EVENTS_PATH
from tests.support.processes import ROOT, clean_environment, start
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import running_worker

EXAMPLE = ROOT / "examples" / "fastapi_app"
REGISTRY = "examples.fastapi_app.events:registry"
OWN_LINES_MAX = 12


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with EmbeddedServer() as server:
        yield {"BRIDGE_BROKER_URL": server.url, "BRIDGE_REGISTRY": REGISTRY}


@contextmanager
def running_app(folder: Path, environment: dict[str, str], *, workers: int) -> Iterator[str]:
    """The application under uvicorn; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "uvicorn", "examples.fastapi_app.app:app", "--port", str(port)]
    with (folder / "app.log").open("wb") as log:
        process = start([*argv, "--workers", str(workers)], clean_environment(environment), log)
    try:
        wait_until(lambda: _answers(url), what="the application answers")
        yield url
        process.terminate()
        process.wait(PROCESS_TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in (folder / "app.log").read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_signed_in_user_sees_in_the_browser_what_was_emitted_and_nobody_else_does(
    browser: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    with running_app(tmp_path, environment, workers=2) as url, running_worker(tmp_path, environment):
        tabs = {name: Tab(browser.new_context().new_page()) for name in ("ada", "grace")}
        for name, tab in tabs.items():
            tab.page.goto(url)
            tab.page.evaluate(f"fetch('/login/{name}', {{method: 'POST'}})")
            tab.page.goto(url)
        # Again and again, as a page that has just been opened may not listen yet. Either worker of the server answers.
        for name, order in (("ada", "A-1"), ("grace", "G-1")):
            _pay_until_shown(tabs[name], f"/orders/{order}/pay", order)
        _pay_until_shown(tabs["ada"], "/orders/A-2/pay-later", "A-2")
        before = tabs["ada"].text("#paid").count("A-1")
        tabs["ada"].page.click("#pay")
        tabs["ada"].wait(lambda: tabs["ada"].text("#paid").count("A-1") > before, "the button's event is shown")
        assert set(tabs["grace"].text("#paid").split()) == {"G-1"}
        assert set(tabs["ada"].text("#paid").split()) == {"A-1", "A-2"}
        for tab in tabs.values():
            tab.page.context.close()


def _pay_until_shown(tab: Tab, path: str, order: str) -> None:
    def shown() -> bool:
        tab.page.evaluate(f"fetch('{path}', {{method: 'POST'}})")
        tab.page.wait_for_timeout(200)
        return order in tab.text("#paid")

    tab.wait(shown, f"{order} is shown")


def test_who_is_not_signed_in_hears_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    with running_app(tmp_path, environment, workers=1) as url:
        answer = httpx.get(url + EVENTS_PATH)
        assert (answer.status_code, answer.json()["detail"]) == (401, "Sign in first.")


def test_it_takes_at_most_a_dozen_lines_of_ones_own() -> None:
    own = [
        line
        for name in ("app.py", "page.html")
        for line in (EXAMPLE / name).read_text().splitlines()
        if re.search(r"(#|//) bridge$", line)
    ]
    catalog = (EXAMPLE / "events.py").read_text().splitlines()[1:]  # the first says what it is
    own += [line for line in catalog if line.strip()]
    assert len(own) <= OWN_LINES_MAX, own
