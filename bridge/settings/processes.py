"""What each process reads, and nothing else: a process's settings are one frozen value, made of the shared parts."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from bridge.settings.declaring import PATH, ROUTING, SAFETY, SECRET, URL, Form, declarations, setting
from bridge.settings.parts import (
    YEAR,
    AccountingSettings,
    CatalogSettings,
    Part,
    QueueSettings,
    ReleaseSettings,
    RetentionSettings,
    part,
)
from bridge.settings.urls import is_loopback

if TYPE_CHECKING:
    from bridge.settings.issuers import Issuer

SECRET_BYTES_MIN = 32
OPS_TOKEN_CHARS_MIN = 16
PORT = (1, 65_535)


@part
class ProducerSettings(QueueSettings, RetentionSettings, ReleaseSettings):
    """What a process reads that emits events."""

    source: str = setting("bridge", "CloudEvents source: which service emits.", chars=(1, 200))
    emit_buffer_max: int = setting(
        100_000, "Events a producer process holds while the broker is away.", between=(1, 10_000_000)
    )
    emit_linger_ms: float = setting(
        2.0,
        "How long a producer gathers a batch while events keep coming; the first leaves at once.",
        between=(0.1, 1000),
    )
    emit_exit_flush_s: float = setting(5.0, "How long a producer's exit waits for its buffer to empty.", between=YEAR)
    spool_dir: str = setting(
        "",
        "Where producers keep accepted events on disk until the broker has them. Empty: in memory only.",
        PATH,
        ROUTING,
    )
    spool_max_bytes: int = setting(
        268_435_456, "Size of all spool files in the directory.", between=(65_536, 1_099_511_627_776)
    )

    outbox_url: str = setting(
        "",
        "The database whose outbox this process drains, as SQLAlchemy writes it. Empty: the one that it writes to.",
        URL,
        ROUTING,
        form=Form("the URL of a database, such as postgresql+psycopg://user@host/name", r"(\w+(\+\w+)?://.*)?"),
    )
    outbox_poll_s: float = setting(
        1.0, "How often an outbox is looked at for what no commit of this process told of.", between=(0.05, 3600)
    )
    outbox_max: int = setting(
        1_000_000,
        "Rows in an outbox; when so many wait, `emit` refuses more, and the transaction goes on.",
        between=(1, 1_000_000_000),
    )
    outbox_notify: bool = setting(
        False, "Listen for what PostgreSQL tells of other processes' commits; the table needs its trigger."
    )

    def _faults(self) -> Iterator[str]:
        if self.event_max_bytes > self.message_max_bytes:
            yield "BRIDGE_EVENT_MAX_BYTES must not exceed BRIDGE_MESSAGE_MAX_BYTES."


@part
class WorkerSettings(AccountingSettings, ReleaseSettings):
    """What a worker reads, and whoever publishes as it does."""

    stream_maxlen: int = setting(
        1000, "Events kept per user for replay; Redis may keep a node (100) more.", between=(1, 1_000_000)
    )
    worker_concurrency: int = setting(
        1, "Worker processes per `celery worker`; with 1, each queue keeps its order.", between=(1, 256)
    )
    delivery_max: int = setting(
        5, "A message whose worker died this often is dead-lettered instead of run again.", between=(1, 100)
    )
    retry_base_s: float = setting(1.0, "Longest wait after the first failure; doubles each time.", between=YEAR)

    @property
    def task_soft_time_limit_s(self) -> float:
        """When a running extractor is interrupted: in time to record what else is in the batch before it is killed."""
        return self.task_time_limit_s * 3 / 4

    def _faults(self) -> Iterator[str]:
        if self.task_time_limit_s >= self.visibility_timeout_s:
            yield (
                "BRIDGE_TASK_TIME_LIMIT_S must be below BRIDGE_VISIBILITY_TIMEOUT_S, "
                "or a running batch is delivered a second time."
            )
        if self.retry_base_s > self.retry_cap_s:
            yield "BRIDGE_RETRY_BASE_S must not exceed BRIDGE_RETRY_CAP_S."
        if 0 < self.seen_ttl_s < self.shortest_seen_life_s:
            yield (
                f"BRIDGE_SEEN_TTL_S must be 0 or at least {self.shortest_seen_life_s}: "
                "the stream's life, one redelivery and all retries."
            )


@part
class StreamSettings(RetentionSettings, CatalogSettings):
    """What is read to serve clients their streams, by a gateway or to a terminal."""

    gateway_queue_max: int = setting(
        512, "Events buffered for one slow consumer; on overflow it is disconnected, and resumes.", between=(1, 100_000)
    )
    gateway_clients_max: int = setting(
        10_000, "Streams open in one gateway process; more are sent away for now.", between=(1, 1_000_000)
    )
    gateway_streams_per_user: int = setting(
        32, "Streams that one user has open in a gateway process; as above.", between=(1, 1_000_000)
    )
    gateway_heartbeat_s: float = setting(
        15.0, "A comment is sent after this much silence, so proxies keep the line.", between=(0.1, 300)
    )
    gateway_retry_s: float = setting(
        2.0, "Reconnect delay told to clients; jittered by half, so no stampede.", between=(0.1, 300)
    )
    gateway_send_timeout_s: float = setting(
        30.0, "A client that takes nothing for this long is cut.", between=(0.1, 600)
    )
    gateway_topics_recheck_s: float = setting(
        60.0,
        "Whether a stream may hear its topics is asked again so often; one that may not any more is ended.",
        between=(0.1, 86_400),
    )


@part
class GatewaySettings(StreamSettings):
    """What a gateway reads: where it listens, and who its clients are."""

    gateway_host: str = setting("127.0.0.1", "Address that the gateway listens on.", chars=(1, None))
    gateway_port: int = setting(8000, "Port that the gateway listens on.", between=PORT)
    gateway_dev: bool = setting(
        False, "Development mode: no tokens, ?user_id= says who you are. Loopback only.", SAFETY
    )
    gateway_authenticator: str = setting(
        "",
        "Your own way of knowing who is asking, as package.module:attribute; instead of tokens. "
        "Empty: by BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL.",
        SAFETY,
    )
    gateway_cors_origins: str = setting(
        "", "Origins (comma-separated) whose pages may read the stream. Empty: same origin only.", SAFETY
    )
    jwt_secret: str = setting("", "Shared secret (HS256) of the tokens; 32 bytes or more.", SECRET, SAFETY)
    jwt_secret_old: str = setting(
        "", "The shared secret before: tokens of both are believed until you unset it.", SECRET, SAFETY
    )
    jwt_jwks_url: str = setting(
        "",
        "Where the issuer's public keys are; instead of a secret.",
        URL,
        SAFETY,
        form=Form("an address that begins with https:// or http://", r"((?i:https?)://[^/\s]\S*)?"),
    )
    jwt_audience: str = setting("", "Audience that tokens must name. Empty: not checked.", SAFETY)
    jwt_issuer: str = setting("", "Issuer that tokens must name. Empty: not checked.", SAFETY)
    jwt_issuers: str = setting(
        "",
        "Several issuers, as a JSON list of objects: issuer, jwks_url or secret (and secret_old), audience; instead of "
        "the five settings above.",
        SECRET,
        SAFETY,
    )
    jwt_cookie: str = setting(
        "access_token",
        "Cookie that may carry the token, because EventSource cannot send headers.",
        SAFETY,
        form=Form("1 to 100 letters, digits, _ or -", "[A-Za-z0-9_-]{1,100}"),
    )

    @property
    def issuers(self) -> "tuple[Issuer, ...]":
        """Whose tokens are believed.

        Raises:
            ValueError: they cannot be believed as they stand; in sentences.
        """
        from bridge.settings.issuers import Issuer, read_issuers

        if self.jwt_issuers:
            return read_issuers(self.jwt_issuers)
        one = Issuer(
            issuer=self.jwt_issuer,
            jwks_url=self.jwt_jwks_url,
            secret=self.jwt_secret,
            secret_old=self.jwt_secret_old,
            audience=self.jwt_audience,
        )
        return (one,) if one.jwks_url or one.secret else ()

    def _token_faults(self) -> Iterator[str]:
        alone = (self.jwt_secret, self.jwt_secret_old, self.jwt_jwks_url, self.jwt_audience, self.jwt_issuer)
        if self.jwt_issuers and any(alone):
            yield "Set BRIDGE_JWT_ISSUERS or the other BRIDGE_JWT_* (but BRIDGE_JWT_COOKIE), not both."
        if self.jwt_secret and self.jwt_jwks_url:
            yield "Set BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL, not both."
        for name, secret in (("BRIDGE_JWT_SECRET", self.jwt_secret), ("BRIDGE_JWT_SECRET_OLD", self.jwt_secret_old)):
            if secret and len(secret.encode()) < SECRET_BYTES_MIN:
                yield f"{name} must have at least {SECRET_BYTES_MIN} bytes; make one with: openssl rand -hex 32."
        if self.jwt_secret_old and not self.jwt_secret:
            yield "BRIDGE_JWT_SECRET_OLD is the secret before BRIDGE_JWT_SECRET: set that, too."
        if self.jwt_issuers:
            try:
                _ = self.issuers
            except ValueError as error:
                yield from str(error).splitlines()

    def _faults(self) -> Iterator[str]:
        yield from self._token_faults()
        if self.gateway_dev and self.gateway_authenticator:
            yield "Set BRIDGE_GATEWAY_DEV or BRIDGE_GATEWAY_AUTHENTICATOR, not both."
        if self.gateway_dev and not is_loopback(self.gateway_host):
            yield (
                "BRIDGE_GATEWAY_DEV lets anybody be anybody, so it refuses to listen beyond loopback: "
                "unset it, or listen on 127.0.0.1 (BRIDGE_GATEWAY_HOST, or the option --host)."
            )


@part
class OperatorSettings(AccountingSettings, CatalogSettings):
    """What an operators' command reads."""


