"""Who may hear a topic: what opens, what does not, and that a fault of the application's never does."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import pytest

from bridge import Registry, Topic
from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Principal, RequestRefusedError, asking, topics
from bridge.gateway.topics import TopicRights
from bridge.model.counting import Counters
from bridge.model.registry import TopicAddress, User

SECRET = "secret-in-an-exception"
order, room = Topic("order", int), Topic("room")


class Ruled:
    """A gateway's rights where ``order`` has a rule, and ``room`` has none."""

    def __init__(self, rule: Any = None) -> None:
        self.counters = Counters()
        registry = Registry(
            event_types=REGISTRY.event_types,
            categories=REGISTRY.categories,
            events=REGISTRY.events,
            user_id=int,
            topics=[Topic("order", int, may_hear=rule), room],
        )
        self.rights = TopicRights(registry, self.counters)

    async def refusal(self, *asked: TopicAddress, **principal: Any) -> RequestRefusedError | None:
        """How a stream with these topics is refused; None if it may be opened."""
        try:
            await self.rights.permit(Principal(user=7, **principal), asked)
        except RequestRefusedError as refusal:
            return refusal
        return None


async def yes(*_: object) -> bool:
    return True


class Callables:
    """Things that can be called, of kinds that people use."""

    async def method(self, *_: object) -> bool:
        return True

    async def __call__(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize(
    "rule",
    [
        lambda principal, key: principal.user == 7 and key == 42,
        lambda principal, key: yes(),
        yes,
        partial(yes, 1),
        Callables().method,
        Callables(),
    ],
)
async def test_a_rule_may_be_of_any_kind_that_says_true(rule: Callable[..., Any]) -> None:
    assert await Ruled(rule).refusal(order(42)) is None


@pytest.mark.parametrize("no", [False, None])
async def test_a_topic_that_a_client_may_not_hear_is_403_whether_there_is_one_or_not(no: bool | None) -> None:
    ruled = Ruled(lambda principal, key: no if key != 1 else True)
    refusal = await ruled.refusal(order(1), order(42), order(43))
    assert refusal is not None
    assert (refusal.status, refusal.detail) == (HTTPStatus.FORBIDDEN, "You may not hear order:42, order:43.")
    assert refusal.members == {"forbidden": ["order:42", "order:43"]}
    assert (ruled.counters.topics_forbidden, ruled.counters.topic_rule_failures) == (1, 0)


async def test_without_any_rule_a_topic_is_forbidden() -> None:
    refusal = await Ruled().refusal(order(42))
    assert refusal is not None and refusal.status is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "may",
    [
        [room("a")],
        frozenset({room("a"), order(1)}),
        {room("a"): 1}.keys(),
        lambda topic: topic == room("a"),
        lambda topic: yes(),
        yes,
    ],
)
async def test_a_topic_without_a_rule_is_left_to_the_principals_own(may: Any) -> None:
    ruled = Ruled(lambda principal, key: False)
    assert await ruled.refusal(room("a"), topics=may) is None
    if not callable(may):
        assert await ruled.refusal(room("b"), topics=may) is not None
    # A topic's rule has the last word, whatever the principal brings.
    assert await ruled.refusal(order(1), topics=may) is not None


async def test_a_users_address_in_the_principals_own_opens_no_topic() -> None:
    assert await Ruled().refusal(room("7"), topics=[User(7)]) is not None  # type: ignore[list-item]


def test_what_is_said_twice_runs_once_at_a_threads_end() -> None:
    before = set(asking._thread_endings)
    try:
        for _ in range(2):
            asking.at_thread_end(print)
        assert asking._thread_endings == before | {print}
    finally:
        asking._thread_endings.discard(print)


