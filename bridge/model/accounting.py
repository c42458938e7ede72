"""The accounting: every accepted event is in one place, or counted under how it ended; pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Where the accepted events are, at one moment. In events, unless said otherwise."""

    accepted: int  # handed to the broker by producers, as often as they were emitted
    unbooked: int  # published without an accept record: the accounting did not have them (any more)
    # Late failures: two workers ran one message at once, and one failed after the other had ended it. They wait, are
    # dead, or were discarded or evicted as dead.
    stray: int
    open: int  # on their way: on a queue or claimed by a worker
    retrying: int  # wait for their next attempt, or are in it
    dead: int  # in dead letters
    published: int  # stand in a stream for the first time
    duplicate: int  # had been published, waited or were dead-lettered before; nothing changed
    skipped: int  # had no recipient
    discarded: int  # dead letters that a person discarded
    evicted: int  # dead letters that the bounds pushed out
    written_off: int  # were missing, and a person wrote them off
    # Were accepted, and Redis forgot them: a replica that lagged behind became the master, or an older state was
    # restored. Some may have reached their clients before; those that workers held and ended all the same are not among
    # them. A lower bound: what others handed over since hides as many.
    set_back: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int], *, retrying: int, letters: int) -> "Balance":
        """The balance of what was counted.

        Args:
            counts: what happened → how often; absent: never.
            retrying: events in the retry set.
            letters: dead letters, each counted once however many events it stands for.
        """
        counted = defaultdict(int, counts)
        # A worker that held an event while Redis was set back has ended it all the same, out of nowhere.
        arrived = min(counted["unbooked"], counted["set_back"])

        return cls(
            accepted=counted["accepted"],
            unbooked=counted["unbooked"] - arrived,
            stray=counted["stray"],
            open=counted["open"],
            retrying=retrying,
            dead=letters + counted["dead_bundled"],
            published=counted["published"],
            duplicate=counted["duplicate"],
            skipped=counted["skipped"],
            discarded=counted["discarded"],
            evicted=counted["dead_evicted"],
            written_off=counted["written_off"],
            set_back=counted["set_back"] - arrived,
        )

    @property
    def ended(self) -> int:
        """Events of which nothing more will come by itself."""
        by_themselves = self.published + self.duplicate + self.skipped
        return by_themselves + self.discarded + self.evicted + self.written_off + self.set_back

    @property
    def difference(self) -> int:
        """What cannot be accounted for; 0 when the accounting balances."""
        return self.accepted + self.unbooked + self.stray - self.open - self.retrying - self.dead - self.ended

    @property
    def balanced(self) -> bool:
        """Whether every accepted event is accounted for, and none published without an accept record."""
        return not self.difference and not self.unbooked


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenMessage:
    """A message that was accepted, and of which some events have not ended yet."""

    message_id: str  # of the message in the accounting
    accepted_ms: int  # when it was entered, in ms of Redis time
    task: str
    queue: str
    event_ids: tuple[UUID, ...]  # which of its events have not ended; an id twice if the event was emitted twice


class Summary(NamedTuple):
    """An open message without its events' ids: when it was accepted (ms of Redis time), and how many there are."""

    message_id: str
    accepted_ms: int
    queue: str
    events: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recent:
    """How events ended in the last minute or so."""

    seconds: float = 0.0  # since the sample that it is compared with; 0 if there is none
    ended: int = 0  # events that ended well or died
    dead: int = 0  # those that died
    letters: int = 0  # in how many letters; one may hold several events
    since_ms: int = 0  # when that sample was taken, in ms of Redis time

    def remaining(self, letters: int) -> "Recent":
        """The same, but for deaths that were mended meanwhile: only so many of the letters are there still."""
        if letters >= self.letters:
            return self
        return replace(self, dead=round(self.dead * letters / self.letters), letters=letters)

    @property
    def dead_share(self) -> float:
        """Part of the ended events that died, 0 to 1."""
        return self.dead / self.ended if self.ended else 0.0