@part
class OpsSettings(OperatorSettings):
    """What the operators' page reads."""

    ops_host: str = setting("127.0.0.1", "Address that the operators' page listens on.", chars=(1, None))
    ops_port: int = setting(8010, "Port that the operators' page listens on.", between=PORT)
    ops_token: str = setting(
        "", "Opens the operators' page, to see and to act; 16 characters or more. Empty: no such page.", SECRET, SAFETY
    )
    ops_view_token: str = setting(
        "",
        "Opens the operators' page to look only; 16 characters or more. Empty: there are no viewers.",
        SECRET,
        SAFETY,
    )
    ops_payloads: bool = setting(
        False, "Show the contents of events to operators on their page; masked for everybody if not.", SAFETY
    )

    def _faults(self) -> Iterator[str]:
        tokens = {"BRIDGE_OPS_TOKEN": self.ops_token, "BRIDGE_OPS_VIEW_TOKEN": self.ops_view_token}
        for name, token in tokens.items():
            if token and len(token) < OPS_TOKEN_CHARS_MIN:
                least = f"at least {OPS_TOKEN_CHARS_MIN} characters"
                yield f"{name} must have {least}; make one with: openssl rand -hex 32."
        if self.ops_token and self.ops_token == self.ops_view_token:
            yield "BRIDGE_OPS_VIEW_TOKEN must differ from BRIDGE_OPS_TOKEN, or whoever may look may also act."


