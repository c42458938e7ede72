"""Messages that are bundled are the same jobs, in the same order, as the messages one by one."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from kombu import serialization
from kombu.serialization import prepare_accept_content

from bridge.celery_runtime.kombu_messages import PASSED_SERIALIZER
from bridge.celery_runtime.task import BridgeTask
from bridge.messages import TaskMessage
from bridge.messages.bundling import Claimed, bundle
from bridge.messages.queue_item import read_item
from bridge.model.bounds import MessageBounds
from bridge.model.pipeline import EventCodec
from bridge.model.pipeline.envelope import encode_raw
from bridge.redis_adapter.task_queue import queue_item
from bridge.worker.jobs import Job
from tests.support import strange
from tests.support.strange import REGISTRY, SAMPLES

TASKS = {REGISTRY.task_of(mapping): mapping for mapping in REGISTRY.mappings}
WRITTEN = [EventCodec(type(event)).encode(event, source="shop") for event in SAMPLES]
APP = SimpleNamespace(tasks={task: SimpleNamespace(mapping=mapping) for task, mapping in TASKS.items()})


@st.composite
def messages(draw: st.DrawFn) -> list[Claimed]:
    """What a claim brings: messages of several tasks, announced or not, some of them tried again."""
    claimed = []
    for number in range(draw(st.integers(1, 6))):
        envelopes = draw(st.lists(strange.envelopes(WRITTEN, lawless=False), min_size=1, max_size=3))
        ids = b"".join(UUID(int=place).bytes for place in range(len(envelopes)))
        task, attempt = draw(st.sampled_from(sorted(TASKS))), draw(st.sampled_from([1, 1, 1, 2]))
        message = TaskMessage(task=task, queue="q", envelopes=envelopes, attempt=attempt, event_ids=ids)
        item = queue_item(message, announced=draw(st.booleans()))
        claimed.append(Claimed(str(number), "q", read_item(item, tag=str(number), queue="q", deliveries=0)))
    return claimed


def jobs_of(payload: dict[str, Any]) -> list[Job]:
    """The jobs of a message in kombu's form, as the pool's process reads them."""
    accepted = prepare_accept_content({PASSED_SERIALIZER, "json"})
    args, kwargs, _ = serialization.loads(
        payload["body"], payload["content-type"], payload["content-encoding"], accept=accepted
    )
    headers = payload["headers"]
    task = SimpleNamespace(app=APP, mapping=TASKS[headers["task"]], bounds=MessageBounds.WIDEST)
    task._unbundle = partial(BridgeTask._unbundle, task)
    return BridgeTask.jobs(task, args, kwargs, headers["id"], headers)


def facts(job: Job) -> Job:
    """The job with its envelopes as JSON says them."""
    return replace(job, envelopes=[repr(json.loads(encode_raw(raw))) for raw in job.envelopes])


@given(messages(), st.booleans())
def test_a_bundles_jobs_are_those_of_its_messages(claimed: list[Claimed], mixed: bool) -> None:
    alone = {message.tag: list(map(facts, jobs_of(message.payload))) for message in claimed}
    bundles = list(bundle(claimed, tasks=TASKS, mixed=mixed))
    for one in bundles:
        expected = [fact for tag in one.tags for fact in alone[tag]]
        assert list(map(facts, jobs_of(one.payload()))) == expected
    assert sorted(tag for one in bundles for tag in one.tags) == sorted(alone)


def test_messages_of_every_event_of_the_catalog_go_together() -> None:
    claimed = []
    for number, (event, envelope) in enumerate(zip(SAMPLES, WRITTEN, strict=True)):
        task = REGISTRY.task_of(REGISTRY.by_class[type(event)])
        message = TaskMessage(task=task, queue="q", envelopes=[envelope], event_ids=event.event_id.bytes)
        item = queue_item(message, announced=True)
        claimed.append(Claimed(str(number), "q", read_item(item, tag=str(number), queue="q", deliveries=0)))
    (together,) = bundle(claimed, tasks=TASKS, mixed=True)
    assert together.events == len(SAMPLES)
    assert [job.mapping.domain_event_class for job in jobs_of(together.payload())] == [type(one) for one in SAMPLES]
