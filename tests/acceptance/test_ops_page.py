"""The operators' page in a real Chromium, over letters that a real worker buried: every page and act."""

import re
from importlib.resources import files
from uuid import uuid4

import pytest
import redis

from bridge.model.retry import RetryRecord
from bridge.producer import Emitter
from bridge.redis_adapter import DeadLetters, RetrySet, read_balance
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.letters import a_failure, a_letter, bury
from tests.support.moody_catalog import Moody, registry
from tests.support.ops_tab import OPERATOR, VIEWER, OpsTab
from tests.support.waiting import wait_until
from tests.support.worker import WorkerProcess


@pytest.fixture(scope="module")
def axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def emit(settings: Settings, events: list[Moody]) -> None:
    emitter = Emitter(settings, registry)
    assert emitter.emit_many(events) == len(events)
    assert emitter.close()


def seed(client: redis.Redis, settings: Settings) -> DeadLetters:
    """Letters of three causes: a real worker buried some, and what it knows not to fail any more was buried by hand."""
    emit(settings, [Moody(user_id=uuid4(), mode="permanent", times=1, number=number) for number in range(30)])
    emit(settings, [Moody(user_id=uuid4(), mode="permanent", number=number) for number in range(4)])
    emit(settings, [Moody(user_id=uuid4(), mode="fail", times=99, number=number) for number in range(3)])
    emit(settings, [Moody(user_id=uuid4(), number=number) for number in range(200)])
    letters = DeadLetters(client, settings)
    wait_until(lambda: letters.count() == 37, what="all have died")
    return letters


def test_an_operator_understands_replays_and_discards(
    page: OpsTab, axe: str, worker: WorkerProcess, client: redis.Redis, settings: Settings
) -> None:
    letters = seed(client, settings)
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


def test_retries_are_tried_now_and_buried(page: OpsTab, axe: str, client: redis.Redis, settings: Settings) -> None:
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


def test_a_viewer_looks_and_finds_no_act(page: OpsTab, axe: str, client: redis.Redis, settings: Settings) -> None:
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