@pytest.mark.parametrize("raises", [False, True])
async def test_a_thread_ends_in_order_whatever_came_of_its_question(
    raises: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked_by: list[int] = []
    ended: list[int] = []

    def rule(principal: Principal, key: int) -> bool:
        asked_by.append(threading.get_ident())
        return bool(1 / key)

    def ending() -> None:
        ended.append(threading.get_ident())
        if raises:
            raise RuntimeError(SECRET)

    monkeypatch.setattr(asking, "_thread_endings", {ending})
    assert await Ruled(rule).refusal(order(1)) is None
    assert await Ruled(rule).refusal(order(0)) is not None
    assert len(ended) == 2 and ended == asked_by
    assert ("bridge.gateway.thread_end_failed" in caplog.text) is raises
    assert SECRET not in caplog.text


class Hostile(list[Any]):
    def __contains__(self, _: object) -> bool:
        raise RuntimeError(SECRET)


def hostile(*_: object) -> bool:
    raise RuntimeError(SECRET)


def exits(*_: object) -> bool:
    raise SystemExit(SECRET)


def stops(*_: object) -> bool:
    raise StopIteration(SECRET)


async def hostile_later(*_: object) -> bool:
    raise asyncio.CancelledError(SECRET)


@pytest.mark.parametrize(
    "rule",
    [hostile, exits, stops, hostile_later, lambda *_: "yes", lambda *_: 1, lambda *_: [True], lambda *_: yes],
)
async def test_a_rule_that_does_not_say_true_or_false_opens_nothing_and_is_told_once(
    rule: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ruled = Ruled(rule)
    for times in (1, 2):
        refusal = await ruled.refusal(order(42))
        assert refusal is not None and refusal.retry_after_s is not None
        assert refusal.status is HTTPStatus.SERVICE_UNAVAILABLE
        assert (ruled.counters.topic_rule_failures, ruled.counters.topics_forbidden) == (times, 0)
    assert caplog.text.count("bridge.gateway.topic_rule_failed topic=order: it r") == 1
    assert SECRET not in caplog.text + str(refusal)


async def test_a_collection_of_the_principal_that_raises_opens_nothing() -> None:
    refusal = await Ruled().refusal(room("a"), topics=Hostile())
    assert refusal is not None and refusal.status is HTTPStatus.SERVICE_UNAVAILABLE


async def test_what_is_forbidden_for_sure_is_403_though_another_rule_fails() -> None:
    ruled = Ruled(hostile)
    refusal = await ruled.refusal(order(42), room("a"))
    assert refusal is not None and refusal.members == {"forbidden": ["room:a"]}


async def test_a_rule_that_failed_is_told_again_once_it_had_answered(caplog: pytest.LogCaptureFixture) -> None:
    trouble = [True]

    def rule(*_: object) -> bool:
        return hostile() if trouble else True

    ruled = Ruled(rule)
    for _ in range(3):
        assert await ruled.refusal(order(42)) is not None
    trouble.clear()
    assert await ruled.refusal(order(42)) is None
    trouble.append(True)
    assert await ruled.refusal(order(42)) is not None
    assert caplog.text.count("bridge.gateway.topic_rule_failed") == 2


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_rule_that_hangs_holds_up_its_own_clients_alone(
    blocking: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(topics, "ANSWER_S", 0.05)
    monkeypatch.setattr(asking, "THREADS_MAX", 2)
    release, released = threading.Event(), asyncio.Event()

    def hang(principal: Principal, key: int) -> bool:
        return release.wait(60)

    async def hang_on(principal: Principal, key: int) -> bool:
        return await released.wait()

    ruled = Ruled(hang if blocking else hang_on)
    try:
        async with asyncio.timeout(30):
            # Of five that block two have a thread, and the loop goes on.
            refusals = await asyncio.gather(*(ruled.refusal(order(n)) for n in range(5)))
            assert [refusal.status for refusal in refusals if refusal] == [HTTPStatus.SERVICE_UNAVAILABLE] * 5
            assert await ruled.refusal(room("a"), topics=[room("a")]) is None
    finally:
        release.set()
        released.set()
    assert "it took longer than 0.05 s" in caplog.text


async def test_a_process_does_not_wait_for_a_rule_that_blocks() -> None:
    entered, release, found = threading.Event(), threading.Event(), list[bool]()

    def block(*_: object) -> bool:
        found.append(threading.current_thread().daemon)
        entered.set()
        return release.wait(60)

    asked = asyncio.create_task(Ruled(block).refusal(order(1)))
    await asyncio.to_thread(entered.wait, 30)
    assert found == [True]
    release.set()
    assert await asked is None
