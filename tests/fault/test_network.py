"""A bad network between producer, worker and Redis: cut, slow, one-way, held back, refused; nothing lost or doubled."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from bridge import Emitter, Settings
from bridge.redis_adapter import connect
from tests.fault.load import USERS, Producing, environment_for, expect_clean, expect_progress, settings_for
from tests.support.counts import Counts
from tests.support.moody_catalog import registry
from tests.support.proxy import Proxy, Way
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

BACK_WITHIN_S = 40.0
"""On Redis: kombu's check of a claim's answer, after 11 s and each 10 s."""
HEARTBEAT_S = {"bounded": 8, "as it is": 120}
"""AMQP's, by which a worker notices that its line to RabbitMQ is dead: when the second is missed."""

FAULTS: dict[str, Callable[[Proxy, random.Random], None]] = {
    "cut": lambda proxy, _: proxy.cut(),
    "cut mid-reply": lambda proxy, dice: proxy.cut_mid_reply(dice.randrange(1, 400)),
    "jitter": lambda proxy, dice: proxy.slow(0.0, dice.choice([0.005, 0.05, 0.3])),
    "replies lost": lambda proxy, _: proxy.swallow(Way.TO_CLIENT),
    "commands lost": lambda proxy, _: proxy.swallow(Way.TO_SERVER),
    "replies late": lambda proxy, _: proxy.hold(Way.TO_CLIENT),
    "commands late": lambda proxy, _: proxy.hold(Way.TO_SERVER),
    "refused": lambda proxy, _: proxy.refuse(),
}


RABBITMQ_FAULTS = ("cut", "cut mid-reply", "jitter", "refused")
"""A line to RabbitMQ that lost bytes is noticed by AMQP's heartbeats only, after minutes: see the test below."""


def _with_faults(proxies: list[Proxy], kinds: Sequence[str], number: int, dice: random.Random) -> list[str]:
    """One fault after another, each on one of the lines or on both, healed after a moment; their names."""
    names = [name for _ in range(-(-number // len(kinds))) for name in dice.sample(kinds, len(kinds))][:number]
    for name in names:
        struck = dice.choice([[proxies[0]], [proxies[-1]], proxies])
        for proxy in struck:
            FAULTS[name](proxy, dice)
        time.sleep(0.1 + dice.random() * 0.9)
        for proxy in struck:
            proxy.heal()
        time.sleep(dice.random() * 0.3)
    # Lines that went dead come back by themselves, but late: see the test below.
    for proxy in proxies:
        proxy.cut()
    return names


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_bad_network_loses_and_doubles_nothing(
    servers: tuple[str, str], tmp_path: Path, scale: float, dice: random.Random, broker: str
) -> None:
    number = max(8, int(8 * scale))
    settings = settings_for(*servers)
    port = urlsplit(settings.broker_url).port or 0
    with Proxy(port, dice) as to_producer, Proxy(port, dice) as to_worker:
        kinds = sorted(FAULTS) if broker == "redis" else RABBITMQ_FAULTS
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(_through(to_producer, settings), registry)
        client = connect(settings)
        environment = environment_for(_through(to_worker, settings), tmp_path)
        with running_worker(tmp_path, environment, "--concurrency=2") as worker:
            with Producing(emitter, 1, users, dice) as producing:
                names = _with_faults([to_producer, to_worker], kinds, number, dice)
                back_s = expect_progress(Counts(client), timeout_s=BACK_WITHIN_S)
            assert emitter.flush(WAIT_S)
            verdict = expect_clean(settings, users, producing.ids)
            wait_until(lambda: not client.exists("unacked", "bridge.moods"), what="all acknowledged")
            assert worker.process.poll() is None
            assert verdict.dead == 0, "a bad network is nobody's fault"
        print(
            f"{number} faults ({', '.join(names[:8])}): {verdict}; published again after {back_s:.1f} s; "
            f"{to_producer.connections} + {to_worker.connections} connections; "
            f"slowest call with up to 40 events: {producing.slowest_s * 1e3:.1f} ms; {Counts(client).read()}"
        )
        emitter.close()
        client.close()


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_worker_whose_line_went_dead_without_a_word_comes_back(
    servers: tuple[str, str], tmp_path: Path, scale: float, dice: random.Random, broker: str
) -> None:
    heartbeat_s = HEARTBEAT_S["bounded" if scale < 2 else "as it is"]
    within_s = BACK_WITHIN_S if broker == "redis" else 3 * heartbeat_s + 10
    settings = settings_for(*servers)
    with Proxy(urlsplit(settings.broker_url).port or 0, dice) as proxy:
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        environment = {**environment_for(_through(proxy, settings), tmp_path), "HEARTBEAT_S": str(heartbeat_s)}
        with running_worker(tmp_path, environment, app="tests.support.heartbeat_app") as worker:
            with Producing(emitter, 100, users, dice, pause_s=0.2) as producing:
                expect_progress(Counts(client))
                way = dice.choice(list(Way))
                proxy.swallow(way)
                # What the worker has already got, it still publishes.
                time.sleep(1)
                back_s = expect_progress(Counts(client), timeout_s=within_s)
            assert emitter.flush(WAIT_S)
            verdict = expect_clean(settings, users, producing.ids)
            assert worker.process.poll() is None
        print(f"the worker's line to {broker} lost all {way.value}: {verdict}; published again after {back_s:.1f} s")
        emitter.close()
        client.close()


def _through(proxy: Proxy, settings: Settings) -> Settings:
    """The same settings, but for the way to the broker; also the way to the store, where they are one."""
    port = urlsplit(settings.broker_url).port
    url = settings.broker_url.replace(f":{port}", f":{proxy.port}")
    store_url = url if settings.redis_url == settings.broker_url else settings.redis_url
    return dataclasses.replace(settings, broker_url=url, redis_url=store_url)
