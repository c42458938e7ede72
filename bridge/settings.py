"""Every setting: its unit, range and reason. The only reader of the environment (``BRIDGE_*``)."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, inspect

from bridge.errors import SettingsError

PREFIX = "BRIDGE_"
BROKER_SCHEMES = ("redis", "rediss", "sentinel", "amqp", "amqps")
REDIS_SCHEMES = ("redis", "rediss", "unix")
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
OPS_TOKEN_CHARS_MIN = 16
SEEN_MARGIN_S = 600
"""Added to the shortest safe life of a seen mark, for clocks and slow hands."""

Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]
WholeSeconds = Annotated[int, Meta(ge=0, le=31_536_000)]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of all processes; a value made by hand in tests, by ``load_settings`` in service.

    Raises:
        ValueError: two settings contradict each other.
    """

    broker_url: Annotated[
        str, Meta(description="Where Celery messages travel: redis://, rediss://, sentinel:// or amqp://.")
    ] = DEFAULT_REDIS_URL
    redis_url: Annotated[
        str,
        Meta(description="Where streams, pub/sub and the bridge's books live. Empty: the broker, when that is Redis."),
    ] = ""
    broker_keyprefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9:_.-]{0,50}$",
            extra={"form": "at most 50 letters, digits, or any of : _ . -"},
            description="Put before every broker key (Redis), where several Celery apps share a database.",
        ),
    ] = ""
    broker_sentinel_master: Annotated[
        str, Meta(description="Name of the master that the sentinels watch; only with sentinel://.")
    ] = "mymaster"
    registry: Annotated[str, Meta(description="The catalog, as package.module:attribute. Empty: the built-in one.")] = (
        ""
    )
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
        Meta(ge=1, le=100_000, description="Events held for one slow client; then it is cut, and resumes."),
    ] = 512
    gateway_clients_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Streams open in one gateway process; more get a 503.")
    ] = 10_000
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
        Meta(description="Opens the operators' page to look only; 16 characters or more. Empty: nobody looks only."),
    ] = ""
    ops_payloads: Annotated[
        bool, Meta(description="Show the contents of events to operators on their page; masked for everybody if not.")
    ] = False

    def __post_init__(self) -> None:
        faults = list(_contradictions(self))
        if faults:
            raise ValueError("\n".join(faults))

    def __repr__(self) -> str:
        # URLs may hold passwords, and a repr ends up in logs.
        return f"<Settings of {len(self.__struct_fields__)} values>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Struct's own would show every value to rich.
        return []

    @property
    def store_url(self) -> str:
        """The Redis that holds streams, pub/sub and books: ``redis_url``, or else the broker."""
        return self.redis_url or self.broker_url

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
        return self.seen_ttl_s or _shortest_seen_life_s(self) + SEEN_MARGIN_S


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read ``BRIDGE_*`` from the environment.

    Args:
        environ: defaults to ``os.environ``.
        overrides: settings by field name that win over the environment.

    Raises:
        SettingsError: one or more settings are wrong or unknown; the message lists them all.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in Settings.__struct_fields__:
            faults.append(_unknown(name))
        elif field not in overrides:
            faults += _read(field, text.strip(), values)
    for field, value in overrides.items():
        faults += _read(field, value, values) if field in _HINTS else [_unknown(environment_name(field))]
    try:
        settings = Settings(**values)
    except ValueError as error:
        faults += str(error).splitlines()
    if faults:
        raise SettingsError("\n".join(["The settings are wrong:", *(f"  - {fault}" for fault in faults)]))
    return settings


