"""What one ticket may hold: topics up to a bound, and of a principal only what the registry knows."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest

import bridge
from bridge.gateway import Principal, RequestRefusedError, issue_ticket
from bridge.gateway.tickets import issue, written
from bridge.gateway.withdrawals import Admission
from bridge.model.bounds import TICKET_TOPICS_MAX
from bridge.model.errors import UnauthorizedError
from bridge.model.registry import Registry, Topic
from bridge.ports import Issued
from bridge.settings import Settings
from tests.support.identities import numbers

room = Topic("room", int)
REGISTRY = Registry(
    event_types=numbers.event_types,
    categories=numbers.categories,
    events=numbers.events,
    user_id=int,
    topics=[room],
)
MANY = [room(number) for number in range(TICKET_TOPICS_MAX + 1)]


class Box:
    """Keeps the last record."""

    record = b""
    withdrawn_ms: int | None = None

    async def issue(self, digest: str, user: str, record: bytes, *, age_ms: int, targets: Sequence[str]) -> Issued:
        self.record = record
        return Issued(kept=True, withdrawn_ms=self.withdrawn_ms)

    async def take(self, digest: str) -> bytes | None:
        raise NotImplementedError


def admission(topics: Any) -> Admission:
    return Admission.of(Principal(user=7, topics=topics), 0.0)


async def test_so_many_topics_are_held_and_no_more() -> None:
    box = Box()
    await issue(box, admission(MANY[1:]), REGISTRY)
    assert box.record.count(b"room:") == TICKET_TOPICS_MAX
    with pytest.raises(RequestRefusedError, match=r"256 topics at most.*topics=") as refusal:
        await issue(box, admission(MANY), REGISTRY)
    assert refusal.value.status == 422


@pytest.mark.parametrize(("asked_ms_ago", "worthless"), [(50.0, True), (10.0, False)])
async def test_of_a_disconnect_that_only_the_store_knows_of_no_ticket_is_left(
    asked_ms_ago: float, worthless: bool
) -> None:
    box = Box()
    box.withdrawn_ms = 30
    asked = Admission.of(Principal(user=7), time.monotonic() - asked_ms_ago / 1000)
    with pytest.raises(UnauthorizedError, match="withdrawn") if worthless else nullcontext():
        await issue(box, asked, REGISTRY)


async def test_of_a_longer_list_those_are_held_that_were_named() -> None:
    box = Box()
    await issue(box, admission(MANY), REGISTRY, [room(3)])
    assert box.record.count(b"room:") == 1


def test_a_list_that_is_held_whole_is_not_cut_to_what_was_named() -> None:
    _, record = written(Principal(user=7, topics=[room(1), room(2)]), REGISTRY, [room(1)])
    assert record.count(b"room:") == 2


@pytest.mark.parametrize(
    ("principal", "sentence"),
    [
        (7, "asked for a int, not a Principal"),
        (Principal(user="7"), "user must be a whole number"),
        (Principal(user=7, session=7), "session is no text"),  # type: ignore[arg-type]
        (Principal(user=7, session="x" * 1_001), "session is no text of at most 1000"),
        (Principal(user=7, expires_at=math.nan), "expires_at is no Unix time"),
        (Principal(user=7, expires_at=1_800_000_000_000), "expires_at is no Unix time"),
        (Principal(user=7, issued_at="now"), "issued_at is no Unix time"),  # type: ignore[arg-type]
        (Principal(user=7, topics=7), "neither a list of addresses nor a function"),  # type: ignore[arg-type]
        (Principal(user=7, topics=["room:1"]), "an address is"),  # type: ignore[list-item]
        (Principal(user=7, topics=MANY), "256 topics at most"),
        (Principal(user=7, topics=lambda _: True), "list of topics"),
    ],
)
def test_an_applications_mistake_is_one_sentence(principal: Any, sentence: str) -> None:
    with pytest.raises(bridge.BridgeError, match=sentence):
        issue_ticket(principal, settings=Settings(), registry=REGISTRY)
