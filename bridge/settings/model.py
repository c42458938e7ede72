"""``Settings``: one frozen value with every setting of every process: its unit, range and reason."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from bridge.settings.contradictions import contradictions, shortest_seen_life_s

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
SEEN_MARGIN_S = 600
"""Added to the shortest safe life of a seen mark, for skewed clocks and slow workers."""

Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]
WholeSeconds = Annotated[int, Meta(ge=0, le=31_536_000)]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of all processes; a value made by hand in tests, by ``load_settings`` in service.

    Raises:
        ValueError: two settings contradict each other, whichever process reads them.
    """

    broker_url: Annotated[
        str, Meta(description="Where Celery messages travel: redis://, rediss://, sentinel:// or amqp://.")
    ] = DEFAULT_REDIS_URL
    redis_url: Annotated[
        str,
        Meta(
            description="Where streams, pub/sub and the accounting live: redis://, rediss://, sentinel:// or unix://. "
            "Empty: the broker, when that is Redis."
        ),
    ] = ""
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9:_.-]{0,50}$",
            extra={"form": "at most 50 letters, digits, or any of : _ . -"},
            description="Put before every key and channel, where several bridges share a Redis database.",
        ),
    ] = ""
    broker_keyprefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9:_.-]{0,50}$",
            extra={"form": "at most 50 letters, digits, or any of : _ . -"},
            description="Put before every broker key (Redis), where several Celery apps share a database. "
            "Empty: BRIDGE_PREFIX.",
        ),
    ] = ""
    broker_sentinel_master: Annotated[
        str, Meta(description="Name of the master that the sentinels watch; only with sentinel://.")
    ] = "mymaster"
    redis_sentinel_master: Annotated[
        str,
        Meta(description="The same for BRIDGE_REDIS_URL, with sentinel://. Empty: BRIDGE_BROKER_SENTINEL_MASTER."),
    ] = ""
    sentinel_username: Annotated[
        str, Meta(description="User of the sentinels themselves; the master's stands in the URL.")
    ] = ""
    sentinel_password: Annotated[
        str, Meta(description="Password of the sentinels themselves. Empty: they want none.")
    ] = ""
    sentinel_tls: Annotated[
        bool, Meta(description="Reach sentinels and their master over TLS; certificates are checked.")
    ] = False
    registry: Annotated[str, Meta(description="The catalog, as package.module:attribute. Empty: the built-in one.")] = (
        ""
    )
    release: Annotated[
        str,
        Meta(
            max_length=100,
            description="Your own version, shown with workers and dead letters. Empty: the catalog's __version__.",
        ),
    ] = ""
    source: Annotated[
        str, Meta(min_length=1, max_length=200, description="CloudEvents source: which service emits.")
    ] = "bridge"

    stream_maxlen: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Events kept per user for replay; Redis may keep a node (100) more.",
        ),
    ] = 1000
    stream_ttl_s: Annotated[
        WholeSeconds,
        Meta(description="A user's history lives this long after its newest event. 0: no history, no replay."),
    ] = 3600
    seen_ttl_s: Annotated[
        WholeSeconds,
        Meta(
            description="How long an event id is remembered, so that a redelivery is not published again. "
            "0: as short as is safe (history, redelivery and retries, plus 10 minutes)."
        ),
    ] = 0

    visibility_timeout_s: Annotated[
        int,
        Meta(
            ge=2,
            le=86_400,
            description="A message whose worker died is delivered again after this time (Redis).",
        ),
    ] = 300
    task_time_limit_s: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="A message that runs longer is stopped; well below the visibility timeout.",
        ),
    ] = 120
    worker_concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Worker processes per `celery worker`; with 1, each queue keeps its order.",
        ),
    ] = 1

    delivery_max: Annotated[
        int,
        Meta(ge=1, le=100, description="A message whose worker died this often is dead-lettered instead of run again."),
    ] = 5
    retry_attempts: Annotated[
        int,
        Meta(ge=1, le=100, description="Tries of a failing extractor, the first included, then dead letter."),
    ] = 5
    retry_base_s: Annotated[Seconds, Meta(description="Longest wait after the first failure; doubles each time.")] = 1.0
    retry_cap_s: Annotated[Seconds, Meta(description="Longest wait before any retry.")] = 60.0
    retry_max: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Waiting retries at most; what does not fit is dead-lettered."),
    ] = 100_000
    dead_max: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Dead letters at most; the oldest is evicted and counted.")
    ] = 100_000
    dead_max_bytes: Annotated[
        int,
        Meta(
            ge=1_048_576,
            le=1_099_511_627_776,
            description="Bytes of dead letters (JSON) at most; the oldest is evicted and counted.",
        ),
    ] = 1_073_741_824
    dead_ttl_s: Annotated[
        int, Meta(ge=60, le=31_536_000, description="A dead letter older than this is evicted and counted.")
    ] = 2_592_000

    emit_buffer_max: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Events a producer process holds while the broker is away."),
    ] = 100_000
    emit_batch_max: Annotated[int, Meta(ge=1, le=10_000, description="Events in one Celery message at most.")] = 100
    emit_linger_ms: Annotated[
        float,
        Meta(
            ge=0.1,
            le=1000,
            description="How long a producer gathers a batch while events keep coming; the first leaves at once.",
        ),
    ] = 2.0
    emit_exit_flush_s: Annotated[
        Seconds, Meta(description="How long a producer's exit waits for its buffer to empty.")
    ] = 5.0
    spool_dir: Annotated[
        str,
        Meta(
            description="Where producers keep accepted events on disk until the broker has them. Empty: in memory only."
        ),
    ] = ""
    spool_max_bytes: Annotated[
        int, Meta(ge=65_536, le=1_099_511_627_776, description="Size of all spool files in the directory.")
    ] = 268_435_456
    event_max_bytes: Annotated[
        int,
        Meta(ge=1024, le=16_777_216, description="Size of one envelope or payload; larger ones are refused."),
    ] = 65_536
    message_max_bytes: Annotated[
        int, Meta(ge=1024, le=67_108_864, description="Size of one Celery message; larger batches are split.")
    ] = 262_144

    gateway_host: Annotated[str, Meta(min_length=1, description="Address that the gateway listens on.")] = "127.0.0.1"
    gateway_port: Annotated[Port, Meta(description="Port that the gateway listens on.")] = 8000
    gateway_queue_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Events buffered for one slow consumer; on overflow it is disconnected, and resumes.",
        ),
    ] = 512
    gateway_clients_max: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Streams open in one gateway process; more are sent away for now."),
    ] = 10_000
    gateway_streams_per_user: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Streams that one user has open in a gateway process; as above."),
    ] = 32
    gateway_heartbeat_s: Annotated[
        float,
        Meta(ge=0.1, le=300, description="A comment is sent after this much silence, so proxies keep the line."),
    ] = 15.0
    gateway_retry_s: Annotated[
        float,
        Meta(ge=0.1, le=300, description="Reconnect delay told to clients; jittered by half, so no stampede."),
    ] = 2.0
    gateway_send_timeout_s: Annotated[
        float, Meta(ge=0.1, le=600, description="A client that takes nothing for this long is cut.")
    ] = 30.0
    gateway_dev: Annotated[
        bool, Meta(description="Development mode: no tokens, ?user_id= says who you are. Loopback only.")
    ] = False
    gateway_authenticator: Annotated[
        str,
        Meta(
            description="Your own way of knowing who is asking, as package.module:attribute; instead of tokens. "
            "Empty: by BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL."
        ),
    ] = ""
    gateway_cors_origins: Annotated[
        str,
        Meta(description="Origins (comma-separated) whose pages may read the stream. Empty: same origin only."),
    ] = ""
    jwt_secret: Annotated[str, Meta(description="Shared secret (HS256) of the tokens; 32 bytes or more.")] = ""
    jwt_jwks_url: Annotated[str, Meta(description="Where the issuer's public keys are; instead of a secret.")] = ""
    jwt_audience: Annotated[str, Meta(description="Audience that tokens must name. Empty: not checked.")] = ""
    jwt_issuer: Annotated[str, Meta(description="Issuer that tokens must name. Empty: not checked.")] = ""
    jwt_cookie: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,100}$",
            extra={"form": "1 to 100 letters, digits, _ or -"},
            description="Cookie that may carry the token, because EventSource cannot send headers.",
        ),
    ] = "access_token"

    ops_host: Annotated[str, Meta(min_length=1, description="Address that the operators' page listens on.")] = (
        "127.0.0.1"
    )
    ops_port: Annotated[Port, Meta(description="Port that the operators' page listens on.")] = 8010
    ops_token: Annotated[
        str,
        Meta(description="Opens the operators' page, to see and to act; 16 characters or more. Empty: no such page."),
    ] = ""
    ops_view_token: Annotated[
        str,
        Meta(description="Opens the operators' page to look only; 16 characters or more. Empty: there are no viewers."),
    ] = ""
    ops_payloads: Annotated[
        bool, Meta(description="Show the contents of events to operators on their page; masked for everybody if not.")
    ] = False

    def __post_init__(self) -> None:
        faults = contradictions(self)
        if faults:
            raise ValueError("\n".join(faults))

    def __repr__(self) -> str:
        # URLs may hold passwords, and a repr ends up in logs.
        return f"<Settings of {len(self.__struct_fields__)} values>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Struct's own would show every value to rich.
        return []

    @property
    def task_soft_time_limit_s(self) -> float:
        """When a running extractor is interrupted: in time to record what else is in the batch before it is killed."""
        return self.task_time_limit_s * 3 / 4

    @property
    def store_url(self) -> str:
        """The Redis that holds streams, pub/sub and accounting: ``redis_url``, or else the broker."""
        return self.redis_url or self.broker_url

    @property
    def queue_prefix(self) -> str:
        """What stands before the broker's keys on Redis: ``broker_keyprefix``, or else the bridge's own prefix."""
        return self.broker_keyprefix or self.prefix

    @property
    def retention(self) -> bool:
        """Whether a history is kept for replay."""
        return self.stream_ttl_s > 0

    @property
    def longest_retry_s(self) -> float:
        """How long an event may be retried by the settings' policy; a mapping's own may take longer."""
        return self.retry_cap_s * self.retry_attempts

    @property
    def seen_life_s(self) -> int:
        """How long a seen mark lives; longer than the stream and than the latest redelivery or retry."""
        return self.seen_ttl_s or shortest_seen_life_s(self) + SEEN_MARGIN_S


def changed_settings(settings: Settings, **values: Any) -> Settings:
    """A copy with other values, which are not judged: a check looks beside what the settings name."""
    made = Settings()
    for name in settings.__struct_fields__:
        force_setattr(made, name, values.get(name, getattr(settings, name)))
    return made
