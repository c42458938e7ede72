"""How ``sse-bridge status`` words its numbers."""

import pytest

from bridge.cli.status import document, span
from tests.support.fixed_status import STATUS


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0 s"), (9.94, "9.9 s"), (100, "100 s"), (600, "10 min"), (8_000, "2 h"), (200_000, "2 d")],
)
def test_a_time_has_the_unit_that_suits_it(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_the_document_says_first_whether_events_flow() -> None:
    made = document(STATUS)
    assert next(iter(made)) == "healthy"
    assert made["healthy"] is True
    assert made["balance"]["difference"] == 1
    assert "metrics" not in made
