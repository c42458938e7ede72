"""The operators' page in a real Chromium by keyboard, as its parts change, without scripts, and from another site."""

import re
from typing import Any

import redis

from bridge.operations.redrive import Redrives
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.letters import a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.ops_tab import OPERATOR, OpsTab
from tests.support.worker import WorkerProcess

COUNT_PARTS = """
window.parts = 0;
const Real = EventSource;
window.EventSource = class extends Real {
  constructor(address) {
    super(address);
    this.addEventListener("ops.parts", (message) => (parts += "live-groups" in JSON.parse(message.data)));
  }
};
"""
"""Counts how often the causes came anew; what the page itself does with them is its own."""


def test_the_keyboard_alone_is_enough(page: OpsTab, client: redis.Redis, settings: Settings) -> None:
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


def test_a_part_that_is_swapped_keeps_the_focus(page: OpsTab, client: redis.Redis, settings: Settings) -> None:
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


def test_a_click_is_not_lost_to_a_part_that_comes_meanwhile(
    page: OpsTab, client: redis.Redis, settings: Settings
) -> None:
    bury(client, settings, [a_letter()])
    page.page.add_init_script(COUNT_PARTS)
    page.open("/")
    page.sign_in(OPERATOR)
    page.wait(lambda: page.text("#link-state") == "live" and page.page.evaluate("parts > 0"), "the causes are there")
    page.page.hover("#live-groups tbody a")
    with page.page.expect_navigation():
        page.page.mouse.down()
        before = page.page.evaluate("parts")
        bury(client, settings, [a_letter()])
        page.wait(lambda: page.page.evaluate("parts") > before, "the causes come anew")
        page.page.mouse.up()
    assert page.path().startswith("/dead/groups/")


def test_everything_works_without_javascript(
    plain: OpsTab, worker: WorkerProcess, client: redis.Redis, settings: Settings
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


def test_another_site_can_neither_act_nor_frame(
    page: OpsTab, browser: Any, client: redis.Redis, settings: Settings
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


def tab_to(page: OpsTab, words: str, element_id: str = "") -> None:
    """Press Tab until what has the focus says this."""
    for _ in range(60):
        page.page.keyboard.press("Tab")
        found, name = page.page.evaluate("[document.activeElement.innerText, document.activeElement.id]")
        if name == element_id if element_id else re.search(words, found or ""):
            return
    raise AssertionError(f"The keyboard does not reach {words or element_id!r}.")
