"""A tab of a real Chromium on the operators' page, in the words of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.chromium import Tab

OPERATOR, VIEWER = "operator-token-0123", "viewer-token-01234"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


class OpsTab(Tab):
    """Signed in or not.

    Attributes:
        base: address of the site.
    """

    def __init__(self, page: Any, base: str) -> None:
        super().__init__(page)
        self.base = base

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def sign_in(self, token: str, name: str = "Ann") -> None:
        self.page.fill("#token", token)
        self.page.fill("#name", name)
        self.go("text=Sign in >> nth=-1")

    def text(self, selector: str = "main") -> str:
        return super().text(selector)

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
            self.save(f"ops-{name}-{scheme}")
        self.page.set_viewport_size(PHONE)
        assert self.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        self.save(f"ops-{name}-phone")
        self.page.set_viewport_size(DESK)
        self.page.emulate_media(color_scheme="light")


@contextmanager
def ops_tab(browser: Any, base: str, **options: Any) -> Iterator[OpsTab]:
    """A tab with cookies of its own; its console had nothing to complain of."""
    context = browser.new_context(viewport=DESK, **options)
    tab = OpsTab(context.new_page(), base)
    yield tab
    assert tab.complaints == []
    context.close()
