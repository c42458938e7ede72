"""docs/events.md and docs/settings.md are what the code says; a change there shows up here."""

from pathlib import Path

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.cli.documents import events_page, settings_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "command", "text"),
    [
        ("events.md", "registry", events_page(REGISTRY)),
        ("settings.md", "settings", settings_page()),
    ],
)
def test_the_page_is_what_the_command_writes(name: str, command: str, text: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == text, (
        f"docs/{name} is old; run: sse-bridge {command} --format markdown > docs/{name}"
    )
