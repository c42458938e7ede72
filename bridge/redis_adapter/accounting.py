"""The balance: every accepted event is in one place, or counted under how it ended."""

from dataclasses import dataclass

import redis

from bridge.redis_adapter.client import keyspace_of
from bridge.redis_adapter.read_only_script import as_hash, look


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Where the accepted events are, at one moment. In events, unless said otherwise.

    Attributes:
        accepted: handed to the broker by producers, as often as they were emitted.
        unbooked: came out of nowhere: published, and the books did not have them (any more).
        stray: failed when the books did not have them (any more): two workers ran one message at once, and the other
            had ended it. They wait, are dead, or were discarded or evicted as dead.
        open: on their way: on a queue or in a worker's hands.
        retrying: wait for their next attempt, or are in it.
        dead: in dead letters.
        published: stand in a stream for the first time.
        duplicate: had been published, waited or were buried before; nothing changed.
        skipped: had nobody to tell.
        discarded: dead letters that a person discarded.
        evicted: dead letters that the bounds pushed out.
        written_off: were missing, and a person wrote them off.
        set_back: were accepted, and Redis forgot them: a replica that lagged behind became the master, or an older
            state was restored. Some may have reached their clients before; those that workers held and ended all the
            same are not among them. A lower bound: what others handed over since hides as many.
    """

    accepted: int
    unbooked: int
    stray: int
    open: int
    retrying: int
    dead: int
    published: int
    duplicate: int
    skipped: int
    discarded: int
    evicted: int
    written_off: int
    set_back: int = 0

    @property
    def ended(self) -> int:
        """Events of which nothing more will come by itself."""
        return (
            self.published
            + self.duplicate
            + self.skipped
            + self.discarded
            + self.evicted
            + self.written_off
            + self.set_back
        )

    @property
    def difference(self) -> int:
        """What cannot be accounted for; 0 when the books balance."""
        return self.accepted + self.unbooked + self.stray - self.open - self.retrying - self.dead - self.ended

    @property
    def balanced(self) -> bool:
        """Whether every accepted event is accounted for, and none came out of nowhere."""
        return not self.difference and not self.unbooked


def read_balance(client: redis.Redis) -> Balance:
    """Read the books in one moment.

    Raises:
        StoreUnavailableError: Redis is away.
    """
    keys = keyspace_of(client)
    raw, retrying, letters = look(
        client, ("HGETALL", keys.COUNTS), ("HLEN", keys.RETRY_RECORDS), ("HLEN", keys.DEAD_LETTERS)
    )
    counts = {name: int(value) for name, value in as_hash(raw).items()}

    def of(name: str) -> int:
        return counts.get(name, 0)

    # A worker that held an event while Redis was set back has ended it all the same, out of nowhere.
    arrived = min(of("unbooked"), of("set_back"))

    return Balance(
        accepted=of("accepted"),
        unbooked=of("unbooked") - arrived,
        stray=of("stray"),
        open=of("open"),
        retrying=retrying,
        dead=letters + of("dead_bundled"),
        published=of("published"),
        duplicate=of("duplicate"),
        skipped=of("skipped"),
        discarded=of("discarded"),
        evicted=of("dead_evicted"),
        written_off=of("written_off"),
        set_back=of("set_back") - arrived,
    )
