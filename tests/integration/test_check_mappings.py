"""sse-bridge check in a folder with a catalog: what would die in production is one sentence and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PROCESS_TIMEOUT_S

CATALOG = """
from dataclasses import dataclass
from enum import StrEnum
from bridge import DomainEvent, DomainToSSEMapping, Registry, SSEEventMetadata

class Category(StrEnum):
    ORDERS = "orders"

class Type(StrEnum):
    PLACED = "order.placed"

@dataclass
class Customer:
    name: str

@dataclass(frozen=True, kw_only=True)
class Placed(DomainEvent):
    number: int
    customer: Customer
    note: str | None

registry = Registry(
    event_types=Type,
    categories=Category,
    events=[SSEEventMetadata(Type.PLACED, Category.ORDERS, "An order was placed", ("value",))],
    mappings=[DomainToSSEMapping(Placed, Type.PLACED, lambda e: {"value": PAYLOAD}, lambda e: USER)],
)
"""


def check(folder: Path, payload: str, user: str = "e.user_id") -> "subprocess.CompletedProcess[str]":
    (folder / "shop_catalog.py").write_text(CATALOG.replace("PAYLOAD", payload).replace("USER", user))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return subprocess.run(
        [Path(sys.executable).with_name("sse-bridge"), "check"],
        cwd=folder,
        env={**kept, "BRIDGE_REGISTRY": "shop_catalog:registry"},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )


def test_a_sound_catalog_passes(tmp_path: Path) -> None:
    done = check(tmp_path, "e.customer.name")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 types and 1 mappings" in done.stdout


@pytest.mark.parametrize(
    ("payload", "user", "said"),
    [
        ("e.customer", "e.user_id", "payload_extractor of Placed: payload.value is of type Customer"),
        ("1", "e.number", "user_id_extractor of Placed returns int"),
        ("e.nmuber", "e.user_id", "AttributeError: 'Placed' object has no attribute 'nmuber' (shop_catalog.py:"),
        ("e.note.strip()", "e.user_id", "with note=None"),
        ("1", "e.usr_id", "user_id_extractor of Placed raised AttributeError"),
    ],
)
def test_what_would_die_in_production_is_one_sentence_and_no_tick(
    tmp_path: Path, payload: str, user: str, said: str
) -> None:
    done = check(tmp_path, payload, user)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "✓ registry" not in done.stdout
