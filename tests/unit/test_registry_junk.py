"""Whatever is given to a registry in place of its tables is refused in a sentence, and never as a TypeError."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest

from bridge.model.errors import RegistryError
from bridge.model.registry import DomainToSSEMapping, Registry, SSEEventMetadata
from tests.support.identities import numbers, uuids
from tests.support.naming import shown


class Number(IntEnum):
    ONE = 1


class Plain(Enum):
    ONE = 1


META, ROW = uuids.events[0], uuids.mappings[0]
SOUND: dict[str, Any] = {
    "event_types": uuids.event_types,
    "categories": uuids.categories,
    "events": uuids.events,
    "mappings": uuids.mappings,
}
ANYTHING = [None, 5, 1.5, True, "text", b"bytes", object(), int, [[]], [None], [5], ["a.b"], {"a": 1}, Number, Plain]


def faults_of(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(RegistryError) as refused:
        Registry(**SOUND | changes)
    return refused.value.faults


@pytest.mark.parametrize("table", [*SOUND, "topics"])
@pytest.mark.parametrize("junk", ANYTHING, ids=shown)
def test_a_table_of_another_type_is_refused_in_a_sentence(table: str, junk: Any) -> None:
    (fault,) = faults_of(**{table: junk})
    assert " of the wrong type: " in fault and f"{table}= takes " in fault


@pytest.mark.parametrize("junk", [None, 5, "int", [], float, {}, bool], ids=shown)
def test_a_kind_of_users_that_is_none_is_refused_in_a_sentence(junk: Any) -> None:
    assert faults_of(user_id=junk)[0].startswith("illegal user_id: ids can be UUID, int or str, not ")


@pytest.mark.parametrize(
    "changes",
    [
        {"event_type": []},
        {"event_type": None},
        {"category": []},
        {"description": 5},
        {"description": None},
        {"payload_fields": [5]},
        {"payload_fields": [[]]},
    ],
    ids=shown,
)
def test_a_row_of_metadata_that_holds_something_else_is_refused_in_a_sentence(changes: Any) -> None:
    assert all(fault.endswith(".") for fault in faults_of(events=[replace(META, **changes)], mappings=[]))


@pytest.mark.parametrize("junk", [5, None, object()], ids=shown)
def test_payload_fields_that_are_no_list_are_refused_where_they_stand(junk: Any) -> None:
    with pytest.raises(ValueError, match="payload_fields must be a list of names, not "):
        SSEEventMetadata(META.event_type, META.category, "", junk)


@pytest.mark.parametrize(
    "changes",
    [
        {"domain_event_class": []},
        {"sse_event_type": []},
        {"sse_event_type": None},
        {"sse_event_type": str(META.event_type.value)},
        {"payload_extractor": None},
        {"payload_extractor": "total"},
        {"user_id_extractor": "user_id"},
        {"user_id_extractor": UUID(int=1)},
        {"retry": 5},
        {"retry": {"attempts": 5}},
        {"example": 5},
        {"staleness": 60},
        {"staleness": "key"},
        {"audience": "user"},
    ],
    ids=shown,
)
def test_a_mapping_that_holds_something_else_is_refused_in_a_sentence(changes: Any) -> None:
    (fault,) = faults_of(mappings=[replace(ROW, **changes)])
    assert fault.endswith(".") and "Traceback" not in fault


@dataclass(frozen=True, kw_only=True)
class Anything:
    event_id: UUID
    occurred_at: datetime
    who: Any


@dataclass(frozen=True, kw_only=True)
class Holder:
    event_id: UUID
    occurred_at: datetime
    who: object
    inside: list[Any]
    named: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Text:
    event_id: UUID
    occurred_at: datetime
    who: str
    other: Any


WHO: Callable[[Any], Any] = lambda event: event.who  # noqa: E731


def with_numbers(event_class: type, user: Callable[[Any], Any], **more: Any) -> Registry:
    meta = replace(numbers.events[0], payload_fields=())
    row = DomainToSSEMapping(event_class, meta.event_type, lambda _: {}, user, **more)
    return Registry(
        event_types=[meta.event_type], categories=numbers.categories, events=[meta], mappings=[row], user_id=int
    )


@pytest.mark.parametrize(
    ("event_class", "user"),
    [
        (Anything, WHO),
        (Holder, WHO),
        (Holder, lambda event: event.inside[0]),
        (Holder, lambda event: next(iter(event.named.values()))),
    ],
)
def test_a_field_that_may_hold_anything_may_hold_a_user_who_is_a_number(event_class: type, user: Any) -> None:
    assert with_numbers(event_class, user).mappings


@pytest.mark.parametrize(
    ("event_class", "user", "more"),
    [
        (Text, WHO, {}),
        (Anything, lambda event: str(event.who), {}),
        (Anything, WHO, {"example": lambda: Anything(event_id=UUID(int=1), occurred_at=datetime.min, who="ann")}),
    ],
)
def test_a_user_who_can_be_no_number_is_refused_still(event_class: type, user: Any, more: Any) -> None:
    with pytest.raises(RegistryError, match="user of the wrong type"):
        with_numbers(event_class, user, **more)
