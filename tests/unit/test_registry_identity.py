"""Which changes of a catalog its identity shows, and that it is the same in every process."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from operator import attrgetter
from typing import Any

import pytest

from bridge import Audience, DomainEvent, DomainToSSEMapping, Registry, SSEEventMetadata, Topic
from bridge.catalogs.finance.catalog import REGISTRY
from bridge.model.registry.identity import CatalogIdentity, identity_of
from tests.support.skewed_catalogs import new, newest, old, renamed

SHOW = "from tests.unit.test_registry_identity import REGISTRY, identity_of; print(identity_of(REGISTRY))"


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"


def _registry(extract: Callable[[Any], dict[str, Any]], number: type = int, **changes: Any) -> Registry:
    @dataclass(frozen=True, kw_only=True)
    class Paid(DomainEvent):
        number: Any

    Paid.__annotations__["number"] = number
    return Registry(
        event_types=Type,
        categories=Category,
        events=[SSEEventMetadata(Type.PAID, Category.ORDERS, "paid", ("number",))],
        mappings=[DomainToSSEMapping(Paid, Type.PAID, extract, attrgetter("user_id"), **changes)],
    )


def _helper_now(number: int) -> int:
    return number


def _with(constant: int) -> Callable[[Any], dict[str, Any]]:
    return lambda event: {"number": event.number + constant}


def _partial(factor: int, event: Any) -> dict[str, Any]:
    return {"number": event.number * factor}


def difference(one: Registry, other: Registry) -> str:
    return identity_of(one).difference(identity_of(other))


def test_it_is_the_same_in_another_process_whatever_its_hash_seed() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", SHOW],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {str(identity_of(REGISTRY))}


@pytest.mark.parametrize("other", [new, newest, renamed])
def test_another_table_is_another_catalog(other: Registry) -> None:
    assert difference(old, other) == "another catalog"


def test_an_extractor_that_a_mapping_can_do_without_changes_only_catalogs_that_have_it() -> None:
    @dataclass(frozen=True)
    class Newer(DomainToSSEMapping):
        tenant_extractor: Callable[[Any], str] | None = None

    before = _registry(_with(1))
    row = before.mappings[0]
    columns = (row.domain_event_class, row.sse_event_type, row.payload_extractor, row.user_id_extractor)
    tables = {"event_types": Type, "categories": Category, "events": before.events}
    assert not difference(before, Registry(mappings=[Newer(*columns)], **tables))
    with_tenant = Registry(mappings=[Newer(*columns, tenant_extractor=lambda event: "north")], **tables)
    assert difference(before, with_tenant) == "other code in its extractors"


def test_another_type_of_a_field_or_audience_is_another_catalog() -> None:
    extract = _with(0)
    assert difference(_registry(extract), _registry(extract, number=str)) == "another catalog"
    assert difference(_registry(extract), _registry(extract, audience=Audience.BROADCAST)) == "another catalog"


def test_another_extractor_is_other_code() -> None:
    assert difference(_registry(_with(0)), _registry(_with(0))) == ""
    assert difference(_registry(_with(0)), _registry(_with(1))) == "other code in its extractors"
    assert difference(_registry(partial(_partial, 1)), _registry(partial(_partial, 2))) != ""


def test_a_helper_of_an_extractor_belongs_to_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(event: Any) -> dict[str, Any]:
        return {"number": _helper_now(event.number)}

    before = identity_of(_registry(extract))

    def _helper_now_mended(number: int) -> int:
        return number or 1

    monkeypatch.setitem(globals(), "_helper_now", _helper_now_mended)
    assert before.difference(identity_of(_registry(extract))) == "other code in its extractors"


def test_who_may_hear_a_topic_is_no_part_of_what_a_catalog_does() -> None:
    def catalog(*topics: Topic) -> Registry:
        return Registry(event_types=Type, categories=Category, events=_registry(_with(0)).events, topics=topics)

    ruled, bare = Topic("order", int, may_hear=lambda principal, key: True), Topic("order", int)
    assert difference(catalog(ruled), catalog(bare)) == ""
    assert difference(catalog(ruled), catalog()) == difference(catalog(ruled), catalog(Topic("order"))) != ""


def test_code_is_not_compared_over_versions_of_python() -> None:
    mine = CatalogIdentity("shape", "code", "3.11")
    assert mine.difference(CatalogIdentity("shape", "other", "3.14")) == ""
    assert mine.difference(CatalogIdentity("other", "other", "3.14")) == "another catalog"


def test_it_reads_what_it_writes_and_nothing_else() -> None:
    identity = identity_of(old)
    assert CatalogIdentity.parse(str(identity)) == identity
    for text in ("", "-", "abc", "a.b"):
        assert CatalogIdentity.parse(text) is None
