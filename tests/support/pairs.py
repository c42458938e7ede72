"""A Redis and its replica, and what an operator does with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.own_redis import RedisServer, running_redis
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Pair:
    """A master, and its replica that is in step."""

    old: RedisServer
    new: RedisServer

    def hold_in_step(self) -> None:
        """Have the new one know all that the old one does: who writes is kept waiting from now on."""
        with self.old.client() as old, self.new.client() as new:
            old.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            wait_until(
                lambda: old.info("replication")["master_repl_offset"] == new.info("replication")["slave_repl_offset"],
                what="it is in step",
            )

    def promote(self) -> None:
        """Make the new one a master. Whoever writes to the old one is kept waiting, until that is demoted."""
        self.hold_in_step()
        with self.new.client() as new:
            new.execute_command("REPLICAOF", "NO", "ONE")

    def part(self) -> None:
        """Make the new one a master, while the old one stays one: what that takes now, the new one never has."""
        self.promote()
        with self.old.client() as old:
            old.execute_command("CLIENT", "UNPAUSE")

    def lose(self, events: int) -> None:
        """Have the old one accept so many events more: the new one has none of them."""
        with self.old.client() as old:
            accepted = int(old.hget("bridge:counts", "accepted") or 0)
            wait_until(
                lambda: int(old.hget("bridge:counts", "accepted") or 0) >= accepted + events, what="more was accepted"
            )

    def demote(self) -> None:
        """Have the old one follow the new one, whose memory takes the place of its own."""
        with self.old.client() as old:
            old.execute_command("REPLICAOF", "127.0.0.1", self.new.port)
            old.execute_command("CLIENT", "UNPAUSE")


@contextmanager
def running_pair() -> Iterator[Pair]:
    """Both, in step."""
    fast = ("--repl-diskless-sync-delay", "0")
    with running_redis(*fast) as old, running_redis(*fast, "--replicaof", f"127.0.0.1 {old.port}") as new:
        with new.client() as client:
            wait_until(lambda: client.info("replication").get("master_link_status") == "up", what="it is in step")
        yield Pair(old, new)
