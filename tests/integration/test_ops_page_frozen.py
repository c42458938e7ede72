"""The operators' page over a Redis that stands still: each page says so after one wait, and comes back with it."""

import asyncio
import signal
import time
from pathlib import Path

import psutil

from bridge.redis_adapter.client import REPLY_TIMEOUT_S
from bridge.settings import Settings
from tests.support.ops_page import OPERATOR, VIEWER, browser
from tests.support.redis_servers import running_redis

PAGES = ["/dead", "/dead/groups", "/retries", "/replays"]


def _server(url: str) -> psutil.Process:
    port = url.rpartition(":")[2].partition("/")[0]
    return next(one for one in psutil.Process().children() if port in " ".join(one.cmdline()))


async def test_a_page_waits_once_for_a_redis_that_does_not_answer(tmp_path: Path) -> None:
    with running_redis(tmp_path) as url:
        settings = Settings(broker_url=url, ops_token=OPERATOR, ops_view_token=VIEWER)
        async with browser(settings, OPERATOR) as page:
            assert (await page.get("/dead")).status_code == 200
            server = _server(url)
            server.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            answers = await asyncio.gather(*map(page.get, PAGES))
            took_s = time.monotonic() - began
            server.send_signal(signal.SIGCONT)
            assert {answer.status_code for answer in answers} == {503}
            assert all("Redis did not take the command" in answer.text for answer in answers)
            assert took_s < 3 * REPLY_TIMEOUT_S
            assert [(await page.get(path)).status_code for path in PAGES] == [200] * len(PAGES)
