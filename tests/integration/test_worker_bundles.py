"""Messages that a real worker runs together: each event once, and a bad one harms no other."""

import json
import os
import signal
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from bridge import Emitter, Settings, User
from bridge.messages import TaskMessage
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, read_balance
from bridge.wiring import open_queue
from tests.support import keys
from tests.support.counts import Counts
from tests.support.moody_catalog import Announced, Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import moody_environment, running_worker

QUEUE = "bridge.moods"


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """One event a message: the most that there is to bundle."""
    return Settings(broker_url=redis_url, emit_batch_max=1)


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    return moody_environment(settings, folder, BRIDGE_RETRY_BASE_S="0.1")


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_bundled_messages_end_one_by_one_in_the_books(
    pool: str, settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user_id = uuid4()
    modes = {5: "fail", 50: "permanent", 75: "nobody"}
    emitter = Emitter(settings, registry)
    for number in range(300):
        mode = modes.get(number % 100, "ok")
        emitter.emit(
            Moody(
                user_id=None if mode == "nobody" else user_id,
                number=number,
                mode="ok" if mode == "nobody" else mode,
                times=1 if mode == "fail" else 0,
            )
        )
    assert emitter.flush(WAIT_S)
    assert client.llen(QUEUE) == 300
    client.config_resetstat()
    with running_worker(tmp_path, environment(settings, tmp_path), f"--pool={pool}", "--concurrency=1"):
        wait_until(lambda: read_balance(client).ended == 297 and not client.exists("unacked"), what="all ended")
        scripts = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    emitter.close()
    balance = read_balance(client)
    assert balance.balanced, balance
    assert (balance.published, balance.skipped, balance.dead) == (294, 3, 3)
    numbers = [json.loads(fields[b"data"])["number"] for _, fields in client.xrange(f"sse:stream:user:{{{user_id}}}")]
    first_time = [number for number in numbers if number % 100 != 5]
    assert first_time == sorted(first_time)
    # Claims, settles and the retry mover's; one of each a message would be 600.
    assert scripts < 300, scripts


def test_messages_of_several_tasks_run_together_each_as_its_own(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user_id = uuid4()
    modes = {20: "fail", 30: "permanent"}
    emitter = Emitter(settings, registry)
    for number in range(100):
        mode = modes.get(number, "ok")
        emitter.emit(Announced(user_id=None, text=str(number)))
        emitter.emit(Moody(user_id=user_id, number=number, mode=mode, times=1 if mode == "fail" else 0))
    assert emitter.flush(WAIT_S)
    emitter.close()
    with running_worker(tmp_path, environment(settings, tmp_path), "--concurrency=1") as worker:
        wait_until(lambda: read_balance(client).ended == 199 and not client.exists("unacked"), what="all ended")
        runs = worker.text().count("succeeded in")
    assert runs < 100  # of 200 messages
    balance = read_balance(client)
    assert balance.balanced, balance
    (letter,) = every_letter(DeadLetters(client, settings))
    assert (letter.task, letter.queue) == ("bridge.Moody", QUEUE)
    metrics = {name.decode(): int(value) for name, value in client.hgetall(keys.METRICS).items()}
    assert (metrics["published:news.announced"], metrics["published:mood.shown"]) == (100, 99)
    told = [fields[b"data"] for _, fields in client.xrange(keys.BROADCAST_STREAM)]
    assert [json.loads(data)["text"] for data in told] == [str(number) for number in range(100)]


def test_an_envelope_that_python_cannot_read_is_buried_alone(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user_id = uuid4()
    emitter = Emitter(settings, registry)
    sender = open_queue(settings, registry)
    # Valid for the transport, but Python reads no integer of so many digits.
    huge = b'{"id":' + b"1" * 10_000 + b"}"
    for number in range(20):
        emitter.emit(Moody(user_id=user_id, number=number))
        if number == 10:
            assert emitter.flush(WAIT_S)
            sender.send([TaskMessage(task="bridge.Moody", queue=QUEUE, envelopes=[huge])])
    assert emitter.flush(WAIT_S)
    with running_worker(tmp_path, environment(settings, tmp_path)):
        wait_until(lambda: Counts(client).read()["published"] == 20, what="the good ones are published")
        wait_until(lambda: DeadLetters(client, settings).count() == 1, what="the bad one is kept")
        wait_until(lambda: not client.exists("unacked"), what="all are acknowledged")
    sender.close()
    emitter.close()
    (letter,) = every_letter(DeadLetters(client, settings))
    assert letter.failure.stage == "decode"
    assert letter.envelope == huge.decode()
    assert read_balance(client).balanced, read_balance(client)


def test_a_process_that_dies_over_a_bundle_costs_no_other_event(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    emitter = Emitter(settings, registry)
    for number in range(100):
        emitter.emit(Moody(user_id=uuid4(), number=number, mode="kill" if number == 50 else "ok", times=99))
    assert emitter.flush(WAIT_S)
    with running_worker(tmp_path, environment(settings, tmp_path)):
        wait_until(lambda: read_balance(client).published == 99, what="the innocent are published")
        wait_until(lambda: read_balance(client).dead == 1, what="the guilty one is buried")
    emitter.close()
    assert read_balance(client).balanced, read_balance(client)


def test_a_process_that_dies_over_a_bundle_costs_other_tasks_no_attempt(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    only_once = {**environment(settings, tmp_path), "BRIDGE_RETRY_ATTEMPTS": "1"}
    with closing(Emitter(settings, registry)) as emitter, running_worker(tmp_path, only_once) as worker:
        for number in range(150):
            emitter.emit(Announced(user_id=None, text=str(number)))
        wait_until(lambda: read_balance(client).published == 150, what="the worker has experience")
        os.kill(worker.process.pid, signal.SIGSTOP)
        for number in range(150, 250):
            emitter.emit(Announced(user_id=None, text=str(number)))
            if number == 200:
                emitter.emit(Moody(user_id=uuid4(), mode="kill", times=99))
        assert emitter.flush(WAIT_S)
        os.kill(worker.process.pid, signal.SIGCONT)
        wait_until(lambda: read_balance(client).dead == 1, what="the guilty one is buried")
        wait_until(lambda: not client.exists("unacked"), what="all are acknowledged")
        assert "bridge.bundle.parted" in worker.text()  # else there was nothing to show
    balance = read_balance(client)
    assert balance.balanced, balance
    assert (balance.published, balance.dead, Counts(client).read()["retried"]) == (250, 1, 2)


def test_a_bundle_that_takes_too_long_goes_on_message_by_message(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user_id = uuid4()
    slow = {**environment(settings, tmp_path), "SLOW_S": "0.2", "BRIDGE_TASK_TIME_LIMIT_S": "2"}
    with closing(Emitter(settings, registry)) as emitter, running_worker(tmp_path, slow) as worker:
        for number in range(150):
            emitter.emit(Announced(user_id=None, text=str(number)))
        wait_until(lambda: read_balance(client).published == 150, what="the worker has experience")
        pids = worker.children()
        os.kill(worker.process.pid, signal.SIGSTOP)
        for number in range(20):
            emitter.emit(Moody(user_id=user_id, number=number, mode="slow"))
        assert emitter.flush(WAIT_S)
        os.kill(worker.process.pid, signal.SIGCONT)
        wait_until(lambda: read_balance(client).published == 170, what="all are published")
        wait_until(lambda: not client.exists("unacked"), what="all are acknowledged")
        assert worker.children() == pids
        assert "messages of a bundle are done" in worker.text()
    balance = read_balance(client)
    assert balance.balanced, balance
    assert Counts(client).read()["retried"] == 0
    numbers = [json.loads(fields[b"data"])["number"] for _, fields in client.xrange(keys.stream(User(user_id)))]
    assert numbers == list(range(20))


def test_envelopes_of_any_depth_and_blanks_harm_no_neighbour(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    emitter = Emitter(settings, registry)
    sender = open_queue(settings, registry)
    odd = [b" ", *(b'{"id":' + b"[" * levels + b"]" * levels + b"}" for levels in (150, 390, 600, 900, 960, 2_000))]
    for number in range(120):
        emitter.emit(Moody(user_id=uuid4(), number=number))
        if number % 20 == 10 and odd:
            assert emitter.flush(WAIT_S)
            sender.send([TaskMessage(task="bridge.Moody", queue=QUEUE, envelopes=[odd.pop()]) for _ in range(2) if odd])
    assert emitter.flush(WAIT_S)
    assert not odd
    with running_worker(tmp_path, environment(settings, tmp_path)) as worker:
        pids = worker.children()
        wait_until(lambda: Counts(client).read()["published"] == 120, what="the good ones are published")
        wait_until(lambda: DeadLetters(client, settings).count() == 6, what="the odd ones are kept")
        wait_until(lambda: not client.exists(QUEUE, "unacked"), what="all are acknowledged")
        assert worker.children() == pids
        assert "callback raised" not in worker.text()
    sender.close()
    emitter.close()
    assert read_balance(client).balanced, read_balance(client)
