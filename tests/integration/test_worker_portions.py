"""A bundle is settled in portions while the next is decided: in order, and once, also if it ends in the middle."""

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import User
from bridge.messages.bundling import split
from bridge.model.pipeline import EventCodec
from bridge.redis_adapter import read_balance
from bridge.redis_adapter.script import PipelinedScriptCall
from bridge.redis_adapter.task_queue import Entries
from bridge.settings import Settings
from bridge.wiring import worker_ports
from bridge.worker import handler as handler_module
from bridge.worker.handler import PORTION_MAX, Handler
from bridge.worker.jobs import Job
from tests.support import keys
from tests.support.moody_catalog import Moody, registry

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
MAPPING = registry.by_class[Moody]
CODEC = EventCodec(Moody)


@pytest.fixture(autouse=True)
def moods(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the catalog counts attempts; and a run does not end early, however busy the machine is."""
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    monkeypatch.setattr(handler_module, "RUN_S", 600.0)


def a_job(client: redis.Redis, settings: Settings, events: Sequence[Moody]) -> Job:
    """A message that a producer announced, as the pool reads it."""
    message_id = str(uuid4())
    task, queue = registry.task_of(MAPPING), registry.queue_of(MAPPING)
    ids = b"".join(event.event_id.bytes for event in events)
    Entries(client).enter([(message_id, task, queue, ids)])
    json = b",".join(CODEC.encode(event, source="test") for event in events)
    return Job(mapping=MAPPING, envelopes=split(json), attempt=1, message_id=message_id, booked_as=message_id)


def jobs(client: redis.Redis, settings: Settings, messages: int, events: int = 40) -> list[Job]:
    numbers = iter(range(messages * events))
    return [
        a_job(client, settings, [Moody(user_id=USER, number=next(numbers)) for _ in range(events)])
        for _ in range(messages)
    ]


def published(client: redis.Redis) -> list[str]:
    return [fields[b"event_id"].decode() for _, fields in client.xrange(keys.stream(User(USER)))]


def ids_of(jobs: Sequence[Job]) -> list[str]:
    return [str(CODEC.decode(raw).event_id) for job in jobs for raw in job.envelopes]


def test_portions_are_whole_messages_in_their_order(client, settings) -> None:
    many = jobs(client, settings, messages=40)
    portions = list(
        Handler(settings, registry, worker_ports(settings, registry))._portions(many, None, time.monotonic() + 60)
    )
    assert [job for portion in portions for job, _ in portion] == many
    sizes = [sum(len(job.envelopes) for job, _ in portion) for portion in portions]
    assert sizes == [120, 200, 320, 400, 400, 160]


def test_a_run_that_takes_too_long_ends_with_the_message_at_hand(client, settings, monkeypatch) -> None:
    monkeypatch.setattr(handler_module, "RUN_S", 0.0)
    many = jobs(client, settings, messages=3)
    handler = Handler(settings, registry, worker_ports(settings, registry))
    assert handler.run(many) == 1
    assert published(client) == ids_of(many[:1])
    assert [handler.run(many[1:]), handler.run(many[2:])] == [1, 1]
    assert published(client) == ids_of(many)
    assert read_balance(client).balanced


def test_the_next_portion_is_decided_before_the_answer_to_the_last_is_read(client, settings, monkeypatch) -> None:
    handler = Handler(settings, registry, worker_ports(settings, registry))
    steps: list[str] = []
    for owner, name in ((handler, "_prepare"), (PipelinedScriptCall, "send"), (PipelinedScriptCall, "answer")):
        real = getattr(owner, name)

        def noted(*args: object, real=real, name=name) -> object:
            steps.append(name)
            return real(*args)

        monkeypatch.setattr(owner, name, noted)
    handler.run(jobs(client, settings, messages=3, events=PORTION_MAX))
    assert steps == ["_prepare", "send", *["_prepare", "answer", "send"] * 2, "answer"]


def test_everything_is_published_once_and_in_order(client, settings) -> None:
    many = jobs(client, settings, messages=9)
    Handler(settings, registry, worker_ports(settings, registry)).run(many)
    assert published(client) == ids_of(many)
    balance = read_balance(client)
    assert balance.balanced
    assert (balance.published, balance.open) == (360, 0)
    positions = [position for position, _ in client.xrange(keys.stream(User(USER)))]
    assert all(first < second for first, second in pairwise(map(_place, positions)))


def test_a_run_that_ends_in_the_middle_can_be_run_again(client, settings, monkeypatch) -> None:
    handler = Handler(settings, registry, worker_ports(settings, registry))
    many = jobs(client, settings, messages=9)
    real, left = handler._decide, iter(range(5))

    def decide(*args: object) -> object:
        if next(left, None) is None:
            raise SystemExit("somebody wants this process to end")
        return real(*args)

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(handler, "_decide", decide)
        handler.run(many)
    handler.run(many)
    assert published(client) == ids_of(many)
    balance = read_balance(client)
    assert balance.balanced
    assert balance.published + balance.duplicate == balance.accepted == 360


def _place(position: bytes) -> tuple[int, int]:
    ms, _, seq = position.decode().partition("-")
    return int(ms), int(seq)
