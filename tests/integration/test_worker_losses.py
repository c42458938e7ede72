"""What a run that did not end costs: an attempt of each event, unless that would be somebody's last; and time."""

import json
from typing import Any
from uuid import uuid4

import pytest
import redis
from billiard.exceptions import SoftTimeLimitExceeded

from bridge import Settings
from bridge.celery_runtime.task import BridgeTask, OutOfTimeError
from bridge.model.errors import StoreUnavailableError
from bridge.redis_adapter import DeadLetters
from bridge.wiring import worker_ports
from bridge.worker import create_app
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.hasty_catalog import registry as hasty
from tests.support.letters import a_letter
from tests.support.moody_catalog import registry as moody


def test_nobody_is_charged_when_the_last_attempt_of_one_is_lost(settings: Settings, client: redis.Redis) -> None:
    """Without a worker: the group goes back to its queue, each event alone and as it came."""
    handler = Handler(settings, hasty, worker_ports(settings, hasty))
    envelopes = [json.loads(a_letter().envelope) for _ in range(3)]
    handler.record_worker_lost(_job(envelopes), SystemExit(3))
    items = [json.loads(item) for item in client.lrange("bridge.moods", 0, -1)]
    assert len(items) == 3
    assert not any("bridge_attempt" in item["headers"] for item in items)
    assert DeadLetters(client, settings).count() == 0
    handler.record_worker_lost(_job(envelopes[:1]), SystemExit(3))
    assert DeadLetters(client, settings).count() == 1


def _job(envelopes: list[dict[str, Any]]) -> Job:
    return Job(mapping=hasty.mappings[0], envelopes=envelopes, attempt=1, message_id="m", booked_as="")


class Stuck:
    """A handler that never gets done; Redis may be away first."""

    def __init__(self, *, away: bool) -> None:
        self.away = away

    def run(self, _: list[Job]) -> int:
        if self.away:
            self.away = False
            raise StoreUnavailableError
        raise SoftTimeLimitExceeded


@pytest.mark.parametrize("away", [False, True])
def test_time_that_runs_out_is_the_messages_fault_unless_redis_was_waited_for(away: bool) -> None:
    task: BridgeTask = create_app(Settings(), moody).tasks["bridge.Moody"]
    task.handler = Stuck(away=away)  # type: ignore[assignment]
    task.push_request(id=str(uuid4()))
    try:
        with pytest.raises(BaseException) as caught:
            task.handle([])
    finally:
        task.pop_request()
    assert isinstance(caught.value, OutOfTimeError) != away


def test_an_event_that_runs_out_of_time_alone_a_second_time_is_dead(settings: Settings, client: redis.Redis) -> None:
    handler = Handler(settings, moody, worker_ports(settings, moody))
    (envelope,) = [json.loads(a_letter().envelope)]
    job = Job(mapping=moody.mappings[0], envelopes=[envelope], attempt=1, message_id="m", booked_as="")
    handler.record_worker_lost(job, OutOfTimeError("x"))
    assert client.hlen("bridge:retry:records") == 1
    again = Job(mapping=moody.mappings[0], envelopes=[envelope], attempt=2, message_id="n", booked_as="")
    handler.record_worker_lost(again, OutOfTimeError("x"), permanent=True)
    assert client.hlen("bridge:retry:records") == 0
    assert DeadLetters(client, settings).count() == 1
