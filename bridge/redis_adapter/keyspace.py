"""Every Redis key and channel of the bridge. A user's keys share a hash tag, so a cluster keeps them in one slot."""

from collections.abc import Collection
from copy import copy
from uuid import UUID

from bridge.model.registry import EVERYONE, Address, Id, TopicAddress, User
from bridge.model.registry.addresses import EVERYONE_TEXT, USER, is_name
from bridge.model.registry.identifiers import is_id_text
from bridge.settings import ServerSettings
from bridge.settings.topology import topology

_KINDS = (
    ("string", "POSITION BEGAN BROADCAST_TIP"),
    ("stream", "BROADCAST_STREAM OPERATIONS_LOG"),
    (
        "hash",
        "COUNTS OPEN RETRY_RECORDS STARTS DEAD_LETTERS DEAD_WEIGHTS DEAD_HEADS METRICS PRODUCERS WORKERS GATEWAYS",
    ),
    ("hash", "TOMBSTONES IN_REDRIVE RETENTIONS"),
    ("zset", "RETRY_DUE DEAD_INDEX SKIPPED QUEUES TOMBSTONE_TIMES REDRIVES WITHDRAWALS"),
    ("set", "STRAYS"),
    ("list", "RECENT"),
)
_SPARED = "METRICS RECENT SKIPPED QUEUES PRODUCERS WORKERS GATEWAYS TOMBSTONES TOMBSTONE_TIMES REDRIVES IN_REDRIVE"


