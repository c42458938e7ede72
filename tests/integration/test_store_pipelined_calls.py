"""A script call whose answer is read later: nothing is mixed up, whatever happens in between."""

import os
import signal
from collections.abc import Sequence

import pytest
import redis

from bridge.local.redis_server import EmbeddedServer
from bridge.model.errors import StoreUnavailableError
from bridge.model.publishing import Delivery
from bridge.redis_adapter import PendingPublish, connect
from bridge.redis_adapter.script import Call, PipelinedScriptCall, Script
from bridge.settings import Settings
from tests.support.addressed_events import direct, several
from tests.support.settling import Settler


@pytest.fixture
def echo(client: redis.Redis) -> Script:
    script = Script("return ARGV[1]")
    client.script_load(script.text)
    return script


def sent(client: redis.Redis, script: Script, *words: str) -> PipelinedScriptCall:
    call = PipelinedScriptCall(script, client, Call([], words))
    call.send()
    return call


def begun(settler: Settler, deliveries: Sequence[Delivery]) -> PendingPublish:
    settling = settler.prepare(deliveries)
    settling.begin()
    return settling


def in_use(client: redis.Redis) -> int:
    return len(client.connection_pool._in_use_connections)


def test_the_answer_is_that_of_the_call_and_other_commands_may_come_first(client: redis.Redis, echo: Script) -> None:
    call = sent(client, echo, "first")
    assert client.ping()
    another = sent(client, echo, "second")
    assert (another.answer(), call.answer()) == (b"second", b"first")
    assert in_use(client) == 0


def test_a_call_that_is_abandoned_leaves_no_answer_for_the_next_one(client: redis.Redis, echo: Script) -> None:
    call = sent(client, echo, "nobody reads this")
    call.abandon()
    call.abandon()
    assert in_use(client) == 0
    assert sent(client, echo, "next").answer() == b"next"


def test_a_script_that_the_server_forgot_is_loaded_and_called(client: redis.Redis, echo: Script) -> None:
    client.script_flush()
    assert sent(client, echo, "again").answer() == b"again"


def test_an_error_of_the_script_is_raised_and_the_connection_goes_on(client: redis.Redis) -> None:
    broken = Script("return redis.error_reply('BROKEN it is')")
    client.script_load(broken.text)
    with pytest.raises(redis.ResponseError, match="BROKEN"):
        sent(client, broken).answer()
    assert in_use(client) == 0
    assert client.ping()


def test_a_server_that_dies_before_it_answers_is_an_error() -> None:
    with EmbeddedServer() as server, connect(Settings(broker_url=server.url)) as client:
        settler = Settler(client, Settings(broker_url=server.url))
        batch = direct(several(3))
        settler.settle(direct(several(1)))
        os.kill(server.pid or 0, signal.SIGSTOP)
        settling = begun(settler, batch)
        server.kill()
        with pytest.raises(StoreUnavailableError):
            settling.unpublished()
        with pytest.raises(StoreUnavailableError):
            begun(settler, batch)
        assert in_use(client) == 0


def test_settling_in_two_steps_may_be_given_up_between_them(client: redis.Redis, settings: Settings) -> None:
    settler = Settler(client, settings)
    settling = begun(settler, direct(several(600)))
    settling.abandon()
    settling.abandon()
    batch = direct(several(600))
    settling = begun(settler, batch)
    assert settling.unpublished() == {}
    settling.abandon()
    assert in_use(client) == 0
    assert {receipt.status.value for receipt in settler.settle(batch)} == {"duplicate"}


def test_nothing_is_asked_before_it_begins(client: redis.Redis, settings: Settings) -> None:
    settler = Settler(client, settings)
    batch = direct(several(3))
    first = settler.prepare(batch)
    assert {receipt.status.value for receipt in settler.settle(batch)} == {"published"}
    first.abandon()
    assert in_use(client) == 0


def test_a_call_that_is_not_sent_leaves_no_connection_behind(client: redis.Redis, echo: Script) -> None:
    PipelinedScriptCall(echo, client, Call([], ["never sent"]))
    assert in_use(client) == 0


def test_a_call_that_nobody_keeps_leaves_no_connection_behind(client: redis.Redis, echo: Script) -> None:
    sent(client, echo, "nobody keeps this")
    assert in_use(client) == 0
    assert sent(client, echo, "next").answer() == b"next"
