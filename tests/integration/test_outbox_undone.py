"""What a broker surely did not take is told from what it may have taken, which sent again may be there twice."""

import random
from collections.abc import Callable
from uuid import uuid4

import pytest

from bridge import Settings
from bridge.catalogs.finance import REGISTRY
from bridge.messages import TaskMessage
from bridge.model.errors import BrokerError
from bridge.ports import Queue
from bridge.wiring import open_queue
from tests.support.own_redis import RedisServer, running_redis
from tests.support.proxy import Proxy, Way
from tests.support.telling import QUEUE, TASK


def message() -> TaskMessage:
    return TaskMessage(task=TASK, queue=QUEUE, envelopes=[b"{}"], event_ids=uuid4().bytes)


def fill(server: RedisServer) -> None:
    server.client().config_set("maxmemory", 1)


def kill(server: RedisServer) -> None:
    server.process.kill()
    server.process.wait()


def refusal(queue: Queue, messages: int = 1) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        queue.send([message() for _ in range(messages)])
    return caught.value


@pytest.mark.parametrize("break_", [fill, kill])
def test_what_a_redis_refuses_whole_is_undone(break_: Callable[[RedisServer], None]) -> None:
    with running_redis() as server:
        queue = open_queue(Settings(broker_url=server.url), REGISTRY)
        queue.send([message()])
        queue.close()
        break_(server)
        assert refusal(queue).undone
        queue.close()


def test_what_went_out_in_several_calls_may_have_arrived_in_part() -> None:
    with running_redis() as server:
        queue = open_queue(Settings(broker_url=server.url), REGISTRY)
        queue.send([message()])
        fill(server)
        assert not refusal(queue, messages=101).undone
        queue.close()


def test_what_is_not_answered_may_have_arrived(redis_url: str) -> None:
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    with Proxy(port, random.Random(1)) as proxy:
        queue = open_queue(Settings(broker_url=f"redis://127.0.0.1:{proxy.port}/0"), REGISTRY)
        queue.send([message()])
        proxy.swallow(Way.TO_CLIENT)
        assert not refusal(queue).undone
        queue.close()
