"""The one oracle of the fault suite: what was accepted = published + skipped + dead, each published once."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import redis

from bridge import Settings
from bridge.store import DeadLetters, RetrySet, keys
from bridge.store.client import text


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the books say of the accepted events.

    Attributes:
        accepted: how many there were.
        published: how many stand in a stream.
        dead: how many are dead letters.
        lost: ids that are nowhere.
        twice: ids that stand in a stream more than once.
        unsent: ids in a stream that nobody accepted.
        waiting: how many are still retried.
    """

    accepted: int
    published: int
    dead: int
    lost: frozenset[str]
    twice: frozenset[str]
    unsent: frozenset[str]
    waiting: int

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled or made up."""
        return not (self.lost or self.twice or self.unsent or self.waiting)

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted = {self.published} published + {self.dead} dead; {len(self.lost)} lost, "
            f"{len(self.twice)} twice, {len(self.unsent)} never sent, {self.waiting} waiting"
        )


def judge(client: redis.Redis, settings: Settings, users: Collection[UUID], accepted: Collection[str]) -> Verdict:
    """Compare the ids that ``emit`` accepted with what stands in the streams and the dead letters."""
    published: Counter[str] = Counter()
    for user_id in users:
        for _, fields in client.xrange(keys.user_stream(user_id)):
            published[text(fields[b"event_id"])] += 1
    dead = {letter.letter_id for letter in DeadLetters(client, settings).newest_first()}
    sent = set(accepted)
    return Verdict(
        accepted=len(sent),
        published=len(published),
        dead=len(dead),
        lost=frozenset(sent - published.keys() - dead),
        twice=frozenset(event_id for event_id, times in published.items() if times > 1),
        unsent=frozenset(published.keys() - sent),
        waiting=RetrySet(client, settings).count(),
    )
