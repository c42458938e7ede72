"""The demo in a real Chromium: an import that arrives live, filters, and a replay of exactly what was missed."""

import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bridge.local.redis_server import free_port
from tests.support.chromium import Tab
from tests.support.processes import CliProcess, running_cli, wait_until_gone


class Page(Tab):
    """The demo's page, in the words of the tests."""

    def __init__(self, page: Any, port: int) -> None:
        super().__init__(page)
        page.goto(f"http://127.0.0.1:{port}/")

    @property
    def percent(self) -> int:
        return int(re.sub(r"\D", "", self.page.inner_text("#percent")) or 0)

    @property
    def arrived(self) -> int:
        """Events of this page's life, as the chips count them: each at once."""
        return sum(int(text) for text in self.page.locator("#chips span").all_inner_texts())

    def figures(self) -> dict[str, int]:
        """What the journey shows, at one moment."""
        shown: dict[str, str] = self.page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#stations .count')]"
            ".map(({id, textContent}) => [id.slice(2), textContent]))"
        )
        return {station: int(text) if text.isdigit() else -1 for station, text in shown.items()}

    def count(self, station: str) -> int:
        text = self.page.inner_text(f"#n-{station}").replace(",", "")
        return int(text) if text.isdigit() else -1

    def click(self, selector: str) -> None:
        self.page.click(selector)

    def save(self, name: str, *, full_page: bool = False) -> None:
        self.page.evaluate("scrollTo(0, 0)")
        super().save(name, full_page=full_page)


