"""How kombu connects to a broker, RabbitMQ or Redis, and which queues it declares there; each line has its reason."""

import ssl
from typing import Any

from kombu import Connection, Exchange, Queue

from bridge.model.registry import Registry
from bridge.redis_adapter import sentinel_options, tls_options_of
from bridge.settings import AccountingSettings, ServerSettings
from bridge.settings.topology import topology

SOCKET_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 3
HEALTH_CHECK_INTERVAL_S = 10
RESTORE_INTERVAL_S = 5
RABBIT_OPTIONS: dict[str, Any] = {"read_timeout": SOCKET_TIMEOUT_S, "write_timeout": SOCKET_TIMEOUT_S}
# A publish returns only when RabbitMQ has the message on a majority of disks. Under an alarm it has none: who must go
# on meanwhile, as a worker's main loop that sends heartbeats to Flower, cannot wait for that.
SENDING_OPTIONS = {**RABBIT_OPTIONS, "confirm_publish": True}
"""Options of kombu's transport for a connection that sends events to RabbitMQ."""


def transport_options(settings: AccountingSettings) -> dict[str, Any]:
    """Options of kombu's transport for a connection that consumes, and sends nothing that matters."""
    if not topology(settings).on_redis:
        return dict(RABBIT_OPTIONS)
    options: dict[str, Any] = {
        # A message of a dead worker comes back after this time; the default is an hour …
        "visibility_timeout": settings.visibility_timeout_s,
        # … plus interval times throttle: by default 100 s more.
        "unacked_restore_interval": max(1, min(RESTORE_INTERVAL_S, settings.visibility_timeout_s // 3)),
        "unacked_restore_throttle": 1,
        # Without these a frozen Redis hangs producers and workers forever.
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


def rabbit_connection(settings: ServerSettings, options: dict[str, Any] = SENDING_OPTIONS) -> Connection:
    """A connection to RabbitMQ, opened when it is first used; by default each publish waits for the confirmation."""
    url = settings.broker_url
    # By its alias kombu would look for librabbitmq each time, which is an import on whatever thread this is.
    url = url.replace("amqp://", "pyamqp://") if url.startswith("amqp://") else url
    return Connection(url, connect_timeout=CONNECT_TIMEOUT_S, transport_options=options)


def kombu_url(settings: ServerSettings) -> str:
    """The broker's URL in the form that kombu reads."""
    broker = topology(settings).broker
    return settings.broker_url if broker is None else broker.kombu_url()


def tls_options(settings: ServerSettings) -> dict[str, Any] | None:
    """TLS of a Redis: certificates are checked, unless the URL says otherwise (``ssl_cert_reqs``)."""
    broker = topology(settings).broker
    if broker is None or not broker.url.startswith("rediss"):
        return None
    # kombu reads the options of a URL at an address by itself.
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **(tls_options_of(broker.url) if broker.sentinels else {})}


def queues(settings: ServerSettings, registry: Registry) -> list[Queue]:
    """One queue a category, reached directly by its name.

    On RabbitMQ they are quorum queues, which survive the loss of a node.
    """
    return [queue(settings, name) for name in registry.queues]


def queue(settings: ServerSettings, name: str) -> Queue:
    """The queue of that name, declared as all of the bridge's are."""
    arguments = {"x-queue-type": "quorum"} if topology(settings).broker is None else {}
    return Queue(name, Exchange(""), routing_key=name, durable=True, queue_arguments=arguments)


def routes(registry: Registry) -> dict[str, dict[str, str]]:
    """Celery routes: each mapping's task goes to the queue of its type's category."""
    return {registry.task_of(mapping): {"queue": registry.queue_of(mapping)} for mapping in registry.mappings}
