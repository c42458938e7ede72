"""How Celery is set up so that it fits the bridge's promises; each line has its reason."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from kombu.transport import TRANSPORT_ALIASES

from bridge.amqp_adapter.kombu_options import kombu_url, tls_options, transport_options
from bridge.celery_runtime.kombu_messages import PASSED_SERIALIZER
from bridge.settings import WorkerSettings
from bridge.settings.topology import topology

CLAIMING_TRANSPORTS = {
    "bridge-redis": f"{__package__}.redis_transport:ClaimingTransport",
    "bridge-sentinel": f"{__package__}.redis_transport:ClaimingSentinelTransport",
}


def consuming_transport(settings: WorkerSettings) -> str | None:
    """The kombu transport of workers; None for the URL's own. Producers need no claims, and use kombu's."""
    if not topology(settings).on_redis:
        return None
    name = "bridge-sentinel" if _behind_sentinels(settings) else "bridge-redis"
    TRANSPORT_ALIASES[name] = CLAIMING_TRANSPORTS[name]
    return name


def claiming_sentinels(urls: Sequence[str]) -> Iterator[str]:
    """The servers that a worker tries in turn when it cannot connect.

    kombu takes the transport from the scheme of such a URL, whatever was configured: from then on messages
    would be fetched its own way, which can lose them.
    """
    return cycle([url.replace("sentinel://", "bridge-sentinel://", 1) for url in urls])


def _behind_sentinels(settings: WorkerSettings) -> bool:
    broker = topology(settings).broker
    return broker is not None and bool(broker.sentinels)


def celery_config(settings: WorkerSettings) -> dict[str, Any]:
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
        # Results are not read: what became of an event is in the bridge's own accounting.
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
        "task_soft_time_limit": settings.task_soft_time_limit_s,
        # One bundle in work and one at hand; what comes meanwhile is claimed together.
        "worker_prefetch_multiplier": 2,
        "worker_concurrency": settings.worker_concurrency,
        # Celery's own may wait forever for a process that was killed; `-P solo` and the like still win.
        "worker_pool": f"{__package__}.prefork:TaskPool",
        "worker_consumer": f"{__package__}.consumer:BridgeConsumer",
        "worker_soft_shutdown_timeout": 10.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": False,
        "timezone": "UTC",
        "enable_utc": True,
    }
