"""The operators' page in a real Chromium, over letters that a real worker buried: every page and act, for everybody."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.model.retry import RetryRecord
from bridge.operations.redrive import Redrives
from bridge.producer import Emitter
from bridge.redis_adapter import DeadLetters, RetrySet, connect, read_balance
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.chromium import opened_chromium
from tests.support.letters import a_failure, a_letter, bury
from tests.support.moody_catalog import Moody, registry
from tests.support.processes import ROOT, CliProcess, running_cli
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import WorkerProcess, running_worker

ARTIFACTS = ROOT / "artifacts"
TIMEOUT_S = 30.0
OPERATOR, VIEWER = "operator-token-0123", "viewer-token-01234"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "moody"
    folder.mkdir()
    return {
        "BRIDGE_BROKER_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "BRIDGE_OPS_TOKEN": OPERATOR,
        "BRIDGE_OPS_VIEW_TOKEN": VIEWER,
        "MOODY_DIR": str(folder),
    }


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    with running_worker(tmp_path, environment) as process:
        yield process


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Iterator[CliProcess]:
    port = free_port()
    with running_cli(tmp_path, "ops", "--port", str(port), environment=environment) as process:
        process.port = port  # type: ignore[attr-defined]
        process.wait_for("Application startup complete")
        yield process
        assert process.end(signal.SIGINT) == 130
    assert "Traceback" not in process.output
    assert OPERATOR not in process.output


class Page:
    """A tab, in the words of the tests."""

    def __init__(self, page: Any, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def sign_in(self, token: str, name: str = "Ann") -> None:
        self.page.fill("#token", token)
        self.page.fill("#name", name)
        self.go("text=Sign in >> nth=-1")

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S * PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}: {self.text()}"
            self.page.wait_for_timeout(25)

    def text(self, selector: str = "main") -> str:
        shown: str = self.page.inner_text(selector)
        return shown

    def path(self) -> str:
        return str(self.page.url).removeprefix(self.base)

    def click(self, words: str) -> None:
        """What leads to another page, or to this one anew."""
        self.go(f"main :is(a, button):has-text('{words}') >> nth=0")

    def go(self, selector: str) -> None:
        """As ``click``, for any element."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def facts(self) -> dict[str, str]:
        pairs: list[list[str]] = self.page.eval_on_selector_all(
            ".facts > div", "rows => rows.map(r => [r.querySelector('dt').innerText, r.querySelector('dd').innerText])"
        )
        return {name.lower(): value for name, value in pairs}

    def save(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"ops-{name}.png", full_page=True)

    def check(self, axe: str, name: str) -> None:
        """Nothing serious for axe in light and dark, no sideways scrolling on a phone; pictures of all three."""
        self.page.evaluate(axe)
        # Of axe's rules, that of contrast alone can find in the dark what it has not found in the light.
        for scheme, rules in (("light", ""), ("dark", ", runOnly: {type: 'rule', values: ['color-contrast']}")):
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = self.page.evaluate(f"axe.run({{resultTypes: ['violations']{rules}}})")
            serious = [
                (rule["id"], node["html"], node["failureSummary"])
                for rule in found["violations"]
                if rule["impact"] in ("serious", "critical", "moderate")
                for node in rule["nodes"]
            ]
            assert serious == [], (name, scheme)
            self.save(f"{name}-{scheme}")
        self.page.set_viewport_size(PHONE)
        assert self.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        self.save(f"{name}-phone")
        self.page.set_viewport_size(DESK)
        self.page.emulate_media(color_scheme="light")


def open_page(browser: Any, command: CliProcess, **options: Any) -> Iterator[Page]:
    context = browser.new_context(viewport=DESK, **options)
    context.set_default_timeout(PROCESS_TIMEOUT_S * 1000)
    page = Page(context.new_page(), f"http://127.0.0.1:{command.port}")  # type: ignore[attr-defined]
    yield page
    assert page.complaints == []
    context.close()


