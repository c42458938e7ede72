"""What ``sse-bridge status --json`` says to programs."""

from bridge.cli.status import document
from tests.support.fixed_status import STATUS


def test_the_document_says_first_whether_events_flow() -> None:
    made = document(STATUS)
    assert next(iter(made)) == "healthy"
    assert made["healthy"] is True
    assert made["balance"]["difference"] == 1
    assert "metrics" not in made
