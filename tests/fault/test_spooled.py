"""Redis stands still, and the producer is killed meanwhile: what it had accepted is sent by the next process."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

from bridge import Settings
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from tests.fault.load import environment_for, settings_for
from tests.fault.oracle import Verdict, judge
from tests.support.counts import Counts
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT, clean_environment, running_worker

ON_DISK_WITHIN_S = 0.5
"""An accepted event is on disk after this time, however busy the machine: it takes a few ms."""
PAUSE_S = "0.0005"


def test_what_a_killed_producer_had_spooled_is_sent_once(tmp_path: Path, scale: float, dice: random.Random) -> None:
    freeze_s = min(30.0, 3.0 * scale)
    kills = max(2, int(2 * scale))
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        environment = {**environment_for(settings, tmp_path), "BRIDGE_SPOOL_DIR": str(tmp_path / "spool")}
        user = uuid4()
        emitted: dict[str, float] = {}
        endangered: set[str] = set()
        client = connect(settings)
        with running_worker(tmp_path, environment):
            assert server.pid is not None
            for number in range(kills):
                producer = _Producer(tmp_path / f"producer-{number}.log", environment, user)
                wait_until(producer.emitted, what="it emits")
                time.sleep(dice.random() * 0.5)
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    time.sleep(dice.random() * freeze_s)
                    killed_at = producer.kill()
                    time.sleep(dice.random() * freeze_s)
                finally:
                    os.kill(server.pid, signal.SIGCONT)
                mine = producer.emitted()
                emitted |= mine
                endangered |= {event_id for event_id, at in mine.items() if at > killed_at - ON_DISK_WITHIN_S}
            heir = _Producer(tmp_path / "heir.log", environment, user, number=100)
            assert heir.process.wait(PROCESS_TIMEOUT_S) == 0
            emitted |= heir.emitted()
            verdict = _expect_all_but(settings, user, emitted, endangered)
            wait_until(lambda: not list((tmp_path / "spool").iterdir()), what="the spool is empty")
        print(
            f"{kills} producers killed while Redis stood still: {verdict}; "
            f"{len(verdict.lost)} of {len(endangered)} emitted in the last {ON_DISK_WITHIN_S} s were not on disk; "
            f"{Counts(client).read()}"
        )
        client.close()


def _expect_all_but(settings: Settings, user: UUID, emitted: dict[str, float], endangered: set[str]) -> Verdict:
    """Wait until at most the endangered are lost, and all else is in order."""
    client = connect(settings)

    def in_order() -> bool:
        verdict = judge(client, settings, [user], emitted)
        return not (verdict.lost - endangered or verdict.twice or verdict.unsent or verdict.waiting)

    try:
        wait_until(in_order, what="what was on disk is published")
        return judge(client, settings, [user], emitted)
    finally:
        client.close()


class _Producer:
    """A process of its own, and what it says it emitted."""

    def __init__(self, log: Path, environment: dict[str, str], user: UUID, number: int = 1_000_000) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.spooling_producer", str(user), PAUSE_S, str(number)],
                cwd=ROOT,
                env={**clean_environment(), **environment},
                stdout=output,
            )

    def emitted(self) -> dict[str, float]:
        """Event id → monotonic time, of each whole line."""
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return {line[1]: float(line[0]) for line in lines if len(line) == 2 and len(line[1]) == 36}

    def kill(self) -> float:
        """kill -9; the time just before it."""
        at = time.monotonic()
        self.process.kill()
        self.process.wait()
        return at
