"""Bundling claimed messages: which go together, in what order, within which bounds."""

import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest

from bridge.messages import BUNDLE_HEADER, TaskMessage
from bridge.messages.bundling import BYTES_MAX, EVENTS_MAX, PASSED_CONTENT_TYPE, Bundle, Claimed, bundle
from bridge.messages.queue_item import read_item
from bridge.redis_adapter.task_queue import queue_item

QUEUE = "bridge.moods"


def claimed(*numbers: int, task: str = "bridge.Moody", queue: str = QUEUE, size: int = 0, **changes: Any) -> Claimed:
    """A message as a producer wrote it, with those numbers as its events; ``changes`` spoil its headers."""
    envelopes = [json.dumps({"number": number, "text": "x" * size}).encode() for number in numbers]
    message = TaskMessage(task=task, queue=queue, envelopes=envelopes, event_ids=uuid4().bytes * len(numbers))
    raw = queue_item(message, announced=True)
    payload = read_item(raw, tag=message.message_id, queue=queue, deliveries=0)
    payload["headers"].update(changes)
    return Claimed(message.message_id, queue, payload)


def bundles_of(messages: Iterable[Claimed], *, mixed: bool = True) -> list[Bundle]:
    return list(bundle(messages, tasks={"bridge.Moody", "bridge.Other"}, mixed=mixed))


def numbers_in(payload: dict[str, Any]) -> list[int]:
    """The events of a message, bundled or not."""
    if payload["content-type"] == PASSED_CONTENT_TYPE:
        return [envelope["number"] for envelope in json.loads(b"[%b]" % payload["body"])]
    return [envelope["number"] for envelope in json.loads(payload["body"])[0][0]]


def test_messages_become_one_in_their_order_whatever_their_task_and_queue() -> None:
    messages = [claimed(1), claimed(2, 3, task="bridge.Other"), claimed(4, queue="bridge.news")]
    (together,) = bundles_of(messages)
    payload = together.payload()
    assert numbers_in(payload) == [1, 2, 3, 4]
    assert payload["headers"]["id"] == messages[0].payload["headers"]["id"]
    assert payload["headers"][BUNDLE_HEADER] == [
        (message.payload["headers"]["task"], message.tag, message.tag, events)
        for message, events in zip(messages, (1, 2, 1), strict=True)
    ]
    assert together.tags == [message.tag for message in messages]


def test_where_they_may_not_be_mixed_tasks_and_queues_are_kept_apart() -> None:
    messages = [claimed(1), claimed(2, task="bridge.Other"), claimed(3, queue="bridge.news"), claimed(4)]
    bundles = bundles_of(messages, mixed=False)
    assert [numbers_in(one.payload()) for one in bundles] == [[1, 4], [2], [3]]


def test_one_message_keeps_its_headers_and_is_no_bundle() -> None:
    message = claimed(1)
    (alone,) = bundles_of([message])
    assert alone.payload()["headers"] == message.payload["headers"]
    assert numbers_in(alone.payload()) == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"eta": "2026-01-01T00:00:00Z"},
        {"expires": 1},
        {"timelimit": [1, 1]},
        {"retries": 1},
        {"stamps": {}},
        {"bridge_booked": 7},
        {"id": ""},
        {"task": ["bridge.Moody"]},
        {"task": "celery.map"},
    ],
    ids=str,
)
def test_a_message_with_anything_special_goes_alone_in_its_place(changes: dict[str, Any]) -> None:
    special = claimed(2, **changes)
    bundles = bundles_of([claimed(1), special, claimed(3)])
    assert bundles[1].tags == [special.tag]
    assert bundles[1].events == 0
    assert [numbers_in(one.payload()) for one in bundles] == [[1], [2], [3]]


@pytest.mark.parametrize(
    "changes", [{"bridge_attempt": 2}, {"bridge_replay": "job"}, {"bridge_deliveries": 1}], ids=str
)
def test_a_message_that_is_tried_again_goes_alone_and_parts_no_others(changes: dict[str, Any]) -> None:
    again = claimed(2, **changes)
    bundles = bundles_of([claimed(1), again, claimed(3)])
    assert bundles[1].events == 0
    assert [numbers_in(one.payload()) for one in bundles] == [[1, 3], [2]]


def test_where_no_task_takes_bundles_each_message_goes_alone() -> None:
    messages = [claimed(1), claimed(2)]
    assert [one.tags for one in bundle(messages, tasks=(), mixed=True)] == [[message.tag] for message in messages]


def with_body(body: bytes) -> Claimed:
    message = claimed(1)
    message.payload["body"] = body
    return message


TAIL = b']],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'


@pytest.mark.parametrize(
    "body",
    [
        b"[[[" + b'{"a":1}],[{"b":2}' + TAIL,
        b"[[[" + b'{"a":' + TAIL,
        b"[[[" + b'"\xff"' + TAIL,
        b"[[[" + b"[" * 5000 + TAIL,
        b"[[[" + b"NaN" + TAIL,
        b"[[[" + b" " + TAIL,
        b"[[[" + TAIL,
        b"[[[" + b"[" * 450 + b"]" * 450 + TAIL,
        b'[[[{"a":1}]], {}, {}]',
        b"no json",
    ],
)
def test_a_body_that_could_spoil_others_goes_alone(body: bytes) -> None:
    spoiled = with_body(body)
    bundles = bundles_of([claimed(1), spoiled, claimed(3)])
    assert bundles[1].tags == [spoiled.tag]
    assert [numbers_in(bundles[place].payload()) for place in (0, 2)] == [[1], [3]]


@pytest.mark.parametrize("part", ["body", "content-type", "content-encoding"])
def test_a_message_without_a_part_goes_alone(part: str) -> None:
    broken = claimed(2)
    del broken.payload[part]
    assert bundles_of([broken, claimed(1)])[0].tags == [broken.tag]


def test_a_message_that_was_sent_twice_is_not_run_with_itself() -> None:
    message = claimed(1)
    again = Claimed("another tag", message.queue, message.payload)
    assert bundles_of([message, again, claimed(2)])[0].tags == [message.tag]


def test_a_bundle_has_bounds() -> None:
    many = bundles_of(claimed(number) for number in range(EVENTS_MAX + 1))
    assert [one.events for one in many] == [EVENTS_MAX, 1]
    large = bundles_of(claimed(number, size=BYTES_MAX // 3) for number in range(4))
    assert [one.events for one in large] == [2, 2]
    assert all(len(one.payload()["body"]) <= BYTES_MAX for one in large)
