"""Every Redis key and channel of the bridge. A user's keys share a hash tag, so a cluster keeps them in one slot."""

from typing import Final
from uuid import UUID

BROADCAST_CHANNEL: Final = "sse:broadcast"
BROADCAST_STREAM: Final = "sse:stream:broadcast"
USER_CHANNEL: Final = "sse:user:{%s}"
USER_STREAM: Final = "sse:stream:user:{%s}"
SEEN: Final = "sse:seen:{%s}:"
"""Before the event id; for a user, or for the broadcast stream."""

POSITION: Final = "sse:position"
"""The newest position handed out: a clock that never runs backwards, shared by all streams."""
BEGAN: Final = "sse:position:began"
"""Where the order began. After a loss of Redis' memory it begins anew, and no older position can be vouched for."""
BROADCAST_TIP: Final = "sse:position:broadcast"
"""Position of the newest broadcast; outlives the stream, so that a reader knows whether it missed one."""

COUNTS: Final = "bridge:counts"
"""Hash: what happened → how often, since the beginning."""
METRICS: Final = "bridge:metrics"
"""Hash: ``<what happened>:<event type>`` → how often; and the buckets of histograms."""
OPEN: Final = "bridge:open"
"""Hash: id of a message on its way → ``<accepted at, in ms> <task> <queue>\\n`` and its events' ids, 16 bytes each."""
SKIPPED: Final = "bridge:skipped"
"""Sorted set: the newest events that had nobody to tell → when, in ms of Redis time."""
RETRY_DUE: Final = "bridge:retry:due"
"""Sorted set: event id → when it is due, in ms of Redis time."""
RETRY_RECORDS: Final = "bridge:retry:records"
"""Hash: event id → ``<attempt>:<RetryRecord as JSON>``."""
STARTS: Final = "bridge:starts"
"""Hash: id of a message that came back → how often it was started since."""
DEAD_INDEX: Final = "bridge:dead:index"
"""Sorted set: letter id → when it was buried, in ms of Redis time."""
DEAD_LETTERS: Final = "bridge:dead:letters"
"""Hash: letter id → DeadLetter as JSON."""
DEAD_WEIGHTS: Final = "bridge:dead:weights"
"""Hash: letter that holds a whole message → how many events; every other letter is one event."""
PRODUCERS: Final = "bridge:producers"
"""Hash: producer → what it last said of itself, as JSON."""
WORKERS: Final = "bridge:workers"
"""Hash: ``<host>:<pid>`` of a worker → ``<when it said so, in ms of Redis time> <WorkerReport as JSON>``."""
GATEWAYS: Final = "bridge:gateways"
"""Hash: ``<host>:<pid>`` of a gateway process → ``<when it said so, in ms of Redis time> <open streams>``."""

STRAYS: Final = "bridge:strays"
"""Set: ``retry:<event id>`` or ``dead:<letter id>`` of what failed when the books had no such event (any more)."""
DEAD_HEADS: Final = "bridge:dead:heads"
"""Hash: letter id → LetterHead as JSON. The index says which letters there are."""
TOMBSTONES: Final = "bridge:dead:tombstones"
"""Hash: discarded letter → who discarded it, when and why, as JSON."""
TOMBSTONE_TIMES: Final = "bridge:dead:tombstones:index"
"""Sorted set: discarded letter → when it was discarded, in ms of Redis time."""
REPLAYS: Final = "bridge:replays"
"""Sorted set: replay → when it was begun, in ms of Redis time."""
IN_REPLAY: Final = "bridge:replays:sent"
"""Hash: letter that was sent by a replay and has no outcome yet → the replay."""
OPERATIONS_LOG: Final = "bridge:operations:log"
"""Stream: who did what to which letters and retries, and why."""


def replay(replay_id: str) -> str:
    """Hash: what a replay is to do, and how far it is."""
    return f"bridge:replay:{replay_id}"


def replay_pending(replay_id: str) -> str:
    """Sorted set: letters of a replay's snapshot that are not sent yet, in the order of their ids."""
    return f"bridge:replay:{replay_id}:pending"


def replay_sent(replay_id: str) -> str:
    """Sorted set: letters that a replay sent and whose outcome is not known yet → when, in ms."""
    return f"bridge:replay:{replay_id}:sent"


def replay_unconfirmed(replay_id: str) -> str:
    """Set: sent letters which the broker, another server than the store, has not confirmed."""
    return f"bridge:replay:{replay_id}:unconfirmed"


def replay_returned(replay_id: str) -> str:
    """Hash: letter whose whole message a replay put back, and whose outcome is not known yet → id in the books."""
    return f"bridge:replay:{replay_id}:returned"


def replay_newest(replay_id: str) -> str:
    """Hash: what a mapping supersedes by → the newest of a replay's letters for it."""
    return f"bridge:replay:{replay_id}:newest"


def booked(message_id: str) -> str:
    """Mark that a message, which no producer had announced, is in the books."""
    return f"bridge:booked:{message_id}"


def user_channel(user_id: UUID) -> str:
    """Pub/sub channel of one user."""
    return USER_CHANNEL % user_id


def user_stream(user_id: UUID) -> str:
    """Stream that keeps one user's history."""
    return USER_STREAM % user_id


def user_seen(user_id: UUID, event_id: UUID | str) -> str:
    """Mark that an event was published to a user; its value is the position."""
    return f"{SEEN % user_id}{event_id}"


def broadcast_seen(event_id: UUID | str) -> str:
    """Mark that an event was broadcast. The tag puts it into the slot of the broadcast stream."""
    return f"{SEEN % BROADCAST_STREAM}{event_id}"


def seen_marks(event_id: UUID | str = "*") -> str:
    """Pattern of the seen marks of one event, whoever's they are; or of all."""
    return f"sse:seen:{{*}}:{event_id}"


def seen_owner(mark: str) -> str:
    """Whose seen mark it is: a user's id, or the broadcast stream."""
    return mark.partition("{")[2].partition("}")[0]
