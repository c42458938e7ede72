"""A bad network between producer, worker and Redis: cut, slow, one-way, held back, refused; nothing lost or doubled."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec

from bridge import Emitter
from bridge.embedded.server import EmbeddedServer
from bridge.store import Counts, connect
from tests.fault.load import LONG, USERS, Producing, environment_for, expect_clean, expect_progress, settings_for
from tests.support.moody_catalog import registry
from tests.support.proxy import Proxy, Way
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

BACK_WITHIN_S = 40.0
"""A connection that lost bytes is noticed by kombu's check of a claim's answer: after 11 s, looking each 10 s."""

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


def _with_faults(proxies: list[Proxy], number: int, dice: random.Random) -> list[str]:
    """One fault after another, each on one of the lines or on both, healed after a moment; their names."""
    names = [name for _ in range(-(-number // len(FAULTS))) for name in dice.sample(sorted(FAULTS), len(FAULTS))]
    for name in names[:number]:
        struck = dice.choice([[proxies[0]], [proxies[-1]], proxies])
        for proxy in struck:
            FAULTS[name](proxy, dice)
        time.sleep(0.1 + dice.random() * 0.9)
        for proxy in struck:
            proxy.heal()
        time.sleep(dice.random() * 0.3)
    return names[:number]


def test_a_bad_network_loses_and_doubles_nothing(tmp_path: Path, scale: float, dice: random.Random) -> None:
    number = max(8, int(8 * scale))
    with (
        EmbeddedServer() as server,
        Proxy(server.port, dice) as to_producer,
        Proxy(server.port, dice) as to_worker,
    ):
        settings = settings_for(server.url)
        through = msgspec.structs.replace(settings, broker_url=f"redis://127.0.0.1:{to_producer.port}/0")
        environment = environment_for(settings, tmp_path)
        environment["BRIDGE_BROKER_URL"] = f"redis://127.0.0.1:{to_worker.port}/0"
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(through, registry)
        client = connect(settings)
        with running_worker(tmp_path, environment, "--concurrency=2") as worker:
            with Producing(emitter, 1, users, dice) as producing:
                names = _with_faults([to_producer, to_worker], number, dice)
                back_s = expect_progress(Counts(client), timeout_s=BACK_WITHIN_S)
            assert emitter.flush(30)
            verdict = expect_clean(settings, users, producing.ids)
            wait_until(lambda: not client.exists("unacked", "bridge.moods"), timeout_s=30, what="all is acknowledged")
            assert worker.process.poll() is None
            assert verdict.dead == 0, "a bad network is nobody's fault"
        print(
            f"{number} faults ({', '.join(names[:8])}): {verdict}; published again after {back_s:.1f} s; "
            f"{to_producer.connections} + {to_worker.connections} connections; "
            f"slowest call with up to 40 events: {producing.slowest_s * 1e3:.1f} ms; {Counts(client).read()}"
        )
        emitter.close()
        client.close()


@LONG
def test_a_worker_whose_line_went_dead_without_a_word_comes_back(tmp_path: Path, dice: random.Random) -> None:
    with EmbeddedServer() as server, Proxy(server.port, dice) as proxy:
        settings = settings_for(server.url)
        environment = environment_for(settings, tmp_path)
        environment["BRIDGE_BROKER_URL"] = f"redis://127.0.0.1:{proxy.port}/0"
        users = [uuid4() for _ in range(USERS)]
        emitter = Emitter(settings, registry)
        client = connect(settings)
        with running_worker(tmp_path, environment) as worker:
            with Producing(emitter, 100, users, dice, pause_s=0.2) as producing:
                expect_progress(Counts(client))
                proxy.swallow(dice.choice(list(Way)))
                back_s = expect_progress(Counts(client), timeout_s=BACK_WITHIN_S)
            assert emitter.flush(30)
            verdict = expect_clean(settings, users, producing.ids, timeout_s=BACK_WITHIN_S)
            assert worker.process.poll() is None
        print(f"the worker's line dead: {verdict}; published again after {back_s:.1f} s")
        emitter.close()
        client.close()
