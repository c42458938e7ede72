"""docs/fastapi.md: the files of the page, as they stand there, are an application that knows its users and emits."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.model.pipeline.rehearsal import rehearse
from bridge.producer import default
from tests.support.asgi_client import TestClient
from tests.support.snippets import blocks
from tests.support.worker import ROOT

PAGE = ROOT / "docs" / "fastapi.md"
NAME = re.compile(r"(?:# |<!-- )(\w+\.\w+)")
EVENTS = "/api/v1/events"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Iterator[Any]:
    """The module ``app`` of a folder with the page's files."""
    for text in [*blocks(PAGE, "py"), *blocks(PAGE, "html")]:
        if named := NAME.match(text):
            (tmp_path / named[1]).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_BROKER_URL", redis_url)
    yield importlib.import_module("app")
    for name in ("app", "events"):
        sys.modules.pop(name, None)


def test_the_pages_application_lets_its_users_in_and_emits(shop: Any) -> None:
    with TestClient(shop.app) as client:
        assert client.get("/").text.startswith("<!-- page.html -->")
        assert client.head(EVENTS).status_code == 401
        assert client.post("/login/1").status_code == 200
        assert client.head(EVENTS).status_code == 200
        assert client.post("/orders/A-1/pay").status_code == 200
        emitter = default._emitter
        assert emitter is not None and emitter.counts["accepted"] == 1


def test_the_pages_catalog_is_fit(shop: Any) -> None:
    registry = importlib.import_module("events").registry
    assert not [remark for remark in rehearse(registry, event_max_bytes=65_536) if remark.fatal]
    assert registry.users.kind is int


def test_starlettes_few_lines_are_a_program(shop: Any) -> None:
    (text,) = [one for one in blocks(PAGE, "py") if not NAME.match(one)]
    made: dict[str, Any] = {"registry": importlib.import_module("events").registry}
    exec(text, made)
    with TestClient(made["site"]) as client:
        assert client.head(EVENTS).status_code == 401


def test_it_is_as_many_lines_as_the_page_says(shop: Any) -> None:
    text = PAGE.read_text()
    events = [line for line in (Path("events.py")).read_text().splitlines()[1:] if line.strip()]
    words = ("emit(", "import emit", "add_bridge", "from events", "EventSource")
    others = Path("app.py").read_text() + Path("page.html").read_text()
    own = events + [line for line in others.splitlines() if any(word in line for word in words)]
    assert len(own) == 11 and "eleven lines" in text