class Keyspace:
    """The names of one bridge, behind its prefix, in one database.

    Pub/sub knows no database: in another database than 0 the channels have its number before them, in the form that
    kombu gives to its own.
    """

    def __init__(self, prefix: str = "", database: int = 0) -> None:
        self.prefix = prefix
        channels = f"{prefix}/{database}." if database else prefix

        self.BROADCAST_CHANNEL = channels + "sse:broadcast"
        self.BROADCAST_STREAM = prefix + "sse:stream:broadcast"
        self.CONTROL_CHANNEL = channels + "sse:control"
        """Where gateways hear who is to be disconnected."""
        self.USER_CHANNEL = channels + "sse:user:{%s}"
        self.USER_STREAM = prefix + "sse:stream:user:{%s}"
        self.SEEN = prefix + "sse:seen:{%s}:"
        """Before the event id; for a user, or for the broadcast stream."""
        self.TOPIC_CHANNEL = channels + "sse:topic:{%s}"
        self.TOPIC_STREAM = prefix + "sse:stream:topic:{%s}"
        self.TOPIC_SEEN = prefix + "sse:topic-seen:{%s}:"
        """As SEEN, for a topic; apart from the users', who may be called as a topic is."""

        self.POSITION = prefix + "sse:position"
        """The newest position handed out: a clock that never runs backwards, shared by all streams."""
        self.BEGAN = prefix + "sse:position:began"
        """Where the order began. After a loss of Redis' memory it begins anew, and no older position can be vouched
        for."""
        self.BROADCAST_TIP = prefix + "sse:position:broadcast"
        """Position of the newest broadcast; outlives the stream, so that a reader knows whether it missed one."""
        self.RETENTIONS = prefix + "sse:retentions"
        """Hash: class of retention that was ever written to → ``<life of its streams in s> <position of its newest
        event> <of its newest broadcast, or 0-0>``; after a change of its life `` <shorter life in s> <position of the
        newest event that it may hold for>``, too, until the longer one has passed. So a reader finds every stream that
        an address has, whatever its own registry says."""

        self.WITHDRAWALS = prefix + "sse:withdrawals"
        """Sorted set: ``user:<id>`` or ``session:<digest>`` → when it was disconnected, in ms of Redis time."""

        self.COUNTS = prefix + "bridge:counts"
        """Hash: what happened → how often, since the beginning; and ``dead_bytes``, what the dead letters take now."""
        self.RECENT = prefix + "bridge:counts:recent"
        """List: samples of some counts, the newest first, each ``<ms of Redis time> <count> …``."""
        self.METRICS = prefix + "bridge:metrics"
        """Hash: ``<what happened>:<event type>`` → how often; and the buckets of histograms."""
        self.OPEN = prefix + "bridge:open"
        """Hash: id of a message on its way → ``<accepted at, in ms> <task> <queue>\\n`` and its events' ids, 16 bytes
        each."""
        self.SKIPPED = prefix + "bridge:skipped"
        """Sorted set: the newest events that had no recipient → when, in ms of Redis time."""
        self.RETRY_DUE = prefix + "bridge:retry:due"
        """Sorted set: event id → when it is due, in ms of Redis time."""
        self.RETRY_RECORDS = prefix + "bridge:retry:records"
        """Hash: event id → ``<attempt>:<RetryRecord as JSON>``."""
        self.STARTS = prefix + "bridge:starts"
        """Hash: id of a message that came back → how often it was started since."""
        self.DEAD_INDEX = prefix + "bridge:dead:index"
        """Sorted set: letter id → when it was dead-lettered, in ms of Redis time."""
        self.DEAD_LETTERS = prefix + "bridge:dead:letters"
        """Hash: letter id → DeadLetter as JSON."""
        self.DEAD_WEIGHTS = prefix + "bridge:dead:weights"
        """Hash: letter that holds a whole message → how many events; every other letter is one event."""
        self.QUEUES = prefix + "bridge:queues"
        """Sorted set: queue that a process has named → when it did so last, in ms of Redis time."""
        self.PRODUCERS = prefix + "bridge:producers"
        """Hash: producer → what it last said of itself, as JSON."""
        self.WORKERS = prefix + "bridge:workers"
        """Hash: ``<host>:<pid>:<random>`` of a worker → ``<when it said so, in ms of Redis time> <report as JSON>``."""
        self.GATEWAYS = prefix + "bridge:gateways"
        """Hash: ``<host>:<pid>:<random>`` of a gateway → ``<when it said so, in ms of Redis time> <open streams>``."""

        self.STRAYS = prefix + "bridge:strays"
        """Set: ``retry:<event id>`` or ``dead:<letter id>`` of what failed when the accounting had no such event (any
        more)."""
        self.DEAD_HEADS = prefix + "bridge:dead:heads"
        """Hash: letter id → LetterHead as JSON. The index says which letters there are."""
        self.TOMBSTONES = prefix + "bridge:dead:tombstones"
        """Hash: discarded letter → who discarded it, when and why, as JSON."""
        self.TOMBSTONE_TIMES = prefix + "bridge:dead:tombstones:index"
        """Sorted set: discarded letter → when it was discarded, in ms of Redis time."""
        self.REDRIVES = prefix + "bridge:replays"
        """Sorted set: redrive → when it was begun, in ms of Redis time."""
        self.IN_REDRIVE = prefix + "bridge:replays:sent"
        """Hash: letter that was sent by a redrive and has no outcome yet → the redrive."""
        self.PROBE = prefix + "bridge:probe"
        """Written by whoever wants to know whether Redis takes writes; lives for a second."""
        self.OPERATIONS_LOG = prefix + "bridge:operations:log"
        """Stream: who did what to which letters and retries, and why."""

    @classmethod
    def of(cls, settings: ServerSettings) -> "Keyspace":
        """The names of the bridge that the settings describe."""
        return cls(settings.prefix, topology(settings).store.database)

    @property
    def kinds(self) -> dict[str, str]:
        """What Redis' TYPE says of each key that there is once."""
        return {getattr(self, name): kind for kind, names in _KINDS for name in names.split()}

    @property
    def spared(self) -> frozenset[str]:
        """The keys among them without which events flow all the same."""
        return frozenset(getattr(self, name) for name in _SPARED.split())

    def without(self, names: Collection[str]) -> "Keyspace":
        """The same, with a name under which nothing is kept in place of each of these, to read around them."""
        other = copy(self)
        for name, value in vars(self).items():
            if value in names:
                setattr(other, name, f"{self.OPEN}:none")
        return other

    def redrive(self, redrive_id: str) -> str:
        """Hash: what a redrive is to do, and how far it is."""
        return f"{self.prefix}bridge:replay:{redrive_id}"

    def of_redrive(self, redrive_id: str) -> dict[str, str]:
        """The keys of one redrive, by the names that the scripts give them."""
        key = self.redrive(redrive_id)
        return {
            "redrive": key,
            "pending": f"{key}:pending",  # sorted set: letters that are not sent yet, in the order of their ids
            "sent": f"{key}:sent",  # sorted set: sent letters whose outcome is not known yet → when, in ms
            "unconfirmed": f"{key}:unconfirmed",  # set: sent letters that a broker elsewhere has not confirmed
            "returned": f"{key}:returned",  # hash: letter whose whole message was put back → id in the accounting
            "newest": f"{key}:newest",  # hash: what a mapping supersedes by → the newest of the letters for it
        }

    def booked(self, message_id: str) -> str:
        """Mark that a message, which no producer had announced, is in the accounting."""
        return f"{self.prefix}bridge:booked:{message_id}"

    def ticket(self, digest: str) -> str:
        """What a ticket stands for."""
        return f"{self.prefix}sse:ticket:{digest}"

    def tickets_issued(self, user_id: Id) -> str:
        """How many tickets a user got lately."""
        return f"{self.prefix}sse:tickets:{{{user_id}}}"

    def channel(self, address: Address) -> str:
        """Pub/sub channel of an address."""
        return self._named(address, self.USER_CHANNEL, self.TOPIC_CHANNEL, self.BROADCAST_CHANNEL)

    def stream(self, address: Address) -> str:
        """Stream that keeps what an address was told; of a class of retention, with ``:<class>`` behind it."""
        return self._named(address, self.USER_STREAM, self.TOPIC_STREAM, self.BROADCAST_STREAM)

    def seen(self, address: Address, event_id: UUID | str) -> str:
        """Mark that an event was published to an address; its value is the position."""
        return self._named(address, self.SEEN, self.TOPIC_SEEN, self.SEEN % self.BROADCAST_STREAM) + str(event_id)

    @staticmethod
    def _named(address: Address, of_user: str, of_topic: str, of_everyone: str) -> str:
        if isinstance(address, User):
            return of_user % address.id
        return of_topic % address if isinstance(address, TopicAddress) else of_everyone

    def mark_of_message(self, channel: str, event_id: str) -> str:
        """The seen mark of an event that was heard on a channel."""
        owner = seen_owner(channel)
        if not owner:
            return self.seen(EVERYONE, event_id)
        of_topic = channel.startswith(up_to_user(self.TOPIC_CHANNEL))
        return (self.TOPIC_SEEN if of_topic else self.SEEN) % owner + event_id

    def told_by(self, mark: str) -> tuple[str, str] | None:
        """The address, as text, and the stream that a seen mark is of; None if it is not one of ours."""
        owner = seen_owner(mark)
        if owner == self.BROADCAST_STREAM:
            return EVERYONE_TEXT, self.BROADCAST_STREAM
        if mark.startswith(up_to_user(self.TOPIC_SEEN)):
            name, _, key = owner.partition(":")
            return (owner, self.TOPIC_STREAM % owner) if is_name(name) and is_id_text(key) else None
        return (f"{USER}:{owner}", self.USER_STREAM % owner) if is_id_text(owner) else None

    def seen_marks(self, event_id: UUID | str = "*") -> str:
        """Pattern of the seen marks of one event, whoever's they are; or of all."""
        return f"{self.prefix}sse:*seen:{{*}}:{event_id}"


def up_to_user(pattern: str) -> str:
    """What stands before the user, or the topic, in the pattern of a channel or key; scripts put that behind it."""
    return pattern.partition("%s")[0]


def seen_owner(mark: str) -> str:
    """Whose seen mark it is: a user's id, or the broadcast stream."""
    return mark.partition("{")[2].partition("}")[0]
