"""Settings that are fine one by one and not together; each is a fault of the processes that would suffer from it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from bridge.settings.processes import EVERYBODY, Process, chosen

if TYPE_CHECKING:
    from bridge.settings.model import Settings

BROKER_SCHEMES = ("redis", "rediss", "sentinel", "amqp", "amqps")
REDIS_SCHEMES = ("redis", "rediss", "sentinel", "unix")
OPS_TOKEN_CHARS_MIN = 16


def contradictions(settings: "Settings", for_: Process | Iterable[Process] | None = None) -> list[str]:
    """What is wrong with settings together, one sentence each, as far as the named processes suffer from it."""
    processes = chosen(for_)
    return [
        fault
        for sufferers, judge in (
            # The gateway reads the store alone, which is the broker if no other is named.
            (EVERYBODY - {"gateway"} if settings.redis_url else EVERYBODY, _broker_faults),
            (EVERYBODY, _store_faults),
            ({"worker"}, _worker_faults),
            ({"producer"}, _producer_faults),
            ({"gateway"}, _gateway_faults),
            ({"ops"}, _ops_faults),
        )
        if processes & sufferers
        for fault in judge(settings)
    ]


def shortest_seen_life_s(settings: "Settings") -> int:
    """The least time for which an event's id must be remembered: the stream, one redelivery and all retries."""
    return int(settings.stream_ttl_s + 2 * settings.visibility_timeout_s + settings.longest_retry_s)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""


def _broker_faults(settings: "Settings") -> Iterator[str]:
    if _scheme(settings.broker_url) not in BROKER_SCHEMES:
        yield f"BRIDGE_BROKER_URL must start with one of {', '.join(s + '://' for s in BROKER_SCHEMES)}."
    yield from _shape_faults("BRIDGE_BROKER_URL", settings.broker_url)


def _store_faults(settings: "Settings") -> Iterator[str]:
    if settings.redis_url and _scheme(settings.redis_url) not in REDIS_SCHEMES:
        yield f"BRIDGE_REDIS_URL must start with one of {', '.join(s + '://' for s in REDIS_SCHEMES)}."
    if not settings.redis_url and _scheme(settings.broker_url) not in ("redis", "rediss", "sentinel"):
        yield "BRIDGE_REDIS_URL is needed, because the broker is no Redis: streams and pub/sub live there."
    yield from _shape_faults("BRIDGE_REDIS_URL", settings.redis_url)


def _shape_faults(name: str, url: str) -> Iterator[str]:
    try:
        members = [urlsplit(member if "://" in member else f"sentinel://{member}") for member in url.split(";")]
        _ = [member.port for member in members]
    except ValueError:
        yield f"{name} has a port that is no number between 0 and 65535."
        return
    parts = members[0]
    if url and parts.scheme == "sentinel":
        yield from _sentinel_faults(name, members)
    # kombu stops at another path, and redis-py silently takes database 0.
    if parts.scheme in ("redis", "rediss") and not re.fullmatch("/?|/[0-9]+", parts.path):
        yield f"{name} must end in a database number, such as /0, or in none."


def _sentinel_faults(name: str, members: Sequence[SplitResult]) -> Iterator[str]:
    if any(member.scheme != "sentinel" for member in members):
        yield f"{name} mixes sentinel:// with something else; write sentinel://host:port;sentinel://host:port/0."
    if any(not member.hostname for member in members):
        yield f"{name} names a sentinel without a host."
    if any(not re.fullmatch("/?|/[0-9]+", member.path) for member in members):
        yield f"{name} must end in a database number, such as /0, or in none."
    if len({member.path.strip("/") for member in members} - {""}) > 1:
        yield f"{name} names several databases; the last sentinel's is enough, such as /0."


def _worker_faults(settings: "Settings") -> Iterator[str]:
    if settings.task_time_limit_s >= settings.visibility_timeout_s:
        yield (
            "BRIDGE_TASK_TIME_LIMIT_S must be below BRIDGE_VISIBILITY_TIMEOUT_S, "
            "or a running batch is delivered a second time."
        )
    if settings.retry_base_s > settings.retry_cap_s:
        yield "BRIDGE_RETRY_BASE_S must not exceed BRIDGE_RETRY_CAP_S."
    if 0 < settings.seen_ttl_s < shortest_seen_life_s(settings):
        yield (
            f"BRIDGE_SEEN_TTL_S must be 0 or at least {shortest_seen_life_s(settings)}: "
            "the stream's life, one redelivery and all retries."
        )


def _producer_faults(settings: "Settings") -> Iterator[str]:
    if settings.event_max_bytes > settings.message_max_bytes:
        yield "BRIDGE_EVENT_MAX_BYTES must not exceed BRIDGE_MESSAGE_MAX_BYTES."


def _gateway_faults(settings: "Settings") -> Iterator[str]:
    if settings.jwt_secret and settings.jwt_jwks_url:
        yield "Set BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL, not both."
    if settings.jwt_secret and len(settings.jwt_secret.encode()) < 32:
        yield "BRIDGE_JWT_SECRET must have at least 32 bytes; make one with: openssl rand -hex 32."
    if settings.gateway_dev and settings.gateway_authenticator:
        yield "Set BRIDGE_GATEWAY_DEV or BRIDGE_GATEWAY_AUTHENTICATOR, not both."
    if settings.gateway_dev and not is_loopback(settings.gateway_host):
        yield (
            "BRIDGE_GATEWAY_DEV lets anybody be anybody, so it refuses to listen beyond loopback: "
            "unset it, or listen on 127.0.0.1 (BRIDGE_GATEWAY_HOST, or the option --host)."
        )


def _ops_faults(settings: "Settings") -> Iterator[str]:
    tokens = {"BRIDGE_OPS_TOKEN": settings.ops_token, "BRIDGE_OPS_VIEW_TOKEN": settings.ops_view_token}
    for name, token in tokens.items():
        if token and len(token) < OPS_TOKEN_CHARS_MIN:
            yield f"{name} must have at least {OPS_TOKEN_CHARS_MIN} characters; make one with: openssl rand -hex 32."
    if settings.ops_token and settings.ops_token == settings.ops_view_token:
        yield "BRIDGE_OPS_VIEW_TOKEN must differ from BRIDGE_OPS_TOKEN, or whoever may look may also act."
