"""How Celery and kombu are set up so that they fit the bridge's promises; each line has its reason."""

import ssl
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from redis.connection import parse_url

from bridge.broker.passing import PASSED_SERIALIZER
from bridge.settings import Settings
from bridge.store.pools import sentinel_options
from bridge.topology import topology

SOCKET_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 3
HEALTH_CHECK_INTERVAL_S = 10
RESTORE_INTERVAL_S = 5
CLAIMING_TRANSPORTS = {
    "bridge-redis": "bridge.broker.redis_transport:ClaimingTransport",
    "bridge-sentinel": "bridge.broker.redis_transport:ClaimingSentinelTransport",
}


def is_redis(settings: Settings) -> bool:
    """Whether the broker is a Redis, alone or behind sentinels."""
    return topology(settings).broker is not None


def transport_options(settings: Settings) -> dict[str, Any]:
    """Options of kombu's transport for a connection that consumes or looks, and sends nothing that matters."""
    if not is_redis(settings):
        return {"read_timeout": SOCKET_TIMEOUT_S, "write_timeout": SOCKET_TIMEOUT_S}
    options: dict[str, Any] = {
        # A message of a dead worker comes back after this time; the default is an hour …
        "visibility_timeout": settings.visibility_timeout_s,
        # … plus interval times throttle: by default 100 s more.
        "unacked_restore_interval": max(1, min(RESTORE_INTERVAL_S, settings.visibility_timeout_s // 3)),
        "unacked_restore_throttle": 1,
        # Without these a frozen Redis hangs producers and workers for ever.
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        # One list a queue instead of four, and no queue that starves another.
        "priority_steps": [0],
        "queue_order_strategy": "round_robin",
    }
    if settings.queue_prefix:
        options["global_keyprefix"] = settings.queue_prefix
    broker = topology(settings).broker
    if broker is not None and broker.sentinels:
        options["master_name"] = broker.master
        options["sentinel_kwargs"] = sentinel_options(broker, tls_options(settings) or {})
    return options


def sending_options(settings: Settings) -> dict[str, Any]:
    """Options of kombu's transport for a connection that sends events."""
    options = transport_options(settings)
    if not is_redis(settings):
        # A publish returns only when RabbitMQ has the message on a majority of disks. Under an alarm it has none: who
        # must go on meanwhile, as a worker's main loop that sends heartbeats to Flower, cannot wait for that.
        options["confirm_publish"] = True
    return options


def kombu_url(settings: Settings) -> str:
    """The broker's URL in the form that kombu reads."""
    broker = topology(settings).broker
    return settings.broker_url if broker is None else broker.kombu_url()


def consuming_transport(settings: Settings) -> str | None:
    """The kombu transport of workers; None for the URL's own. Producers need no claims, and use kombu's."""
    if not is_redis(settings):
        return None
    name = "bridge-sentinel" if _behind_sentinels(settings) else "bridge-redis"
    TRANSPORT_ALIASES[name] = CLAIMING_TRANSPORTS[name]
    return name


def claiming_sentinels(urls: Sequence[str]) -> Iterator[str]:
    """Whom a worker that cannot connect tries in turn.

    kombu takes the transport from the scheme of such a URL, whatever was configured: from then on messages
    would be fetched its own way, which can lose them.
    """
    return cycle([url.replace("sentinel://", "bridge-sentinel://", 1) for url in urls])


def tls_options(settings: Settings) -> dict[str, Any] | None:
    """TLS of a Redis: certificates are checked, unless the URL says otherwise (``ssl_cert_reqs``)."""
    broker = topology(settings).broker
    if broker is None or not broker.url.startswith("rediss"):
        return None
    of_url = {name: value for name, value in parse_url(broker.url).items() if name.startswith("ssl_")}  # type: ignore[no-untyped-call]
    # kombu reads the options of a URL at an address by itself.
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **(of_url if broker.sentinels else {})}


def _behind_sentinels(settings: Settings) -> bool:
    broker = topology(settings).broker
    return broker is not None and bool(broker.sentinels)


def celery_config(settings: Settings) -> dict[str, Any]:
    """Configuration of the bridge's own Celery app, but for its queues and routes."""
    return {
        "broker_url": kombu_url(settings),
        "broker_failover_strategy": claiming_sentinels if _behind_sentinels(settings) else None,
        "broker_use_ssl": tls_options(settings),
        "broker_transport_options": transport_options(settings),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that refuses writes for a while (full, read-only, no replica) is waited for, like one that is away.
        "broker_channel_error_retry": True,
        # Nobody reads results: what became of an event is in the bridge's own books.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # A message is acknowledged when its events are settled, never before.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,
        # A name that is not in the registry goes nowhere; `-Q` may name a queue that it has no more (WorkerQueues).
        "task_create_missing_queues": False,
        "task_default_exchange_type": "direct",
        # The second never comes over the wire: BridgeConsumer refuses it there.
        "accept_content": ["json", PASSED_SERIALIZER],
        "task_serializer": "json",
        "task_time_limit": settings.task_time_limit_s,
        "task_soft_time_limit": soft_time_limit_s(settings),
        # One bundle in work and one at hand; what comes meanwhile is claimed together.
        "worker_prefetch_multiplier": 2,
        "worker_concurrency": settings.worker_concurrency,
        # Celery's own may wait for ever for a process that was killed; `-P solo` and the like still win.
        "worker_pool": "bridge.worker.prefork:TaskPool",
        "worker_consumer": "bridge.worker.consumer:BridgeConsumer",
        "worker_soft_shutdown_timeout": 10.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": False,
        "timezone": "UTC",
        "enable_utc": True,
    }


def soft_time_limit_s(settings: Settings) -> float:
    """When a running extractor is interrupted: in time to record what else is in the batch before it is killed."""
    return settings.task_time_limit_s * 3 / 4