@pytest.fixture
def page(browser: Any, command: CliProcess) -> Iterator[Page]:
    yield from open_page(browser, command)


@pytest.fixture
def plain(browser: Any, command: CliProcess) -> Iterator[Page]:
    """Without JavaScript."""
    yield from open_page(browser, command, java_script_enabled=False)


def emit(settings: Settings, events: list[Moody]) -> None:
    emitter = Emitter(settings, registry)
    for event in events:
        emitter.emit(event)
    assert emitter.close()


def seed(client: redis.Redis, settings: Settings, worker: WorkerProcess) -> DeadLetters:
    """Letters of three causes: a real worker buried some, and what it knows not to fail any more was buried by hand."""
    emit(settings, [Moody(user_id=uuid4(), mode="permanent", times=1, number=number) for number in range(30)])
    emit(settings, [Moody(user_id=uuid4(), mode="permanent", number=number) for number in range(4)])
    emit(settings, [Moody(user_id=uuid4(), mode="fail", times=99, number=number) for number in range(3)])
    emit(settings, [Moody(user_id=uuid4(), number=number) for number in range(200)])
    letters = DeadLetters(client, settings)
    wait_until(lambda: letters.count() == 37, what="all have died")
    return letters


def test_an_operator_understands_replays_and_discards(
    page: Page, axe: str, worker: WorkerProcess, client: redis.Redis, settings: Settings
) -> None:
    letters = seed(client, settings, worker)
    page.open("/dead?stage=extract")
    page.check(axe, "login")
    page.sign_in("not-the-right-token")
    assert "That token is not right." in page.text()
    page.complaints.clear()  # Chromium reports the 401
    page.sign_in(OPERATOR)
    assert page.path() == "/dead?stage=extract", "back to where one was going"

    # The overview lives.
    page.open("/")
    page.wait(lambda: page.text("#link-state") == "live", "the stream is open")
    # A seventh of what ended in the last minute died; later it flows again.
    page.wait(
        lambda: "Events flow" in page.text("#live-health") or " died " in page.text("#live-faults"), "how things stand"
    )
    emit(settings, [Moody(user_id=uuid4(), number=number) for number in range(50)])
    page.wait(lambda: "250 published" in page.text("#live-figures"), "the figures follow")
    page.wait(lambda: page.page.locator("#live-groups tbody tr").count() == 2, "the causes are there")
    page.check(axe, "overview")

    # Drill down: filter, cause, letter.
    page.open("/dead")
    page.page.click("summary:has-text('Filter')")
    page.page.fill("#f-error", "ValueError")
    page.go("details button:has-text('Filter')")
    assert page.page.locator("tbody tr").count() == 3
    page.check(axe, "dead-filtered")
    page.click("Clear")
    assert page.page.locator("tbody tr").count() == 37
    page.check(axe, "dead")
    page.go("nav >> text=Causes")
    page.check(axe, "groups")
    page.go("tbody tr:has-text('ValueError') a")
    assert page.facts()["events"] == "3"
    page.check(axe, "group")
    page.go("section:has-text('Newest letters') li a >> nth=0")
    assert page.page.locator(".attempts > li").count() == 3
    assert "moody_catalog.py" in page.text(".attempts")
    assert "password=***" in page.text()
    assert '"mode": "***"' in page.text()
    page.check(axe, "letter")
    page.click("Trace its event")
    assert "dead letter" in page.text()
    page.check(axe, "trace")

    # Replay: dry run, canary, live to the end.
    page.open("/replays/new?error=PermanentError")
    page.check(axe, "replay-form")
    page.click("Dry run")
    assert sum(int(number) for number in page.facts().values()) == 34
    page.check(axe, "replay-dry-run")
    page.page.fill("#canary", "5")
    page.page.fill("#max_failures", "90")
    worker.pause()  # nothing becomes of the canary, and so the rest is not sent
    page.click("Redrive 34 letters")
    assert re.fullmatch(r"/replays/[0-9a-f]{12}", page.path())
    page.wait(lambda: page.facts()["not sent yet"] == "29", "it is under way, and the page shows it")
    page.check(axe, "replay-running")
    address = page.path()
    page.click("Stop")
    page.wait(lambda: "paused" in page.text("#live-redrive .pill"), "it is stopped")
    page.check(axe, "replay-paused")
    worker.resume()
    page.click("Resume")
    page.wait(lambda: "done" in page.text("#live-redrive .pill"), "it runs to its end")
    assert page.path().startswith(address)
    assert (page.facts()["succeeded"], page.facts()["failed again"]) == ("30", "4")
    assert letters.count() == 7
    page.check(axe, "replay-done")
    page.go("nav >> text=Redrives")
    page.check(axe, "replays")

    # Discard.
    page.open("/dead?error=PermanentError")
    page.click("Discard these")
    page.check(axe, "discard")
    page.page.click("button.danger")
    assert page.path().startswith("/dead/discard"), "no reason, no act"
    page.page.fill("#reason", "their users are gone")
    page.go("button.danger")
    assert "Discarded: 4." in page.text()
    assert letters.count() == 3
    page.go("nav >> text=Log")
    assert "their users are gone" in page.text()
    assert page.text().count("Ann (page)") >= 4
    page.check(axe, "log")
    page.open("/dead?error=PermanentError")
    page.check(axe, "dead-empty")
    assert read_balance(client).balanced

    page.go("text=Sign out")
    assert page.path() == "/login"
    page.open("/dead")
    assert page.path() == "/login?next=%2Fdead"


