"""A typo in a mapping is an error to type checkers, wherever the mapping is made; what is right they let pass."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.needs import needs_package
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT

COMMON = """
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

import attrs
import msgspec
from bridge import Audience, DomainToSSEMapping, Registry, SSEEventMetadata, load_registry


class Shop(StrEnum):
    ORDERS = "orders"


class ShopType(StrEnum):
    PAID = "order.paid"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    event_id: UUID
    occurred_at: datetime
    customer: UUID
    number: int


class OrderSent(msgspec.Struct, frozen=True):
    event_id: UUID
    occurred_at: datetime
    customer: UUID
    carrier: str


@attrs.frozen
class OrderLost:
    event_id: UUID
    occurred_at: datetime


class Payload(TypedDict):
    number: int


T = ShopType.PAID


def paid(event: OrderPaid) -> dict[str, Any]:
    return {"number": event.number}


def paid_typed(event: OrderPaid) -> Payload:
    return {"number": event.number}


def words(event: OrderPaid) -> str:
    return str(event.number)


def buyer(event: OrderPaid | OrderSent) -> UUID:
    return event.customer


def nobody(event: object) -> None:
    return None


def an_order() -> OrderPaid:
    raise NotImplementedError
"""
RIGHT = """
bare = DomainToSSEMapping(OrderPaid, T, lambda e: {"number": e.number}, lambda e: e.customer)
explicit: DomainToSSEMapping[OrderPaid] = DomainToSSEMapping[OrderPaid](OrderPaid, T, paid, buyer)
named = DomainToSSEMapping(
    domain_event_class=OrderSent,
    sse_event_type=T,
    payload_extractor=lambda e: {"carrier": e.carrier},
    user_id_extractor=buyer,
    audience=Audience.BROADCAST,
)
typed = DomainToSSEMapping(OrderPaid, T, paid_typed, buyer, example=an_order)
lost = DomainToSSEMapping(OrderLost, T, lambda e: {"id": e.event_id}, nobody)
table = [bare, named, DomainToSSEMapping(OrderLost, T, lambda e: {}, lambda e: None)]
annotated: list[DomainToSSEMapping] = [bare, DomainToSSEMapping(OrderPaid, T, lambda e: {"n": e.number}, buyer)]
tables: dict[str, tuple[DomainToSSEMapping, ...]] = {"shop": (*table, *annotated, explicit, typed, lost)}
PAID = SSEEventMetadata(T, Shop.ORDERS, "paid", payload=Payload)
registry = Registry(
    event_types=ShopType,
    categories=Shop,
    events=[PAID],
    mappings=[DomainToSSEMapping(OrderPaid, T, lambda e: {"number": e.number}, lambda e: e.customer), *annotated],
)
more = load_registry().extended(events=[PAID], mappings=[DomainToSSEMapping(OrderPaid, T, paid, lambda e: e.customer)])


def rows(given: Iterable[DomainToSSEMapping]) -> DomainToSSEMapping:
    return DomainToSSEMapping(OrderPaid, T, lambda e: {"number": e.number}, buyer)


def try_out(event: OrderPaid) -> None:
    print(registry.by_class[OrderPaid].payload_extractor(event)["number"])
    buyer_of = explicit.user_id_extractor
    print(buyer_of and buyer_of(event), rows(table).domain_event_class.__name__)
"""
WRONG = """
DomainToSSEMapping(OrderPaid, T, lambda e: {"number": e.numbr}, buyer)  # wrong
DomainToSSEMapping(OrderPaid, T, paid, lambda e: e.custmer)  # wrong
DomainToSSEMapping[OrderPaid](OrderPaid, T, lambda e: {"number": e.numbr}, buyer)  # wrong
DomainToSSEMapping(OrderSent, T, lambda e: {"carrier": e.carier}, buyer)  # wrong
DomainToSSEMapping(OrderLost, T, lambda e: {"id": e.id}, nobody)  # wrong
DomainToSSEMapping(OrderSent, T, paid, buyer)  # wrong
DomainToSSEMapping(OrderPaid, T, words, buyer)  # wrong
DomainToSSEMapping(OrderPaid, T, paid, lambda e: 1.5)  # wrong
DomainToSSEMapping(Payload, T, lambda e: {}, nobody)  # wrong
DomainToSSEMapping(
    domain_event_class=OrderPaid,
    sse_event_type=T,
    payload_extractor=paid,
    user_id_extractor=lambda e: e.buyr,  # wrong
)
Registry(
    event_types=ShopType,
    categories=Shop,
    events=[],
    mappings=[DomainToSSEMapping(OrderPaid, T, lambda e: {"n": e.numbr}, buyer)],  # wrong
)
load_registry().extended(mappings=[DomainToSSEMapping(OrderPaid, T, lambda e: {"n": e.numbr}, buyer)])  # wrong
annotated: list[DomainToSSEMapping] = [DomainToSSEMapping(OrderPaid, T, lambda e: {"n": e.numbr}, buyer)]  # wrong


def made() -> DomainToSSEMapping:
    return DomainToSSEMapping(OrderPaid, T, lambda e: {"number": e.numbr}, buyer)  # wrong


def wants(mapping: DomainToSSEMapping[OrderPaid]) -> None:
    return None


wants(DomainToSSEMapping(OrderSent, T, lambda e: {"carrier": e.carrier}, buyer))  # wrong
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "right.py").write_text(COMMON + RIGHT)
    (folder / "wrong.py").write_text(COMMON + WRONG)
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "reportUnusedImport": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    return folder


def run(folder: Path, *command: str) -> str:
    """What a checker says of both files."""
    environment = {"PATH": str(Path(sys.executable).parent), "HOME": str(folder), "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "right.py", "wrong.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=4 * PROCESS_TIMEOUT_S,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def judge(said: Sequence[tuple[str, int, str]]) -> None:
    """Each wrong line is told, and nothing else is."""
    wrong = {n for n, line in enumerate((COMMON + WRONG).split("\n"), start=1) if line.endswith("# wrong")}
    assert [one for one in said if one[0] != "wrong.py" or one[1] not in wrong] == []
    assert wrong - {line for _, line, _ in said} == set()


def test_mypy_finds_what_is_wrong_and_nothing_else(folder: Path) -> None:
    needs_package("mypy")
    # As in an adopter's environment: by strict rules, without the project's settings, and ours only followed.
    command = ["-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={folder / 'cache'}"]
    said = run(folder, sys.executable, *command)
    judge(
        [(name, int(line), text) for name, line, text in re.findall(r"^(.+?):(\d+): error: (.*)$", said, re.MULTILINE)]
    )


@pytest.mark.slow
def test_pyright_finds_what_is_wrong_and_nothing_else(folder: Path) -> None:
    needs_package("basedpyright")
    program = str(Path(sys.executable).parent / "basedpyright")
    said = json.loads(run(folder, program, "--outputjson", "--pythonpath", sys.executable))
    found = [one for one in said["generalDiagnostics"] if one["severity"] == "error"]
    judge([(Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"]) for one in found])
