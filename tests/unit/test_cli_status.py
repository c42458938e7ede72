"""What ``sse-bridge status --json`` says to programs."""

from dataclasses import replace

import pytest

from bridge.cli.status import _print, document
from tests.support.fixed_status import STATUS


def test_the_document_says_first_whether_events_flow() -> None:
    made = document(STATUS)
    assert next(iter(made)) == "healthy"
    assert made["healthy"] is True
    assert made["balance"]["difference"] == 1
    assert "metrics" not in made


def test_how_many_are_disconnected_is_said_where_anybody_is(capsys: pytest.CaptureFixture[str]) -> None:
    _print(STATUS)
    assert "Disconnected" not in capsys.readouterr().out
    _print(replace(STATUS, withdrawn=2, withdrawn_newest_ms=STATUS.at_ms - 5_000))
    assert "Disconnected: 2 users and sessions on record, the last 5.0 s ago." in capsys.readouterr().out