def test_retries_are_tried_now_and_buried(page: Page, axe: str, client: redis.Redis, settings: Settings) -> None:
    for number in range(3):
        letter = a_letter(failure=a_failure(f"no answer from https://example.com/{number}", error_class="TimeoutError"))
        fields = {name: getattr(letter, name) for name in ("task", "queue", "envelope", "attempts")}
        RetrySet(client, settings).add([(RetryRecord(event_id=letter.letter_id, **fields), 600.0)])
    page.open("/retries")
    page.sign_in(OPERATOR)
    assert page.page.locator("section:has-text('Causes') tbody tr").count() == 1
    page.check(axe, "retries")
    page.click("Try now")
    assert "Due now: 3." in page.text()
    page.page.fill("#reason", "the other side is gone")
    page.click("Dead-letter them")
    assert "Buried as dead letters: 3." in page.text()
    page.check(axe, "retries-empty")
    assert (store_of(client, settings).retries.count(), store_of(client, settings).dead_letters.count()) == (0, 3)
    page.open("/")
    page.wait(lambda: "No worker consumes" in page.text("#live-faults"), "faults are sentences")
    page.check(axe, "overview-faults")


def test_the_keyboard_alone_is_enough(page: Page, client: redis.Redis, settings: Settings) -> None:
    bury(client, settings, [a_letter()])
    keys = page.page.keyboard
    page.open("/")
    page.page.focus("#token")
    keys.type(OPERATOR)
    keys.press("Enter")
    page.page.wait_for_url(f"{page.base}/")
    keys.press("Tab")
    assert page.page.evaluate("document.activeElement.className") == "skip"
    page.wait(lambda: page.page.evaluate("document.activeElement.getBoundingClientRect().top >= 0"), "the link is seen")
    tab_to(page, "Causes")
    keys.press("Enter")
    page.page.wait_for_url("**/dead/groups")
    tab_to(page, r"^[0-9a-f]{12}$")
    keys.press("Enter")
    page.page.wait_for_url("**/dead/groups/*")
    tab_to(page, "Discard these")
    ring = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid", "where one is can be seen"
    keys.press("Enter")
    page.page.wait_for_url("**/dead/discard?*")
    tab_to(page, "", "reason")
    keys.type("by hand")
    keys.press("Enter")
    page.page.wait_for_url("**/dead?note=*")
    assert "Discarded: 1." in page.text()