def environment_name(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_HINTS = get_type_hints(Settings, include_extras=True)


def _read(field: str, value: object, values: dict[str, Any]) -> list[str]:
    """Convert one value into ``values``; the fault as a sentence, if any. The value may be a secret."""
    try:
        values[field] = msgspec.convert(value, _HINTS[field], strict=not isinstance(value, str))
    except msgspec.ValidationError:
        return [f"{environment_name(field)} must {_demand(field)}. {_description(field)}"]
    return []


def _demand(field: str) -> str:
    """What a value must be, after "must"."""
    hint = inspect.type_info(_HINTS[field])
    described, kind = (hint.extra or {}, hint.type) if isinstance(hint, inspect.Metadata) else ({}, hint)
    match kind:
        case inspect.IntType(ge=low, le=high):
            return f"be a whole number between {low} and {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"be a number between {low} and {high}"
        case inspect.BoolType():
            return "be 1 or 0, true or false"
        case inspect.StrType(min_length=shortest, max_length=int(longest)):
            return f"be {shortest or 0} to {longest} characters long"
        case inspect.StrType(min_length=int()):
            return "not be empty"
    return f"be {described.get('form', 'text')}"


def _description(field: str) -> str:
    meta: Meta = _HINTS[field].__metadata__[-1]
    return meta.description or ""


def _unknown(name: str) -> str:
    known = [environment_name(field) for field in Settings.__struct_fields__]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "see docs/settings.md for the names."
    return f"{name} is not a setting of this version; {hint}"


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from _url_faults(settings)
    if settings.task_time_limit_s >= settings.visibility_timeout_s:
        yield (
            "BRIDGE_TASK_TIME_LIMIT_S must be below BRIDGE_VISIBILITY_TIMEOUT_S, "
            "or a running batch is delivered a second time."
        )
    if settings.retry_base_s > settings.retry_cap_s:
        yield "BRIDGE_RETRY_BASE_S must not exceed BRIDGE_RETRY_CAP_S."
    if settings.event_max_bytes > settings.message_max_bytes:
        yield "BRIDGE_EVENT_MAX_BYTES must not exceed BRIDGE_MESSAGE_MAX_BYTES."
    if 0 < settings.seen_ttl_s < _shortest_seen_life_s(settings):
        yield (
            f"BRIDGE_SEEN_TTL_S must be 0 or at least {_shortest_seen_life_s(settings)}: "
            "the stream's life, one redelivery and all retries."
        )
    yield from _gateway_faults(settings)
    yield from _ops_faults(settings)


def _url_faults(settings: Settings) -> Iterator[str]:
    if _scheme(settings.broker_url) not in BROKER_SCHEMES:
        yield f"BRIDGE_BROKER_URL must start with one of {', '.join(s + '://' for s in BROKER_SCHEMES)}."
    if settings.redis_url and _scheme(settings.redis_url) not in REDIS_SCHEMES:
        yield f"BRIDGE_REDIS_URL must start with one of {', '.join(s + '://' for s in REDIS_SCHEMES)}."
    if not settings.redis_url and _scheme(settings.broker_url) not in ("redis", "rediss"):
        yield "BRIDGE_REDIS_URL is needed, because the broker is not a plain Redis: streams and pub/sub live there."
    for name, url in (("BRIDGE_BROKER_URL", settings.broker_url), ("BRIDGE_REDIS_URL", settings.redis_url)):
        try:
            parts = urlsplit(url.split(";")[0])
            _ = parts.port
        except ValueError:
            yield f"{name} has a port that is no number between 0 and 65535."
            continue
        # kombu stops at another path, and redis-py silently takes database 0.
        if parts.scheme in ("redis", "rediss") and not re.fullmatch("/?|/[0-9]+", parts.path):
            yield f"{name} must end in a database number, such as /0, or in none."


def _gateway_faults(settings: Settings) -> Iterator[str]:
    if settings.jwt_secret and settings.jwt_jwks_url:
        yield "Set BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL, not both."
    if settings.jwt_secret and len(settings.jwt_secret.encode()) < 32:
        yield "BRIDGE_JWT_SECRET must have at least 32 bytes; make one with: openssl rand -hex 32."
    if settings.gateway_dev and not is_loopback(settings.gateway_host):
        yield (
            "BRIDGE_GATEWAY_DEV lets anybody be anybody, so it refuses to listen beyond loopback: "
            "unset it, or listen on 127.0.0.1 (BRIDGE_GATEWAY_HOST, or the option --host)."
        )


def _ops_faults(settings: Settings) -> Iterator[str]:
    tokens = {"BRIDGE_OPS_TOKEN": settings.ops_token, "BRIDGE_OPS_VIEW_TOKEN": settings.ops_view_token}
    for name, token in tokens.items():
        if token and len(token) < OPS_TOKEN_CHARS_MIN:
            yield f"{name} must have at least {OPS_TOKEN_CHARS_MIN} characters; make one with: openssl rand -hex 32."
    if settings.ops_token and settings.ops_token == settings.ops_view_token:
        yield "BRIDGE_OPS_VIEW_TOKEN must differ from BRIDGE_OPS_TOKEN, or whoever may look may also act."


def _shortest_seen_life_s(settings: Settings) -> int:
    return int(settings.stream_ttl_s + 2 * settings.visibility_timeout_s + settings.longest_retry_s)
