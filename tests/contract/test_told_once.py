"""Whoever hears any set of addresses is told each event once and in order, or is told that some may be missing."""

import os
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.model.position import START, Position
from bridge.model.registry import EVERYONE, Address, Retention, Topic, User
from tests.contract.conftest import Open
from tests.support.adapters import Adapter
from tests.support.telling import OTHER, USER, delivery, event

ROOM, TEAM = Topic("room", int), Topic("team")
ADDRESSES: list[Address] = [User(USER), User(OTHER), ROOM(1), ROOM(2), TEAM("a:b"), EVERYONE]
CLASSES = [
    None,
    None,
    Retention("alarms", length=5, seconds=5000),
    *(Retention("chatter", 1, life_s) for life_s in (200, 900)),
]
LISTENERS: list[list[Address]] = [[User(USER)], [User(OTHER), ROOM(1), TEAM("a:b")], [User(USER), ROOM(1), ROOM(2)]]
NAMES = [UUID(int=(7 << 76) | (2 << 62) | number) for number in range(40)]

told = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=4, unique=True).map(tuple)
told_events = st.tuples(st.sampled_from(NAMES), told)
steps = st.one_of(
    st.tuples(st.just("publish"), st.lists(told_events, min_size=1, max_size=4), st.sampled_from(CLASSES)),
    st.tuples(st.just("read"), st.sampled_from(range(len(LISTENERS))), st.sampled_from([1, 10_000])),
    st.tuples(st.just("wait"), st.sampled_from([1, 15, 90, 110, 250, 4000, 6000])),
)


@dataclass
class Listener:
    """A client: what it hears, what it has had, and what it should have by now."""

    heard: list[Address]
    cursor: Position = START
    read_at_ms: int = 0
    due: list[str] = field(default_factory=list)

    async def read(self, adapter: Adapter, limit_bytes: int) -> None:
        """Read on to the end; held to what it is due."""
        got, complete, last = [], True, False
        while not last:
            page = await adapter.event_log.read(
                self.heard, self.cursor, read_at_ms=self.read_at_ms, limit_bytes=limit_bytes
            )
            positions = [one.position for one in page.events]
            assert positions == sorted(set(positions))
            assert all(self.cursor < position <= page.horizon for position in positions)
            got += [one.event_id for one in page.events]
            complete, last, self.cursor = complete and page.complete, page.last, page.horizon
        self.read_at_ms = page.read_at_ms
        due = iter(self.due)
        assert got == self.due if complete else all(one in due for one in got)
        self.due = []


@settings(
    max_examples=20 * int(os.environ.get("FAULT_SCALE", "1")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(story=st.lists(steps, max_size=25))
async def test_each_listener_hears_each_event_once_in_order_or_that_some_are_missing(
    opened: Open, story: list[tuple[Any, ...]]
) -> None:
    adapter = await opened(stream_maxlen=3, stream_ttl_s=100, seen_ttl_s=100_000)
    page = await adapter.event_log.now()
    listeners = [Listener(heard, page.horizon, page.read_at_ms) for heard in LISTENERS]
    known: set[tuple[UUID, Address]] = set()
    for kind, *values in story:
        if kind == "wait":
            adapter.pass_time(values[0])
        elif kind == "read":
            await listeners[values[0]].read(adapter, values[1])
        else:
            events = [event(None, name, *addresses) for name, addresses in values[0]]
            unpublished = adapter.publisher.prepare([delivery(*events, retention=values[1])]).unpublished()
            for place, (name, addresses) in enumerate(values[0]):
                is_news = not any((name, one) in known for one in addresses)
                assert (place not in unpublished) == is_news
                for listener in listeners if is_news else ():
                    if {*listener.heard, EVERYONE} & {*addresses}:
                        listener.due.append(str(name))
                known |= {(name, one) for one in addresses} if is_news else set()
    for listener in listeners:
        await listener.read(adapter, 100)