@part
class Settings(OpsSettings, GatewaySettings, WorkerSettings, ProducerSettings):
    """All settings of all processes: fits wherever a part is asked for; made by hand in tests and applications.

    Args:
        values: a field for each variable of docs/settings.md, in small letters and without its prefix:
            ``Settings(redis_url="redis://cache:6379/0")``. What is not given has its default; units and bounds are
            there, and only ``load_settings`` holds values to them.

    Raises:
        TypeError: there is no such setting.
        ValueError: two settings contradict each other.
    """


Process: TypeAlias = Literal["producer", "worker", "gateway", "ops", "cli"]
"""``cli`` is whoever calls an operators' command."""
PROCESSES: tuple[Process, ...] = get_args(Process)
SETTINGS_OF: dict[Process, type[Part]] = {
    "producer": ProducerSettings,
    "worker": WorkerSettings,
    "gateway": GatewaySettings,
    "ops": OpsSettings,
    "cli": OperatorSettings,
}
DECLARATIONS = declarations(Settings)
"""Every setting, by the name of its field."""


def readers_of(name: str) -> frozenset[Process]:
    """The processes that read a setting, by the name of its field."""
    return frozenset(process for process, part in SETTINGS_OF.items() if hasattr(part, name))


def parts_for(reader: type[Part] | Process | Iterable[Process] | None) -> tuple[type[Part], ...]:
    """What is read by whoever was asked for: by all, if none was named.

    Raises:
        ValueError: there is no such process.
    """
    if reader is None or isinstance(reader, type):
        return (reader or Settings,)
    named = (reader,) if isinstance(reader, str) else tuple(reader)
    if unknown := set(named) - set(PROCESSES):
        raise ValueError(f"There is no process {', '.join(sorted(unknown))}; use {', '.join(PROCESSES)}.")
    return tuple(SETTINGS_OF[process] for process in named)
