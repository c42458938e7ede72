"""The one oracle of the fault suite: what was accepted = published + skipped + dead, each published once."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import redis

from bridge import Settings, User
from bridge.model.accounting import Balance
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, RetrySet, read_balance
from bridge.redis_adapter.client import text
from bridge.redis_adapter.settler import SKIPPED_MAX
from tests.support import keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the accounting says of the accepted events.

    Attributes:
        accepted: how many there were.
        published: how many stand in a stream.
        skipped: how many were for nobody, and were counted so.
        dead: how many are dead letters.
        lost: ids that are nowhere.
        twice: ids that stand in a stream more than once.
        unsent: ids in a stream that nobody accepted.
        waiting: how many are still retried.
        balance: the bridge's own accounting.
    """

    accepted: int
    published: int
    skipped: int
    dead: int
    lost: frozenset[str]
    twice: frozenset[str]
    unsent: frozenset[str]
    waiting: int
    balance: Balance

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled or made up, and the bridge's own accounting says the same."""
        in_order = self.balance.balanced and not self.balance.open
        return in_order and not (self.lost or self.twice or self.unsent or self.waiting)

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted = {self.published} published + {self.skipped} skipped + {self.dead} dead; "
            f"{len(self.lost)} lost, {len(self.twice)} twice, {len(self.unsent)} never sent, {self.waiting} waiting; "
            f"the accounting: {self.balance}"
        )


def judge(
    client: redis.Redis,
    settings: Settings,
    users: Collection[UUID],
    accepted: Collection[str],
    for_nobody: Collection[str] = (),
) -> Verdict:
    """Compare the ids that ``emit`` accepted with what stands in the streams and the dead letters.

    Args:
        client: of the store.
        settings: of the store.
        users: whose streams to read.
        accepted: by ``emit``.
        for_nobody: those of the accepted that must end skipped; the bridge remembers the newest 10,000 of them.
    """
    published: Counter[str] = Counter()
    for user_id in users:
        for _, fields in client.xrange(keys.stream(User(user_id))):
            published[text(fields[b"event_id"])] += 1
    dead = {letter.letter_id for letter in every_letter(DeadLetters(client, settings))}
    sent = set(accepted)
    balance = read_balance(client)
    remembered = {text(event_id) for event_id in client.zrange(keys.SKIPPED, 0, -1)}
    all_counted = len(for_nobody) >= SKIPPED_MAX and balance.skipped == len(for_nobody)
    skipped = set(for_nobody) if all_counted else remembered.intersection(for_nobody)
    return Verdict(
        accepted=len(sent),
        published=len(published),
        skipped=len(skipped),
        dead=len(dead),
        lost=frozenset(sent - published.keys() - dead - skipped),
        twice=frozenset(event_id for event_id, times in published.items() if times > 1),
        unsent=frozenset(published.keys() - (sent - set(for_nobody))),
        waiting=RetrySet(client, settings).count(),
        balance=balance,
    )
