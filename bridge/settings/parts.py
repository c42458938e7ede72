"""The parts that settings are made of: a setting is declared once, in the part that all inherit who read it."""

from collections.abc import Iterator
from dataclasses import Field, FrozenInstanceError, dataclass
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

from bridge.settings.declaring import ROUTING, SECRET, URL, Form, declarations, setting
from bridge.settings.urls import BROKER_SCHEMES, STORE_SCHEMES, scheme_of, url_faults

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
SEEN_MARGIN_S = 600
"""Added to the shortest safe life of a seen mark, for skewed clocks and slow workers."""
YEAR = (0, 31_536_000)
KEY_PREFIX = Form("at most 50 letters, digits, or any of : _ . -", "[A-Za-z0-9:_.-]{0,50}")
P = TypeVar("P", bound="Part")


class Part:
    """Some settings that belong together; a process's settings are made of such parts. Frozen, compared by its values.

    Raises:
        TypeError: there is no such setting.
        ValueError: two settings contradict each other.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init__(self, **values: Any) -> None:
        fields = self.__dataclass_fields__
        if unknown := values.keys() - fields.keys():
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}.")
        vars(self).update({name: values.get(name, field.default) for name, field in fields.items()})
        if faults := contradictions(self, type(self)):
            raise ValueError("\n".join(faults))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"Settings cannot change; make others with dataclasses.replace(settings, {name}=…).")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"Settings cannot change; {name} stays.")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        # URLs may hold passwords, and a repr ends up in logs.
        return f"<{type(self).__name__} of {len(vars(self))} values>"

    def _faults(self) -> Iterator[str]:
        """How the settings of this part contradict each other, or those that it inherits; one sentence each."""
        yield from ()


@dataclass_transform(kw_only_default=True, frozen_default=True)
def part(cls: type[P]) -> type[P]:
    """Make a class a part whose fields are its settings.

    All parts share the methods of ``Part``: compiled for each class, as ``dataclass`` does it, they were a tenth of the
    time that ``import bridge`` takes.
    """
    return dataclass(init=False, repr=False, eq=False)(cls)


@part
class ServerSettings(Part):
    """Where the broker and the store are."""

    broker_url: str = setting(
        DEFAULT_REDIS_URL, "Where Celery messages travel: redis://, rediss://, sentinel:// or amqp://.", URL, ROUTING
    )
    redis_url: str = setting(
        "",
        "Where streams, pub/sub and the accounting live: redis://, rediss://, sentinel:// or unix://. "
        "Empty: the broker, when that is Redis.",
        URL,
        ROUTING,
    )
    prefix: str = setting(
        "", "Put before every key and channel, where several bridges share a Redis database.", ROUTING, form=KEY_PREFIX
    )
    broker_sentinel_master: str = setting(
        "mymaster", "Name of the master that the sentinels watch; only with sentinel://.", ROUTING
    )
    redis_sentinel_master: str = setting(
        "", "The same for BRIDGE_REDIS_URL, with sentinel://. Empty: BRIDGE_BROKER_SENTINEL_MASTER.", ROUTING
    )
    sentinel_username: str = setting("", "User of the sentinels themselves; the master's stands in the URL.")
    sentinel_password: str = setting("", "Password of the sentinels themselves. Empty: they want none.", SECRET)
    sentinel_tls: bool = setting(False, "Reach sentinels and their master over TLS; certificates are checked.")

    @property
    def store_url(self) -> str:
        """The Redis that holds streams, pub/sub and accounting: ``redis_url``, or else the broker."""
        return self.redis_url or self.broker_url

    def _faults(self) -> Iterator[str]:
        if self.redis_url:
            yield from url_faults("BRIDGE_REDIS_URL", self.redis_url, STORE_SCHEMES)
            return
        yield from url_faults("BRIDGE_BROKER_URL", self.broker_url, BROKER_SCHEMES)
        if scheme_of(self.broker_url) in set(BROKER_SCHEMES) - set(STORE_SCHEMES):
            yield "BRIDGE_REDIS_URL is needed, because the broker is no Redis: streams and pub/sub live there."


@part
class CatalogSettings(Part):
    """Which events there are."""

    registry: str = setting(
        "",
        "The catalog, as package.module:attribute, or several, with commas between. Empty: the built-in one.",
        ROUTING,
    )


@part
class ReleaseSettings(CatalogSettings):
    """Which version of the application runs."""

    release: str = setting(
        "", "Your own version, shown with workers and dead letters. Empty: the catalog's __version__.", chars=(0, 100)
    )


@part
class QueueSettings(ServerSettings):
    """What messages on the queues may be, and where the queues are."""

    broker_keyprefix: str = setting(
        "",
        "Put before every broker key (Redis), where several Celery apps share a database. Empty: BRIDGE_PREFIX.",
        ROUTING,
        form=KEY_PREFIX,
    )
    emit_batch_max: int = setting(100, "Events in one Celery message at most.", between=(1, 10_000))
    event_max_bytes: int = setting(
        65_536, "Size of one envelope or payload; larger ones are refused.", between=(1024, 16_777_216)
    )
    message_max_bytes: int = setting(
        262_144, "Size of one Celery message; larger batches are split.", between=(1024, 67_108_864)
    )

    @property
    def queue_prefix(self) -> str:
        """What stands before the broker's keys on Redis: ``broker_keyprefix``, or else the bridge's own prefix."""
        return self.broker_keyprefix or self.prefix

    def _faults(self) -> Iterator[str]:
        if self.redis_url:  # otherwise the broker is the store, and was judged as that
            yield from url_faults("BRIDGE_BROKER_URL", self.broker_url, BROKER_SCHEMES)


@part
class RetentionSettings(ServerSettings):
    """How long clients find what they missed, and how long an event is known by its id."""

    stream_ttl_s: int = setting(
        3600, "A user's history lives this long after its newest event. 0: no history, no replay.", between=YEAR
    )
    seen_ttl_s: int = setting(
        0,
        "How long an event id is remembered, so that a redelivery is not published again. "
        "0: as short as is safe (history, redelivery and retries, plus 10 minutes).",
        between=YEAR,
    )
    disconnect_ttl_s: int = setting(
        86_400,
        "How long what was granted before a disconnect stays refused: longer than your tokens live.",
        between=(60, 2_592_000),
    )
    visibility_timeout_s: int = setting(
        300, "A message whose worker died is delivered again after this time (Redis).", between=(2, 86_400)
    )
    retry_attempts: int = setting(
        5, "Tries of a failing extractor, the first included, then dead letter.", between=(1, 100)
    )
    retry_cap_s: float = setting(60.0, "Longest wait before any retry.", between=YEAR)

    @property
    def retention(self) -> bool:
        """Whether a history is kept for replay."""
        return self.stream_ttl_s > 0

    @property
    def longest_retry_s(self) -> float:
        """How long an event may be retried by the settings' policy; a mapping's own may take longer."""
        return self.retry_cap_s * self.retry_attempts

    @property
    def shortest_seen_life_s(self) -> int:
        """The least time for which an event's id must be remembered: the stream, one redelivery and all retries."""
        return int(self.stream_ttl_s + 2 * self.visibility_timeout_s + self.longest_retry_s)

    @property
    def seen_life_s(self) -> int:
        """How long a seen mark lives; longer than the stream and than the latest redelivery or retry."""
        return self.seen_ttl_s or self.shortest_seen_life_s + SEEN_MARGIN_S


