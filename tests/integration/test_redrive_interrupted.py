"""A redrive that is killed, stopped, raced, or left without a worker sends nothing twice and goes on where it was."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
import redis

from bridge.messages import TaskMessage
from bridge.model.errors import DecodeError, OperationRefusedError
from bridge.model.redrive import RedriveState
from bridge.operations.letters import Letters
from bridge.operations.redrive.runner import take_lease
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, StoreClock, connect, read_balance
from bridge.redis_adapter.task_queue import Entries, queue_item
from bridge.settings import Settings
from bridge.wiring import store_of
from bridge.worker.quarantine import Quarantine
from tests.support import keys
from tests.support.counts import published_ids
from tests.support.items import envelopes_of
from tests.support.letters import QUEUE, TASK, a_letter, bury
from tests.support.processes import COMMAND, clean_environment
from tests.support.waiting import WAIT_S, wait_until

ALL = Selection()
IDLE_QUEUE = f"idle:{QUEUE}"


def test_a_stopped_replay_is_resumed_with_a_new_canary(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter(mode="permanent" if n < 10 else "ok") for n in range(200)])
    redrive_id = replays.begin(ALL, canary=200, max_failures=0.01)
    states = [replays.run(redrive_id).state]
    while states[-1] is RedriveState.STOPPED:
        states.append(replays.run(redrive_id).state)
    assert states[0] is RedriveState.STOPPED, "more than two of ten failures were met"
    assert 2 <= len(states) <= 4, "each turn meets three failures or more"
    assert states[-1] is RedriveState.DONE
    assert len(published_ids(client)) == 190


def test_a_replay_that_is_asked_to_stop_pauses_and_goes_on(worker, client, settings, replays) -> None:
    bury(client, settings, [a_letter() for _ in range(100)])
    redrive_id = replays.begin(ALL, rate=50)
    seen = []
    paused = replays.run(redrive_id, on_progress=seen.append, should_stop=lambda: bool(seen) and seen[-1].sent > 5)
    assert paused.state is RedriveState.PAUSED
    assert paused.pending > 0
    assert replays.run(redrive_id).state is RedriveState.DONE
    assert len(published_ids(client)) == 100


def test_a_replay_that_is_done_or_unknown_is_not_run(client, replays) -> None:
    redrive_id = replays.begin(ALL)
    assert replays.run(redrive_id).state is RedriveState.DONE
    with pytest.raises(OperationRefusedError, match="is done"):
        replays.run(redrive_id)
    with pytest.raises(OperationRefusedError, match="There is no redrive"):
        replays.run("nope")


def test_two_processes_do_not_run_one_replay(client, settings, idle_replays, monkeypatch) -> None:
    bury(client, settings, [a_letter()])
    redrive_id = idle_replays.begin(ALL)
    monkeypatch.setattr("bridge.operations.redrive.runner.LEASE_S", 0.1)
    take_lease(store_of(client, settings).redrives.job(redrive_id), redrive_id, "other")
    client.hset(keys.redrive(redrive_id), "lease_ends", int(time.time() * 1000) + 3_600_000)
    with pytest.raises(OperationRefusedError, match="is being run by other"):
        idle_replays.run(redrive_id)
    assert client.llen(IDLE_QUEUE) == 0


def test_without_a_worker_it_says_so_and_can_be_resumed(client, settings, idle_replays) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    status = idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    assert status.state is RedriveState.STALLED
    assert "see that a worker runs" in status.reason
    assert client.llen(IDLE_QUEUE) == 1


def test_what_is_on_its_way_is_neither_discarded_nor_sent_by_another_replay(client, settings, idle_replays) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    done = Letters(store_of(client, settings)).discard(ALL, reason="tired of it", who="me")
    assert (done.discarded, done.in_redrive) == (0, 3)
    second = idle_replays.run(idle_replays.begin(ALL), patience_s=0.2)
    assert (second.state, second.busy, second.sent) == (RedriveState.DONE, 3, 0)
    assert client.llen(IDLE_QUEUE) == 1


def test_a_message_that_the_broker_lost_is_sent_again_on_request(client, settings, idle_replays) -> None:
    bury(client, settings, [a_letter() for _ in range(3)])
    redrive_id = idle_replays.begin(ALL)
    idle_replays.run(redrive_id, patience_s=0.2)
    client.delete(IDLE_QUEUE)
    assert idle_replays.run(redrive_id, patience_s=0.2).state is RedriveState.STALLED
    assert idle_replays.run(redrive_id, patience_s=0.2, resend=True).state is RedriveState.STALLED
    assert client.llen(IDLE_QUEUE) == 1


def test_killing_the_process_at_any_moment_sends_nothing_twice_and_forgets_nothing(
    client, settings, idle_replays, environment
) -> None:
    """Nobody takes anything off the queue here, so it shows every message that was ever sent."""
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    print(f"FAULT_SEED={seed}")
    dice = random.Random(seed)
    letters = [a_letter() for _ in range(3000)]
    bury(client, settings, letters)
    redrive_id = idle_replays.begin(ALL, rate=2000)
    idle_environment = {**environment, "BRIDGE_BROKER_KEYPREFIX": "idle:"}
    with _letters_end(settings):
        for _ in range(5):
            _run_and_kill(client, redrive_id, idle_environment, after_s=dice.uniform(0, 0.25))
        status = idle_replays.run(redrive_id, patience_s=WAIT_S)
    assert (status.state, status.succeeded) == (RedriveState.DONE, 3000), status
    sent = _ids_on_the_queue(client)
    assert sorted(sent) == sorted(letter.letter_id for letter in letters)


def test_killing_it_while_a_worker_consumes_publishes_each_event_once(
    worker, client, settings, replays, environment
) -> None:
    """Among the letters are quarantined messages, which go back as they were."""
    seed = int(os.environ.get("FAULT_SEED", random.randrange(1 << 32)))
    print(f"FAULT_SEED={seed}")
    dice = random.Random(seed)
    letters = [a_letter(mode="permanent" if n % 100 == 0 else "ok") for n in range(2000)]
    bury(client, settings, letters)
    wholes = [_quarantine(client, settings) for _ in range(200)]
    redrive_id = replays.begin(ALL, rate=1500)
    for _ in range(5):
        _run_and_kill(client, redrive_id, environment, after_s=dice.uniform(0, 0.25))
    status = replays.run(redrive_id, patience_s=20)
    assert (status.state, status.succeeded, status.failed, status.gone) == (RedriveState.DONE, 2180, 20, 0)
    expected = [letter.letter_id for n, letter in enumerate(letters) if n % 100]
    assert published_ids(client) == sorted([*expected, *(event_id for ids in wholes for event_id in ids)])
    balance = read_balance(client)
    assert (balance.balanced, balance.dead, balance.open, balance.duplicate) == (True, 20, 0, 0)


def _quarantine(client: redis.Redis, settings: Settings) -> list[str]:
    """Have an announced message of three events in quarantine; their ids."""
    letters = [a_letter() for _ in range(3)]
    event_ids = b"".join(UUID(letter.letter_id).bytes for letter in letters)
    envelopes = [letter.envelope.encode() for letter in letters]
    message = TaskMessage(task=TASK, queue=QUEUE, envelopes=envelopes, event_ids=event_ids)
    Entries(client).enter([(message.message_id, TASK, QUEUE, event_ids)])
    raw = queue_item(message, announced=True)
    quarantine = Quarantine(DeadLetters(client, settings), StoreClock(client))
    quarantine(raw, QUEUE, DecodeError("No task is called that."), task=TASK, booked_as=message.message_id)
    return [letter.letter_id for letter in letters]


def _run_and_kill(client: redis.Redis, redrive_id: str, environment: dict[str, str], *, after_s: float) -> None:
    command = [*COMMAND, "dead", "redrive", "--resume", redrive_id, "--json"]
    process = subprocess.Popen(command, env=clean_environment(environment), stdout=subprocess.DEVNULL)
    wait_until(lambda: client.hget(keys.redrive(redrive_id), "owner"), what="it runs")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    client.hset(keys.redrive(redrive_id), mapping={"lease_ends": 0, "owner": ""})  # instead of waiting for its end


@contextmanager
def _letters_end(settings: Settings) -> Iterator[None]:
    """Have letters whose events stand on the idle queue end, as if a worker had published them."""
    over = threading.Event()

    def end_letters() -> None:
        with connect(settings) as client:
            ended = 0
            while not over.is_set():
                items = client.lrange(IDLE_QUEUE, 0, -1 - ended)
                ended += len(items)
                for letter_id in _ids_in(items):
                    client.zrem(keys.DEAD_INDEX, letter_id)
                    client.hdel(keys.DEAD_LETTERS, letter_id)
                over.wait(0.005)

    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(end_letters)
        try:
            yield
        finally:
            over.set()
        ending.result()


def _ids_on_the_queue(client: redis.Redis) -> list[str]:
    return _ids_in(client.lrange(IDLE_QUEUE, 0, -1))


def _ids_in(items: Iterable[bytes]) -> list[str]:
    return [envelope["id"] for item in items for envelope in envelopes_of(item)]