def test_a_part_that_is_swapped_keeps_the_focus(page: Page, client: redis.Redis, settings: Settings) -> None:
    bury(client, settings, [a_letter()])
    page.open("/")
    page.sign_in(OPERATOR)
    page.wait(lambda: page.text("#link-state") == "live", "the stream is open")
    page.page.focus("#live-groups tbody a")
    page.page.evaluate("document.querySelector('#live-groups').dataset.old = 'yes'")
    page.page.evaluate("document.querySelector('#live-groups table').dataset.old = 'yes'")
    page.wait(lambda: not page.page.locator("#live-groups table[data-old]").count(), "the part is swapped")
    assert page.page.evaluate("document.activeElement.closest('#live-groups a') !== null")
    page.page.click("#toggle")
    assert page.text("#link-state") == "paused"
    page.page.click("#toggle")
    page.wait(lambda: page.text("#link-state") == "live", "it goes on")


def test_everything_works_without_javascript(
    plain: Page, worker: WorkerProcess, client: redis.Redis, settings: Settings
) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    plain.open("/")
    plain.sign_in(OPERATOR)
    plain.go("#live-groups tbody a")
    plain.click("Redrive these")
    plain.click("Dry run")
    assert plain.page.locator(".outcome div").all_inner_texts() == ["Would be published\n3"]
    plain.go("button:has-text('Redrive 3 letters')")
    address = plain.path()
    plain.wait(
        lambda: Redrives(store_of(client, settings), settings, registry).newest()[0].state == "done", "it is done"
    )
    plain.click("Refresh")
    assert plain.path() == address
    assert "3 of 3 letters" in plain.text()
    assert store_of(client, settings).dead_letters.count() == 0


def test_a_viewer_looks_and_finds_no_act(page: Page, axe: str, client: redis.Redis, settings: Settings) -> None:
    hostile = "<img src=x onerror=document.title='owned'>"
    letter = a_letter(mode="tea-with-the-queen", failure=a_failure(hostile, error_class=hostile))
    bury(client, settings, [letter])
    page.open(f"/dead/letters/{letter.letter_id}")
    page.sign_in(VIEWER, hostile)
    assert hostile in page.text()
    assert "tea-with-the-queen" not in page.page.content()
    assert page.page.title() == "Dead letter · bridge"
    page.check(axe, "viewer-letter")
    assert page.page.locator("main form").count() == 0
    page.open("/")
    page.wait(lambda: page.text("#link-state") == "live", "the stream is open")
    assert page.page.title() == "Overview · bridge"
    page.open("/dead/discard")
    assert "look, but not act" in page.text()
    page.complaints.clear()  # Chromium reports the 403
    page.check(axe, "refused")


def test_another_site_can_neither_act_nor_frame(
    page: Page, browser: Any, client: redis.Redis, settings: Settings, redis_server: EmbeddedServer
) -> None:
    bury(client, settings, [a_letter()])
    page.open("/")
    page.sign_in(OPERATOR)
    form = (
        f"<form id=f method=post action='{page.base}/dead/discard'><input name=reason value=x></form>"
        f"<iframe src='{page.base}/'></iframe>"
    )
    page.page.route("http://evil.example/", lambda route: route.fulfill(content_type="text/html", body=form))
    page.page.goto("http://evil.example/")
    assert page.page.frames[-1].url != f"{page.base}/" or not page.page.frames[-1].locator("main").count()
    page.page.evaluate("document.getElementById('f').submit()")
    page.page.wait_for_url(f"{page.base}/**")
    assert store_of(client, settings).dead_letters.count() == 1
    page.complaints.clear()  # Chromium reports the refused frame and the refused form


def tab_to(page: Page, words: str, element_id: str = "") -> None:
    """Press Tab until what has the focus says this."""
    for _ in range(60):
        page.page.keyboard.press("Tab")
        found, name = page.page.evaluate("[document.activeElement.innerText, document.activeElement.id]")
        if name == element_id if element_id else re.search(words, found or ""):
            return
    raise AssertionError(f"The keyboard does not reach {words or element_id!r}.")