@part
class AccountingSettings(QueueSettings, RetentionSettings):
    """What is kept of events that failed, and how long a message may take."""

    task_time_limit_s: int = setting(
        120, "A message that runs longer is stopped; well below the visibility timeout.", between=(1, 86_400)
    )
    retry_max: int = setting(
        100_000, "Waiting retries at most; what does not fit is dead-lettered.", between=(1, 10_000_000)
    )
    dead_max: int = setting(
        100_000, "Dead letters at most; the oldest is evicted and counted.", between=(1, 10_000_000)
    )
    dead_max_bytes: int = setting(
        1_073_741_824,
        "Bytes of dead letters (JSON) at most; the oldest is evicted and counted.",
        between=(1_048_576, 1_099_511_627_776),
    )
    dead_ttl_s: int = setting(
        2_592_000, "A dead letter older than this is evicted and counted.", between=(60, 31_536_000)
    )


def contradictions(settings: Part, *readers: type[Part]) -> list[str]:
    """How settings contradict each other, as far as the readers of these parts suffer from it; one sentence each."""
    parts = dict.fromkeys(part for reader in readers for part in reversed(reader.__mro__) if issubclass(part, Part))
    return [fault for part in parts if "_faults" in vars(part) for fault in part._faults(settings)]


def unjudged(part: type[P], settings: Part, **values: Any) -> P:
    """Settings cut to the part that is asked for, with other values; how they fit each other is not judged."""
    made = object.__new__(part)
    vars(made).update({name: getattr(settings, name) for name in declarations(part)} | values)
    return made
