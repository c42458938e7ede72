"""Memory and a real server are led through the same histories, and must never be told apart."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bridge.model.dead_letter import Tombstone
from bridge.model.position import START
from bridge.model.registry import EVERYONE, Address, Retention, Topic, User
from bridge.settings import Settings
from tests.contract.conftest import REAL
from tests.support.adapters import Adapter, Opened, in_memory
from tests.support.telling import NOW, OTHER, QUEUE, TASK, USER, event, letter, publish, read_all, record

EVENTS = [UUID(int=(7 << 76) | (2 << 62) | number) for number in range(4)]
MESSAGES = ["m", "n", "o"]
some_events = st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3)
an_event = st.sampled_from(EVENTS)
a_message = st.sampled_from(["", *MESSAGES])
ORDER, ORG = Topic("order", int)(1), Topic("org")("a:b")
told = st.sampled_from(
    [(User(USER),), (User(OTHER),), (EVERYONE,), (ORDER,), (ORG, User(USER)), (ORDER, EVERYONE), (ORDER, ORG)]
)
a_class = st.sampled_from([None, Retention("alarms", seconds=9000), Retention("chatter", seconds=1000)])


class SideBySide(RuleBasedStateMachine):
    """What a producer, workers, a mover and an operator may do, in any order and any number of times."""

    def __init__(self, opening: Opened) -> None:
        super().__init__()
        self.opening = opening
        self.runner = asyncio.Runner()
        self.contexts: list[Any] = []
        self.both: list[Adapter] = []
        self.claims: list[Any] = []

    @initialize()
    def open(self) -> None:
        for opening in (in_memory, self.opening):
            context = opening(Settings(retry_max=3, dead_max=3, stream_maxlen=100_000), False)
            self.contexts.append(context)
            self.both.append(self.runner.run(context.__aenter__()))
        self.began_s = [one.store.clock.now_ms() / 1000 for one in self.both]

    def teardown(self) -> None:
        for context in self.contexts:
            self.runner.run(context.__aexit__(None, None, None))
        self.runner.close()

    def same(self, told: list[Any]) -> Any:
        assert told[0] == told[1]
        return told[0]

    @rule(message=st.sampled_from(MESSAGES), ids=some_events)
    def accept(self, message: str, ids: list[UUID]) -> None:
        for one in self.both:
            one.accounting.book(message, TASK, QUEUE, ids)

    @rule(message=a_message, ids=some_events, told=told, skipped=st.lists(an_event, max_size=1), retention=a_class)
    def publish(
        self, message: str, ids: list[UUID], told: tuple[Address, ...], skipped: list[UUID], retention: Retention | None
    ) -> None:
        events = [event(None, name, *told) for name in ids]
        names = [str(name) for name in skipped]
        for one in self.both:
            publish(one.publisher, *events, message_id=message, skipped=names, retention=retention)

    @rule(
        message=a_message,
        name=an_event,
        attempt=st.integers(1, 3),
        after_s=st.sampled_from([0, 1000]),
        late=st.booleans(),
    )
    def fail(self, message: str, name: UUID, attempt: int, after_s: float, late: bool) -> None:
        waiting = [(record(str(name), attempt), after_s)]
        self.same([one.retries.add(waiting, message_id=message, only_unfinished=late) for one in self.both])

    @rule(message=a_message, name=an_event, late=st.booleans())
    def bury(self, message: str, name: UUID, late: bool) -> None:
        for one in self.both:
            one.pass_time(1)  # letters of one moment have no order of their own
        letters = [letter(str(name))]
        self.same([one.dead_letters.bury(letters, message_id=message, only_unfinished=late) for one in self.both])

    @rule(message=st.sampled_from(MESSAGES), name=st.sampled_from(["x", "y"]), part=st.none() | some_events)
    def quarantine(self, message: str, name: str, part: list[UUID] | None) -> None:
        for one in self.both:
            one.pass_time(1)
        names = None if part is None else [str(one) for one in part]
        self.same(
            [one.dead_letters.bury([letter(name)], message_id=message, whole=True, part=names) for one in self.both]
        )

    @rule()
    def claim(self) -> None:
        claims = [one.retries.claim() for one in self.both]
        self.same([sorted((one.event_id, one.attempt) for one in claim.records) for claim in claims])
        self.claims.append(claims)

    @rule()
    def confirm(self) -> None:
        for claims in self.claims[-1:]:
            for one, claim in zip(self.both, claims, strict=True):
                one.retries.confirm(claim)

    @rule(name=an_event)
    def discard(self, name: UUID) -> None:
        stone = Tombstone(letter_id=str(name), at=NOW, who="me", reason="", task="", error_class="")
        self.same([one.dead_letters.discard([stone]) for one in self.both])

    @rule(seconds=st.sampled_from([60, 2000, 5000, 40_000]))
    def wait(self, seconds: float) -> None:
        for one in self.both:
            one.pass_time(seconds)

    @invariant()
    def as_much_time_has_passed(self) -> None:
        """A server's clock runs on while a busy machine does other things; memory's stands."""
        if self.both:
            memory_s, server_s = (
                one.store.clock.now_ms() / 1000 - began for one, began in zip(self.both, self.began_s, strict=True)
            )
            self.both[0].pass_time(max(0.0, server_s - memory_s))

    @invariant()
    def balance_is_even_and_the_same(self) -> None:
        if self.both:
            balance = self.same([one.balance() for one in self.both])
            assert balance.difference == 0
            self.same([[one.count(name) for name in ("retried", "retry_full", "dead")] for one in self.both])

    @invariant()
    def the_same_is_kept(self) -> None:
        if not self.both:
            return
        names = [str(name) for name in EVENTS]
        self.same([one.retries.history(names) for one in self.both])
        self.same([one.retries.unfinished(names) for one in self.both])
        self.same([one.dead_letters.get_many([*names, "x", "y"]) for one in self.both])
        self.same([[head.letter_id for head in one.dead_letters.heads(between_ms=(0, 2**53))] for one in self.both])
        self.same([[one.accounting.unfinished(message, names) for message in MESSAGES] for one in self.both])

    @invariant()
    def the_same_is_told(self) -> None:
        for heard in ([User(USER)], [User(OTHER), ORDER, ORG]) if self.both else ():
            found = [self.runner.run(read_all(one.event_log, START, USER, *heard)) for one in self.both]
            self.same([[one.event_id for one in events] for events, _ in found])
            known = [
                [self.runner.run(one.event_log.locate(heard, name)) is None for name in EVENTS] for one in self.both
            ]
            self.same(known)


@pytest.mark.parametrize("histories", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("opening", REAL, indirect=True)
def test_memory_and_a_server_are_never_told_apart(opening: Opened, histories: int) -> None:
    run_state_machine_as_test(
        lambda: SideBySide(opening),
        settings=settings(
            max_examples=histories,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
