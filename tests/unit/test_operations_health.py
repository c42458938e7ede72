"""Which states of workers and queues are faults, and which are not."""

from typing import Any

import pytest

from bridge.messages.queue_item import QueueState
from bridge.operations.health import is_consuming, judge
from bridge.operations.survey import Survey
from bridge.runtime.reports import KnownWorker, WorkerReport
from bridge.settings import Settings
from tests.support.skewed_catalogs import old

SETTINGS = Settings(task_time_limit_s=120, visibility_timeout_s=300)
QUEUE = "bridge.orders"
REPORT: dict[str, Any] = {
    "host": "h",
    "pid": 1,
    "node": "celery@h",
    "pool": "prefork",
    "processes": 2,
    "queues": (QUEUE,),
    "started": "2026-01-01T00:00:00+00:00",
    "consumed": 10,
    "in_hand": 0,
    "running": 0,
    "consumed_age_s": 60,
    "loop_age_s": 0.5,
    "oldest_task_s": 0,
}


def worker(silent_s: float = 1, **changes: Any) -> KnownWorker:
    return KnownWorker(name="h:1", silent_s=silent_s, report=WorkerReport(**{**REPORT, **changes}))


def sentences(*workers: KnownWorker, depth: int = 0, oldest_age_s: float | None = None) -> list[str]:
    queue = QueueState(name=QUEUE, depth=depth, oldest_age_s=oldest_age_s)
    return [fault.sentence for fault in judge(SETTINGS, old, Survey(queues=(queue,), claimed=0, retries=()), workers)]


def test_an_idle_worker_is_no_fault() -> None:
    assert sentences(worker()) == []


def test_a_long_queue_is_no_fault_while_it_is_worked_off() -> None:
    assert sentences(worker(running=2, in_hand=8, consumed_age_s=60), depth=9_000, oldest_age_s=600) == []
    assert sentences(worker(running=1, consumed_age_s=0.1), depth=9_000, oldest_age_s=600) == []


def test_a_worker_with_room_that_takes_nothing_is_a_fault() -> None:
    [sentence] = sentences(worker(running=1), depth=7, oldest_age_s=45)
    assert sentence.startswith("Worker h:1 has room and has taken nothing for 60 s, though 7 messages wait on")


@pytest.mark.parametrize("oldest_age_s", [None, 3])
def test_what_came_just_now_may_wait(oldest_age_s: float | None) -> None:
    assert sentences(worker(), depth=1, oldest_age_s=oldest_age_s) == []


def test_a_solo_worker_may_be_held_up_by_its_message_until_the_time_limit() -> None:
    assert sentences(worker(pool="solo", loop_age_s=100, running=1)) == []
    assert "its loop has stood still for 121 s" in sentences(worker(pool="solo", loop_age_s=121, running=1))[0]
    assert "its loop has stood still for 11 s" in sentences(worker(pool="solo", loop_age_s=11))[0]


def test_a_worker_that_waits_for_a_right_is_told_of_by_the_right() -> None:
    assert sentences(worker(loop_age_s=11, forbidden="It may not.")) == ["Worker h:1 consumes nothing. It may not."]
    assert sentences(worker(forbidden="It may not.")) == ["Worker h:1 cannot publish. It may not."]


def test_a_hanging_pool_process_is_a_fault() -> None:
    assert sentences(worker(running=1, oldest_task_s=125)) == []
    assert "has run one message for 131 s, beyond the limit of 120 s" in sentences(worker(oldest_task_s=131))[0]


def test_a_worker_that_died_is_a_fault_until_its_messages_came_back() -> None:
    living = worker()
    assert "has not been heard for 11 s" in sentences(living, worker(silent_s=11))[0]
    assert sentences(living, worker(silent_s=311)) == []
    assert not is_consuming(SETTINGS, worker(silent_s=311))


def test_without_a_living_worker_only_that_is_said_of_the_queues() -> None:
    assert sentences() == ["No worker consumes. Start one: celery -A bridge.worker worker"]
    assert len(sentences(worker(silent_s=20), depth=5, oldest_age_s=100)) == 2


def test_a_queue_that_no_living_worker_consumes_is_a_fault() -> None:
    assert sentences(worker(queues=("bridge.ai",))) == [f"No worker consumes the queue {QUEUE}."]
