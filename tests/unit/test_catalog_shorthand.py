"""``catalog_of``: what is wrong with a class is said in its own words, which has no extractors to speak of."""

from dataclasses import dataclass
from typing import Any, NewType
from uuid import UUID

import pytest

from bridge import DomainEvent, Event, RegistryError, catalog_of

MemberId = NewType("MemberId", int)


class Numbered(Event):
    user_id: int


class Named(Event):
    user_id: str | None


class OfNewType(Event):
    user_id: MemberId


class OfAnything(Event):
    user_id: Any


@dataclass(frozen=True, kw_only=True)
class Unique(DomainEvent):
    pass


@pytest.mark.parametrize(
    ("kind", "given", "named"),
    [(Numbered, UUID, "int"), (Named, UUID, "str"), (OfNewType, UUID, "int"), (Unique, int, "UUID")],
)
def test_users_of_another_type_are_told_with_what_to_say(kind: type[Any], given: type, named: str) -> None:
    with pytest.raises(RegistryError) as caught:
        catalog_of({"book.returned": kind}, user_id=given)
    (fault,) = caught.value.faults
    assert fault == (
        f"{kind.__name__}.user_id is of type {named}, and users here are of type {given.__name__}: "
        f"say catalog_of(…, user_id={named}), or declare the field so."
    )
    assert catalog_of({"book.returned": kind}, user_id={"int": int, "str": str, "UUID": UUID}[named])


def test_a_field_that_may_hold_any_user_is_left_alone() -> None:
    assert catalog_of({"book.returned": OfAnything}, user_id=int)
