"""Queues and routes on the broker: derived from the registry, and from nothing else."""

from kombu import Exchange, Queue

from bridge.model.registry import Registry
from bridge.settings import ServerSettings
from bridge.settings.topology import topology


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
