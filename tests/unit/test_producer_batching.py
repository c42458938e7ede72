"""Packing events into messages: each once, within the limits, and nobody's events change places."""

import time
from collections import defaultdict
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from bridge.messages import OVERHEAD_BYTES, TaskMessage
from bridge.producer.batching import Accepted, BatchLimits, batch

LIMITS = BatchLimits(events=100, size_bytes=100_000)
QUEUES = {"bridge.A": "bridge.one", "bridge.B": "bridge.one", "bridge.C": "bridge.one", "bridge.D": "bridge.two"}


def events_of(*steps: tuple[str, str | None]) -> list[Accepted]:
    """Events of a task and a user each, in order."""
    return [
        Accepted(task, QUEUES[task], UUID(int=number), b"%d" % number, user)
        for number, (task, user) in enumerate(steps)
    ]


def numbers_in(message: TaskMessage) -> list[int]:
    return [int(envelope) for envelope in message.envelopes]


def packed(*steps: tuple[str, str | None]) -> list[tuple[str, list[int]]]:
    return [(message.task, numbers_in(message)) for message in batch(events_of(*steps), LIMITS)]


steps = st.lists(
    st.tuples(st.sampled_from(sorted(QUEUES)), st.sampled_from([None, "alice", "bob", "carol"])), max_size=60
)


@given(steps, st.integers(min_value=1, max_value=7))
def test_every_event_is_once_in_a_message_of_its_task_within_the_limits(
    made: list[tuple[str, str | None]], most: int
) -> None:
    events = events_of(*made)
    messages = batch(events, BatchLimits(events=most, size_bytes=OVERHEAD_BYTES + 8))
    assert sorted(number for message in messages for number in numbers_in(message)) == list(range(len(events)))
    for message in messages:
        assert 1 <= len(message.envelopes) <= most
        assert len(message.body()) <= OVERHEAD_BYTES + 8
        assert {(events[number].task, events[number].queue) for number in numbers_in(message)} == {
            (message.task, message.queue)
        }
        assert message.event_ids == b"".join(events[number].event_id.bytes for number in numbers_in(message))


@given(steps)
def test_in_a_queue_the_events_of_a_user_keep_their_order_and_unknown_ones_their_place(
    made: list[tuple[str, str | None]],
) -> None:
    events = events_of(*made)
    read: dict[str, list[int]] = defaultdict(list)
    for message in batch(events, LIMITS):
        read[message.queue] += numbers_in(message)
    for numbers in read.values():
        for user in ("alice", "bob", "carol"):
            mine = [number for number in numbers if events[number].user == user]
            assert mine == sorted(mine)
        for place, number in enumerate(numbers):
            if events[number].user is None:
                assert all(before < number for before in numbers[:place])
                assert all(number < after for after in numbers[place + 1 :])


def test_events_of_many_users_share_messages_though_their_tasks_alternate() -> None:
    assert packed(*((task, user) for user in ("alice", "bob", "carol") for task in ("bridge.A", "bridge.B"))) == [
        ("bridge.A", [0, 2, 4]),
        ("bridge.B", [1, 3, 5]),
    ]


def test_another_event_of_a_task_does_not_overtake_what_came_between() -> None:
    assert packed(("bridge.A", "alice"), ("bridge.B", "alice"), ("bridge.A", "bob"), ("bridge.A", "alice")) == [
        ("bridge.A", [0, 2]),
        ("bridge.B", [1]),
        ("bridge.A", [3]),
    ]


def test_queues_do_not_wait_for_each_other() -> None:
    assert packed(("bridge.A", "alice"), ("bridge.D", "alice"), ("bridge.A", "alice"), ("bridge.D", None)) == [
        ("bridge.A", [0, 2]),
        ("bridge.D", [1, 3]),
    ]


def test_packing_takes_time_in_proportion() -> None:
    def seconds(number: int) -> float:
        events = events_of(*((f"bridge.{'ABC'[at % 3]}", f"user {at % 500}") for at in range(number)))
        begun = time.process_time()
        batch(events, LIMITS)
        return time.process_time() - begun

    assert min(seconds(40_000) for _ in range(3)) < 100 * min(seconds(2_000) for _ in range(3))
