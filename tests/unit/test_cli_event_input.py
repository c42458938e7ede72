"""A domain event written by hand: found by either name, filled up, and refused with a sentence."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from bridge.catalogs.finance import REGISTRY, AccountBalanceUpdated, FileImportFailed
from bridge.cli.emit import event_mapping, example_json, read_event
from bridge.model.errors import EventRefusedError
from bridge.model.registry import DomainToSSEMapping

USER = UUID("0190f0a1-0000-7000-8000-000000000001")


@pytest.mark.parametrize("name", ["FileImportFailed", "import.failed"])
def test_a_type_is_found_by_class_and_by_wire_name(name: str) -> None:
    assert event_mapping(REGISTRY, name).domain_event_class is FileImportFailed


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FileImportFaild", "FileImportFailed"),
        ("fileimportfailed", "FileImportFailed"),
        ("import.fail", "import.failed"),
    ],
)
def test_an_unknown_type_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(EventRefusedError, match=near):
        event_mapping(REGISTRY, name)


def test_what_resembles_nothing_is_sent_to_the_table() -> None:
    with pytest.raises(EventRefusedError, match="see: sse-bridge registry"):
        event_mapping(REGISTRY, "zzz")


def test_id_and_time_are_made_when_left_out() -> None:
    mapping = event_mapping(REGISTRY, "FileImportFailed")
    event = read_event(mapping, '{"file_name": "may.csv", "reason": "no header"}', USER)
    assert isinstance(event, FileImportFailed)
    assert event.event_id.version == 7
    assert event.occurred_at.tzinfo is not None
    assert event.user_id == USER


def test_id_and_time_that_are_given_are_kept() -> None:
    mapping = event_mapping(REGISTRY, "FileImportFailed")
    text = json.dumps(
        {
            "event_id": str(USER), "occurred_at": "2026-01-02T03:04:05Z", "user_id": None,
            "file_name": "may.csv", "reason": "",
        }
    )  # fmt: skip
    event = read_event(mapping, text)
    assert event.event_id == USER
    assert event.occurred_at.year == 2026


@pytest.mark.parametrize("mapping", REGISTRY.mappings, ids=lambda row: row.domain_event_class.__name__)
def test_the_example_of_every_type_can_be_sent(mapping) -> None:
    assert isinstance(read_event(mapping, example_json(mapping, USER)), mapping.domain_event_class)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON is missing.*emit FileImportFailed --example"),
        (" \n", "JSON is missing"),
        ("{", "no JSON"),
        ("[]", "must be an object"),
        ("null", "must be an object"),
        ('{"file_name": "a", "reason": "b"}', "user_id"),
        ('{"user_id": null, "file_name": 7, "reason": "b"}', "file_name"),
        ('{"user_id": null, "file_nam": "a", "reason": "b"}', "did you mean file_name"),
        ('{"user_id": null, "zzz": "a"}', "its fields are"),
        ('{"user_id": "me", "file_name": "a", "reason": "b"}', "user_id"),
        ("\ud800", "no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"file_name": ' + "[" * 900 + "]" * 900 + "}", "file_name"),
        ('{"file_name": ' + "9" * 5000 + "}", "no JSON"),
    ],
    ids=lambda value: value.encode("utf-8", "replace").decode()[:30],
)
def test_what_does_not_fit_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(EventRefusedError, match=said):
        read_event(event_mapping(REGISTRY, "FileImportFailed"), text)


def test_a_decimal_is_read_from_a_string_without_loss() -> None:
    mapping = event_mapping(REGISTRY, "AccountBalanceUpdated")
    text = json.dumps(
        {
            "user_id": str(USER),
            "account_id": str(USER),
            "previous_balance": "0.1",
            "new_balance": "0.30",
            "currency": "EUR",
        }
    )
    event = read_event(mapping, text)
    assert isinstance(event, AccountBalanceUpdated)
    assert str(event.new_balance) == "0.30"


@dataclass
class Paid:
    customer: UUID | None = None
    event_id: UUID = USER
    occurred_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


def paid(user_of: Callable[[Any], UUID | None]) -> DomainToSSEMapping:
    return DomainToSSEMapping(Paid, REGISTRY.event_types[0], lambda event: {}, user_of)


def test_the_user_goes_where_the_registry_takes_it_from() -> None:
    mapping = paid(lambda event: event.customer)
    assert read_event(mapping, "{}", USER).customer == USER
    assert json.loads(example_json(mapping, USER)) == {"customer": str(USER)}


def test_a_user_is_never_ignored() -> None:
    with pytest.raises(EventRefusedError, match="--user cannot tell where a Paid has its user"):
        read_event(paid(lambda event: UUID(str(event.customer))), "{}", USER)
