"""Sentinels of one's own that watch a master, on free ports and in a folder that goes away with them."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from bridge.local.redis_server import find_server, free_port
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

MASTER = "events"
"""What the sentinels call the master."""
DOWN_AFTER_MS = 1_000
"""A master that was silent for this long is down."""
FAILOVER_TIMEOUT_MS = 5_000


class Sentinels:
    """One or more sentinels; most of them must agree."""

    def __init__(self, ports: list[int], password: str = "") -> None:
        self.ports = ports
        self._password = password
        self.url = ";".join(f"sentinel://127.0.0.1:{port}" for port in ports)

    def master_ports(self) -> set[int]:
        """Whom each sentinel calls the master; -1 if it knows none."""
        return {_master_port(port, self._password) for port in self.ports}

    def know_replicas(self, number: int) -> bool:
        """Whether every sentinel knows so many replicas that are well, and all others of its kind."""
        others = len(self.ports) - 1
        return all((self._well(port), len(self._ask(port, "SENTINELS"))) == (number, others) for port in self.ports)

    def _well(self, port: int) -> int:
        known = self._ask(port, "REPLICAS")
        return sum(one["flags"] == "slave" and one["master-link-status"] == "ok" for one in known)

    def _ask(self, port: int, what: str) -> list[dict[str, str]]:
        with redis.Redis(port=port, password=self._password or None, decode_responses=True) as client:
            found = client.execute_command("SENTINEL", what, MASTER)
        return [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True)) for one in found]


@contextmanager
def running_sentinels(
    folder: Path, master_port: int, number: int = 1, *, master_password: str = "", password: str = ""
) -> Iterator[Sentinels]:
    """Sentinels that know the master."""
    sentinels = Sentinels([free_port() for _ in range(number)], password)
    secrets = f"sentinel auth-pass {MASTER} {master_password}\n" if master_password else ""
    secrets += f"requirepass {password}\nsentinel sentinel-pass {password}\n" if password else ""
    quorum = number // 2 + 1
    with ExitStack() as stack:
        for port in sentinels.ports:
            stack.enter_context(_running(folder / f"sentinel-{port}", port, master_port, quorum, secrets))
        wait_until(lambda: sentinels.master_ports() == {master_port}, what="the sentinels know the master")
        yield sentinels


@contextmanager
def _running(folder: Path, port: int, master_port: int, quorum: int, secrets: str) -> Iterator[None]:
    folder.mkdir()
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {MASTER} 127.0.0.1 {master_port} {quorum}\n"
        f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n"
        f"sentinel failover-timeout {MASTER} {FAILOVER_TIMEOUT_MS}\n"
        f"{secrets}"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(find_server()), str(configuration), "--sentinel"], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PROCESS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _master_port(port: int, password: str) -> int:
    with redis.Redis(port=port, password=password or None, decode_responses=True) as client:
        try:
            address = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        except redis.RedisError:
            return -1
    return int(address[1]) if address else -1