@pytest.fixture
def demo(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The demo with its page open; stopped, and checked to leave nothing behind."""
    port = free_port()
    options = getattr(request, "param", ("--speed", "60"))
    with running_cli(tmp_path, "demo", "--no-open", "--port", str(port), *options) as command:
        command.wait_for("The demo is up")
        pids = command.pids()
        # Without motion a balance is at once what it will be, where a test compares it.
        motion = "no-preference" if options[-1] == "60" else "reduce"
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion=motion)
        opened = Page(page, port)
        opened.command = command  # type: ignore[attr-defined]
        yield opened
        opened.page.close()
        assert command.end(signal.SIGINT) == 130
    wait_until_gone(pids)
    assert "Traceback" not in command.output
    assert "Open the page: the import begins then" in command.output
    assert command.output.rstrip().endswith("Goodbye.")
    assert "Started server process" not in command.output, "what is said when all goes well is left out"
    assert opened.complaints == []


def test_an_import_arrives_live_and_a_replay_brings_exactly_what_was_missed(demo: Page) -> None:
    page = demo.page
    demo.wait(lambda: demo.percent >= 45 or disagreement(demo), "the import is under way")
    assert disagreement(demo) is None
    demo.save("demo-light")
    demo.click("#toggle")
    before = demo.arrived
    assert page.inner_text("#state-text") == "disconnected"
    demo.wait(lambda: all_are_published(demo), "the rest is published while nobody looks")
    assert demo.count("received") == demo.arrived == before
    demo.save("demo-disconnected")

    demo.click("#toggle")
    demo.wait(lambda: page.evaluate("document.body.dataset.replayed"), "the replay is complete")
    total = demo.count("emitted")
    assert int(page.evaluate("document.body.dataset.replayed")) == total - before
    assert demo.arrived == total
    demo.wait(lambda: demo.count("received") == total, "the journey shows it")
    assert demo.percent == 100
    assert "199 new transactions" in page.inner_text("#records")
    assert page.locator(".account").count() == 4
    assert ids_in_feed(page) == sorted(set(ids_in_feed(page)), key=ids_in_feed(page).index)

    page.reload()
    demo.wait(lambda: demo.percent == 100, "a page that is opened later knows how it stands")
    assert "before this page was opened" in page.inner_text("#records")
    assert page.locator(".account").count() == 4

    page.emulate_media(color_scheme="dark")
    demo.click("#lost")
    demo.wait(lambda: "stream.reset" in page.inner_text("#notice"), "the reset is shown")
    demo.wait(lambda: demo.arrived >= total, "what is kept is sent")
    demo.click("#lost")
    demo.wait(lambda: f"{total + 1} kept events came again" in page.inner_text("#notice"), "they are recognised")
    assert page.locator('li[data-type="stream.reset"]').count() == 1
    assert demo.arrived == total + 1, "the second opening of the page is an event, too"
    demo.save("demo-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    demo.save("demo-phone", full_page=True)


EARLY_FRAMES = """
const real = requestAnimationFrame;
let frames = 0;
window.requestAnimationFrame = (step) => real((now) => step(frames++ % 3 ? now : now - 4000));
window.shownBalances = [];
new MutationObserver((changes) => {
  for (const { target } of changes) {
    const balance = target.nodeType === 1 && target.closest?.(".balance");
    if (balance) window.shownBalances.push(balance.textContent);
  }
}).observe(document, { subtree: true, childList: true, characterData: true });
"""
"""Frames whose time lies before the moment that asked for them, as a browser under load gives them."""


def amount(text: str) -> float:
    return float(re.sub(r"[^0-9.\u2212]", "", text).replace("\u2212", "-"))


def has_drawn(page: Any, more_than: int) -> bool:
    return int(page.evaluate("window.shownBalances.length")) > more_than


@pytest.mark.parametrize("demo", [("--speed", "60")], indirect=True)
def test_a_balance_is_never_shown_as_what_it_never_was(demo: Page) -> None:
    page = demo.page
    demo.wait(lambda: "199 new transactions" in page.inner_text("#records"), "the first import is done")
    balances = [amount(text) for text in page.locator(".balance").all_inner_texts()]
    page.add_init_script(EARLY_FRAMES)
    page.reload()
    demo.wait(lambda: demo.percent == 100, "the page is there again")
    shown: list[float] = []
    while len(shown) <= 20:  # a busy machine draws few frames of an import
        demo.click("#fresh")
        # Not for what is shown meanwhile: an import may begin and be done between two looks.
        demo.wait(partial(has_drawn, page, len(shown)), "balances are drawn anew")
        demo.wait(lambda: "199 new transactions" in page.inner_text("#records"), "the next import is done")
        shown = [amount(text) for text in page.evaluate("window.shownBalances")]
    assert max(map(abs, shown)) < 20 * max(map(abs, balances)), sorted(shown)[-3:]


@pytest.mark.parametrize("demo", [("--speed", "0")], indirect=True)
def test_the_page_says_how_the_import_stands_and_keeps_its_events_over_a_reload(demo: Page) -> None:
    page = demo.page
    demo.wait(lambda: "199 new transactions" in page.inner_text("#records"), "the first import is done")
    assert page.inner_text("#says") == "A bank statement was imported."
    demo.wait(lambda: demo.count("received") == demo.count("emitted"), "everything has arrived")
    before = ids_in_feed(page)

    page.reload()
    demo.wait(lambda: demo.percent == 100, "the page is there again")
    assert page.inner_text("#says") == "A bank statement was imported."
    demo.wait(lambda: demo.arrived == 1, "the page's own session is an event")
    after = ids_in_feed(page)
    assert len(after) > 50
    assert after[1:] == before[: len(after) - 1], "in the order of before, and each once"

    page.set_input_files("#file", {"name": "bad.csv", "mimeType": "text/csv", "buffer": b"hello"})
    demo.wait(lambda: page.inner_text("#percent") == "Failed", "the bad file is refused")
    assert page.inner_text("#says") == "A bank statement could not be imported."


def test_the_journey_is_not_behind_the_feed(demo: Page) -> None:
    demo.wait(lambda: demo.percent >= 10, "the import is under way")
    for _ in range(40):
        shown = demo.page.evaluate(
            "({received: document.getElementById('n-received').textContent,"
            " chips: [...document.querySelectorAll('#chips span')].map((span) => span.textContent)})"
        )
        figures = demo.figures()
        assert int(shown["received"]) == sum(map(int, shown["chips"]))
        assert disagreement(demo) is None, figures
        demo.page.wait_for_timeout(20)


@pytest.mark.parametrize("demo", [("--speed", "0")], indirect=True)
def test_filters_choose_what_arrives_and_importing_again_enters_nothing_twice(demo: Page) -> None:
    page = demo.page
    demo.wait(lambda: "199 new transactions" in page.inner_text("#records"), "the first import is done")
    demo.wait(lambda: demo.count("received") == demo.count("emitted"), "everything has arrived")
    balances = page.locator(".balance").all_inner_texts()
    for category in ("data_sync", "provider", "ai", "portfolio", "security"):
        chip = f'#chips [data-category="{category}"]'
        page.focus(chip)
        page.keyboard.press("Space")
        assert page.get_attribute(chip, "aria-pressed") == "false"
    demo.wait(lambda: page.inner_text("#state-text") == "live", "the stream is open again")
    demo.wait(lambda: demo.count("clients") == 1, "the filtered stream is the only one")
    others = others_received(page)
    demo.click("#again")
    demo.wait(lambda: "nothing new" in page.inner_text("#records"), "the second import is done")
    assert others_received(page) == others
    assert page.locator(".balance").all_inner_texts() == balances
    demo.click('#chips [data-category="import"]')
    assert page.get_attribute('#chips [data-category="import"]', "aria-pressed") == "true", "one stays on"


@pytest.mark.parametrize("demo", [("--speed", "0")], indirect=True)
def test_a_file_of_ones_own_is_imported_or_refused_with_its_reason_and_never_run(demo: Page) -> None:
    page = demo.page
    demo.wait(lambda: "199 new transactions" in page.inner_text("#records"), "the first import is done")
    hostile = "<img src=x onerror=document.title='broken'>"
    page.set_input_files("#file", {"name": f"{hostile}.csv", "mimeType": "text/csv", "buffer": b"hello"})
    demo.wait(lambda: "No header line" in page.inner_text("#records"), "the bad file is refused")
    assert page.inner_text("#percent") == "Failed"
    text = f'Date,Description,Amount,Account\n2026-03-01,Tea,-2.50,"{hostile}"\n'
    page.set_input_files("#file", {"name": "may.csv", "mimeType": "text/csv", "buffer": text.encode()})
    demo.wait(lambda: "1 new transaction" in page.inner_text("#records"), "the good file is imported")
    demo.wait(lambda: hostile in page.locator(".account h3").all_inner_texts(), "its account is named")
    assert page.title() == "bridge: live demo"
    command: CliProcess = demo.command  # type: ignore[attr-defined]
    assert "import failed: No header line" in command.output


def all_are_published(demo: Page) -> bool:
    """Whether the import is over and nothing is on its way."""
    command: CliProcess = demo.command  # type: ignore[attr-defined]
    return "transactions imported" in command.output and demo.count("emitted") == demo.count("kept")


def disagreement(demo: Page) -> dict[str, int] | None:
    """The figures of the journey, if a station shows more than the one before it."""
    figures = demo.figures()
    in_order = [figures[station] for station in ("emitted", "published", "kept", "received")]
    return None if in_order == sorted(in_order, reverse=True) else figures


def ids_in_feed(page: Any) -> list[str]:
    ids: list[str] = page.eval_on_selector_all("#feed li[data-id]", "rows => rows.map(row => row.dataset.id)")
    return ids


def others_received(page: Any) -> list[str]:
    """How many events of each category but import have arrived."""
    counts: list[str] = page.locator('#chips button:not([data-category="import"]) span').all_inner_texts()
    return counts
