"""examples/django_app as its page tells it: under ASGI in a real Chromium, and under WSGI with a gateway beside it."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from bridge.local.redis_server import EmbeddedServer, free_port
from tests.support.chromium import Tab
from tests.support.gateway import COMMAND, EVENTS_PATH, Listener, gateway_process
from tests.support.processes import ROOT, clean_environment, run, start
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import running_worker

EXAMPLE = ROOT / "examples" / "django_app"
SETTINGS = "examples.django_app.settings"
ASGI = ("-m", "uvicorn", "examples.django_app.asgi:application", "--workers", "2", "--port")
WSGI = ("-m", "gunicorn", "examples.django_app.wsgi", "--workers", "2", "--bind")
USERS = (
    "import django; django.setup(); from django.contrib.auth.models import User; "
    "[User.objects.create_user(name, password='secret') for name in ('ada', 'grace')]"
)
OWN_LINES_MAX = 15


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A database with two users, and a worker of the project's settings."""
    folder = tmp_path_factory.mktemp("shop")
    with EmbeddedServer() as server:
        found = {
            "BRIDGE_BROKER_URL": server.url,
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "SHOP_DATABASE": str(folder / "db.sqlite3"),
        }
        for argv in (["-m", "examples.django_app.manage", "migrate", "--verbosity", "0"], ["-c", USERS]):
            done = run([sys.executable, *argv], clean_environment(found))
            assert done.returncode == 0, done.stderr
        with running_worker(folder, found):
            yield found


@contextmanager
def running_project(folder: Path, environment: dict[str, str], server: tuple[str, ...]) -> Iterator[str]:
    """The project under a server; its address."""
    place = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, *server, place if server[-1] == "--bind" else place.partition(":")[2]]
    with (folder / "project.log").open("wb") as log:
        process = start(argv, clean_environment(environment), log)
    try:
        wait_until(lambda: _answers(f"http://{place}/login/"), what="the project answers")
        yield f"http://{place}"
        process.terminate()
        process.wait(PROCESS_TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in (folder / "project.log").read_text()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


class Browser:
    """A signed-in user's, without a window: cookies, and the token of Django's forms."""

    def __init__(self, url: str, name: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=PROCESS_TIMEOUT_S)
        self.client.get("/login/")
        assert self.post("/login/", username=name, password="secret") == 302

    def post(self, path: str, **data: str) -> int:
        token = self.client.cookies["csrftoken"]
        answer = self.client.post(path, data={**data, "csrfmiddlewaretoken": token})
        return answer.status_code

    def listen(self, url: str) -> Listener:
        return Listener(url, 0, headers={"Cookie": f"sessionid={self.client.cookies['sessionid']}"})


def test_a_signed_in_user_sees_what_was_committed_in_the_browser_and_no_other_user_does(
    browser: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    with running_project(tmp_path, environment, ASGI) as url:
        tabs = {name: Tab(browser.new_context().new_page()) for name in ("ada", "grace")}
        for name, tab in tabs.items():
            tab.page.goto(url)
            tab.page.fill("input[name=username]", name)
            tab.page.fill("input[name=password]", "secret")
            tab.page.click("button")
            tab.page.wait_for_selector("#paid", state="attached")
        # Again and again, as a page that has just been opened may not listen yet. Either worker of the server answers.
        for name, order in (("ada", "A-2"), ("grace", "G-1")):
            _pay_until_shown(tabs[name], order)
        assert tabs["ada"].page.evaluate("pay('/orders/A-3/pay-in-vain').then((answer) => answer.status)") == 409
        tabs["ada"].page.click("#pay button")
        tabs["ada"].wait(lambda: "A-1" in tabs["ada"].text("#paid"), "the button's event is shown")
        assert set(tabs["ada"].text("#paid").split()) == {"A-1", "A-2"}
        assert set(tabs["grace"].text("#paid").split()) == {"G-1"}
        assert httpx.get(url + EVENTS_PATH).status_code == 401
        for tab in tabs.values():
            assert [one for one in tab.complaints if "409" not in one] == []
            tab.page.context.close()


def _pay_until_shown(tab: Tab, order: str) -> None:
    def shown() -> bool:
        tab.page.evaluate(f"pay('/orders/{order}/pay')")
        tab.page.wait_for_timeout(200)
        return order in tab.text("#paid")

    tab.wait(shown, f"{order} is shown")


def test_beside_a_wsgi_server_the_same_login_opens_the_stream_and_signing_out_ends_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        running_project(tmp_path, environment, WSGI) as url,
        gateway_process(tmp_path, {**environment, "BRIDGE_JWT_SECRET": ""}, COMMAND) as (_, gateway),
    ):
        ada, phone, grace = Browser(url, "ada"), Browser(url, "ada"), Browser(url, "grace")
        streams = [one.listen(gateway) for one in (ada, phone, grace)]
        assert ada.post("/orders/A-1/pay-in-vain") == 409
        assert ada.post("/orders/A-2/pay") == 204
        assert [streams[0].wait_for(1)[0].data, streams[1].wait_for(1)[0].data] == ['{"number":"A-2"}'] * 2
        with httpx.Client(base_url=gateway, cookies=ada.client.cookies) as client:
            answer = client.head(EVENTS_PATH, headers={"Origin": "https://elsewhere.example"})
            assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers
            assert ada.post("/logout/") == 302
            wait_until(lambda: not streams[0].is_open, what="the stream of who signed out ends")
            assert client.head(EVENTS_PATH).status_code == 401
        with redis.Redis.from_url(environment["BRIDGE_BROKER_URL"]) as store:
            assert not store.exists("sse:withdrawals"), "no right is withdrawn"
        assert phone.listen(gateway).is_open and streams[2].is_open
        assert streams[2].events == []


def test_it_takes_at_most_fifteen_lines_of_ones_own() -> None:
    files = [*EXAMPLE.glob("*.py"), EXAMPLE / "templates" / "page.html"]
    lines = [line for file in files for line in file.read_text().splitlines()]
    own = [line for line in lines if re.search(r"(#|//) bridge$", line)]
    catalog = (EXAMPLE / "events.py").read_text().splitlines()[1:]  # the first says what it is
    own += [line for line in catalog if line.strip()]
    assert len(own) <= OWN_LINES_MAX, own
