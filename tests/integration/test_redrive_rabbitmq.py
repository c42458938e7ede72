"""Replaying dead letters over RabbitMQ: letters are marked in the store, then sent, then confirmed."""

import signal
import subprocess
import time

import pytest
import redis
from kombu import Connection

from bridge.amqp_adapter.broker_queues import read_depths
from bridge.model.errors import BrokerUnavailableError
from bridge.model.redrive import RedriveState
from bridge.operations.letters import every_letter
from bridge.operations.redrive import Redrives
from bridge.operations.redrive.sending import WINDOW_MIN
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, read_balance
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support import keys
from tests.support.counts import published_ids
from tests.support.letters import QUEUE, a_letter, bury
from tests.support.moody_catalog import registry
from tests.support.processes import COMMAND, clean_environment
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

ALL = Selection()


@pytest.fixture
def settings(amqp_url: str, redis_url: str) -> Settings:
    """With an empty queue."""
    with Connection(amqp_url) as connection:
        connection.default_channel.queue_delete(QUEUE)
    return Settings(broker_url=amqp_url, redis_url=redis_url)


def test_letters_are_published_once_after_a_canary(environment, client, settings, replays, tmp_path) -> None:
    letters = [a_letter(mode="permanent" if n % 50 == 0 else "ok") for n in range(200)]
    bury(client, settings, letters)
    with running_worker(tmp_path, environment):
        status = replays.run(replays.begin(ALL, canary=20, max_failures=0.5), patience_s=30)
    assert (status.state, status.succeeded, status.failed) == (RedriveState.DONE, 196, 4)
    assert published_ids(client) == sorted(letter.letter_id for n, letter in enumerate(letters) if n % 50)
    assert {letter.replay for letter in every_letter(DeadLetters(client, settings))} == {status.redrive_id}
    assert read_balance(client).balanced
    assert not client.exists(keys.IN_REDRIVE, keys.of_redrive(status.redrive_id)["unconfirmed"])


def test_a_replay_that_was_killed_goes_on_and_publishes_each_once(environment, client, settings, replays, tmp_path):
    letters = [a_letter() for _ in range(400)]
    bury(client, settings, letters)
    redrive_id = replays.begin(ALL, rate=400)
    with running_worker(tmp_path, environment):
        for share in (0.1, 0.4):
            _run_and_kill(client, redrive_id, environment, sent=int(share * len(letters)))
        status = replays.run(redrive_id, resend=True, patience_s=30)
    # What is taken back to be sent again may be published from the message that was sent before.
    assert (status.state, status.succeeded + status.gone) == (RedriveState.DONE, 400)
    assert published_ids(client) == sorted(letter.letter_id for letter in letters)
    assert read_balance(client).balanced
    assert not client.exists(keys.IN_REDRIVE, keys.of_redrive(redrive_id)["unconfirmed"])


def _run_and_kill(client: redis.Redis, redrive_id: str, environment: dict[str, str], *, sent: int) -> None:
    command = [*COMMAND, "dead", "redrive", "--resume", redrive_id, "--json"]
    process = subprocess.Popen(command, env=clean_environment(environment), stdout=subprocess.DEVNULL)
    wait_until(lambda: int(client.hget(keys.redrive(redrive_id), "sent") or 0) >= sent, what="some are sent")
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    client.hset(keys.redrive(redrive_id), mapping={"lease_ends": 0, "owner": ""})  # instead of waiting for its end


def test_what_was_marked_and_never_sent_is_sent_on_request(environment, client, settings, replays, tmp_path) -> None:
    """As after kill -9 between the mark and the broker's confirmation."""
    bury(client, settings, [a_letter() for _ in range(30)])
    nowhere = Settings(broker_url="amqp://guest:guest@127.0.0.1:1//", redis_url=settings.redis_url)
    redrive_id = replays.begin(ALL)
    with pytest.raises(BrokerUnavailableError):
        Redrives(store_of(client, nowhere), nowhere, registry).run(redrive_id)
    status = replays.status(redrive_id)
    assert status is not None
    assert (status.under_way, client.scard(keys.of_redrive(redrive_id)["unconfirmed"])) == (30, 30)
    with running_worker(tmp_path, environment):
        assert replays.run(redrive_id, patience_s=0.5).state is RedriveState.STALLED
        status = replays.run(redrive_id, resend=True, patience_s=30)
    assert (status.state, status.sent, status.succeeded) == (RedriveState.DONE, 30, 30)
    assert not client.exists(keys.IN_REDRIVE, keys.of_redrive(redrive_id)["unconfirmed"])


def test_without_a_worker_a_few_messages_stand_on_the_queue_and_the_rest_is_not_sent(client, settings, replays) -> None:
    bury(client, settings, [a_letter() for _ in range(250)])
    begun = time.monotonic()
    status = replays.run(replays.begin(ALL), patience_s=0.5)
    assert (status.state, status.pending) == (RedriveState.STALLED, 250 - status.under_way)
    # As many again for each second of silence, which a busy machine may make out of half a one.
    messages, more = divmod(status.under_way, WINDOW_MIN)
    assert (more, 1 <= messages <= 1 + time.monotonic() - begun) == (0, True)
    wait_until(lambda: read_depths(settings, [QUEUE])[QUEUE] == messages, what="one message of each stands there")
    assert not client.exists(keys.of_redrive(status.redrive_id)["unconfirmed"])
