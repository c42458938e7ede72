"""A real Chromium's EventSource: full and draining gateways, and the README's way back from a proxy's 502."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from bridge.local.redis_server import free_port
from bridge.settings import Settings
from tests.support.chromium import Tab
from tests.support.gateway import COMMAND, EVENTS_PATH, gateway_process
from tests.support.slow import ask, read_until
from tests.support.streams import Source
from tests.support.waiting import WAIT_S
from tests.support.worker import ROOT

TYPE = "import.progress"
NATIVE = f"""
window.shown = []; window.states = [];
window.source = new EventSource(url);
source.addEventListener("{TYPE}", (event) => shown.push(event.lastEventId));
source.onerror = () => states.push(source.readyState);
source.onmessage = (event) => states.push("message " + event.data);
"""
SNIPPET = f"""
window.shown = []; window.states = [];
listen(url, "{TYPE}", (event) => shown.push(event.lastEventId));
"""


@pytest.fixture
def user() -> UUID:
    return uuid4()


@pytest.fixture
def source(redis_url: str) -> Iterator[Source]:
    source = Source(Settings(broker_url=redis_url))
    yield source
    source.close()


@pytest.fixture
def environment(redis_url: str) -> dict[str, str]:
    return {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_JWT_SECRET": "",
        "BRIDGE_GATEWAY_DEV": "1",
        "BRIDGE_GATEWAY_CLIENTS_MAX": "1",
        "BRIDGE_GATEWAY_RETRY_S": "0.5",
    }


class Page(Tab):
    """A page of the gateway's own origin that listens."""

    def __init__(self, browser: Any, url: str, user: UUID, script: str) -> None:
        super().__init__(browser.new_page())
        self.page.route("**/page", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
        self.page.goto(url + "/page")
        self.script = f"const url = '{EVENTS_PATH}?user_id={user}'; {script}"

    def listen(self) -> None:
        self.page.add_script_tag(content=self.script)

    @property
    def shown(self) -> list[str]:
        return list(self.page.evaluate("shown"))

    @property
    def states(self) -> list[Any]:
        return list(self.page.evaluate("states"))

    def text(self, selector: str = "body") -> str:
        return f"{super().text(selector)}; shown {self.shown}, states {self.states}"


def _clients(url: str) -> int:
    return int(httpx.get(url + "/health/ready").json()["clients"])


def test_a_full_gateway_is_waited_for(
    browser: Any, environment: dict[str, str], tmp_path: Path, source: Source, user: UUID
) -> None:
    with gateway_process(tmp_path, environment, COMMAND) as (_, url):
        port = httpx.URL(url).port or 0
        asked = f"GET {EVENTS_PATH}?user_id={uuid4()} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        occupant = ask(port, asked)
        read_until(occupant, b": live")
        page = Page(browser, url, user, NATIVE)
        page.listen()
        page.wait(lambda: len(page.states) >= 1, "the browser is sent away")
        assert set(page.states) == {0}, "it goes on trying"
        occupant.close()
        page.wait(lambda: _clients(url) == 1 and page.page.evaluate("source.readyState") == 1, "the browser is let in")
        ids = source.publish(user, 2)
        page.wait(lambda: page.shown == ids, "the events are shown")
        assert set(page.states) == {0}
        page.page.close()


def test_a_draining_gateway_is_survived_and_nothing_is_missed(
    browser: Any, environment: dict[str, str], tmp_path: Path, source: Source, user: UUID
) -> None:
    port = free_port()
    with gateway_process(tmp_path, environment, COMMAND, port=port) as (first, url):
        page = Page(browser, url, user, NATIVE)
        page.listen()
        page.wait(lambda: page.page.evaluate("source.readyState") == 1 and _clients(url) == 1, "the stream is open")
        first.terminate()
        first.wait(WAIT_S)
        ids = source.publish(user, 3)
        with gateway_process(tmp_path, environment, COMMAND, port=port):
            ids += source.publish(user, 2)
            page.wait(lambda: page.shown == ids, "what was published meanwhile is shown")
            assert set(page.states) == {0}, "never closed for good, and no empty message"
            page.page.close()


def test_the_lines_of_the_readme_come_back_from_a_proxys_502(
    browser: Any, environment: dict[str, str], tmp_path: Path, source: Source, user: UUID
) -> None:
    port = free_port()
    with gateway_process(tmp_path, environment, COMMAND, port=port) as (first, url):
        page = Page(browser, url, user, _function_of_the_readme() + SNIPPET)
        page.listen()
        page.wait(lambda: _clients(url) == 1, "the stream is open")
        ids = source.publish(user, 2)
        page.wait(lambda: page.shown == ids, "the first events are shown")
        bad, asked = [502, 503, 401], list[str]()

        def answer(route: Any) -> None:
            asked.append(route.request.url)
            if bad:
                route.fulfill(status=bad.pop(0), body="a proxy's own")
            else:
                route.continue_()

        page.page.route(f"**{EVENTS_PATH}*", answer)
        first.terminate()
        first.wait(WAIT_S)
        ids += source.publish(user, 3)
        with gateway_process(tmp_path, environment, COMMAND, port=port):
            page.wait(lambda: page.shown == ids, "what was missed is shown")
            assert not bad and f"lastEventId={ids[1]}" in asked[-1]
            page.page.close()


def _function_of_the_readme() -> str:
    codes = re.findall(r"```js\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = next(code for code in codes if "EventSource.CLOSED" in code)
    return str(code[: code.index("\nlisten(")])
