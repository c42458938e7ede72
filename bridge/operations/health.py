"""Judges whether events flow, from what workers report and what waits; each fault is a sentence. Pure."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bridge.messages.queue_item import QueueState
from bridge.model.accounting import Recent
from bridge.model.errors import BLOCKED
from bridge.model.plain_text import one_line
from bridge.model.registry import Registry
from bridge.operations.survey import Survey
from bridge.runtime.command_names import command, worker_command
from bridge.runtime.reports import KnownWorker
from bridge.settings import AccountingSettings

STILL_S = 10.0
"""A worker that is silent, a loop that stands, or a queue that no worker takes from for longer is a fault.

Workers report every 3 s, so a frozen one is noticed between 10 and 13 s."""


DEATHS_SHARE_MAX = 0.05
"""Of the events that ended within the last minute, so many may have died."""
DEATHS_MIN = 3
"""Fewer deaths are no fault, however few events there were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why the bridge is not healthy."""

    subject: str  # workers, producers, outboxes, gateways, queues, retries, events, broker or redis
    sentence: str  # what is the matter, and what to do


def is_consuming(settings: AccountingSettings, worker: KnownWorker) -> bool:
    """Whether a worker is heard and its loop turns, or is held up by a message that may still take its time."""
    report = worker.report
    if worker.silent_s > STILL_S:
        return False
    return report.loop_age_s <= STILL_S or _is_busy(settings, worker)


def consuming_workers(settings: AccountingSettings, workers: Iterable[KnownWorker]) -> list[KnownWorker]:
    """Of all workers, those that are consuming."""
    return [worker for worker in workers if is_consuming(settings, worker)]


def judge(
    settings: AccountingSettings,
    registry: Registry,
    survey: Survey,
    workers: Sequence[KnownWorker],
    *,
    takes_writes: bool = True,
) -> Iterator[Fault]:
    """What hinders events from flowing.

    Args:
        settings: settings of the bridge.
        registry: registry of the process that judges.
        survey: survey of the queues; without any if the broker is away.
        workers: that did not say good-bye.
        takes_writes: whether Redis does; if not, that workers are silent says nothing about them.
    """
    if not takes_writes:
        workers = [worker for worker in workers if worker.silent_s <= STILL_S]
        if not workers:
            return
    for worker in workers:
        yield from (Fault(subject="workers", sentence=sentence) for sentence in _worker_faults(settings, worker))
    consuming = consuming_workers(settings, workers)
    if any(worker.report.blocked for worker in consuming):
        yield Fault(subject="broker", sentence=BLOCKED)
    if not consuming:
        if not any(worker.silent_s <= STILL_S and worker.report.forbidden for worker in workers):
            sentence = f"No worker consumes. Start one: {worker_command()}"
            yield Fault(subject="workers", sentence=sentence)
    else:
        served = {queue for worker in consuming for queue in worker.report.queues}
        for name in registry.queues:
            if name not in served:
                yield Fault(subject="queues", sentence=f"No worker consumes the queue {name}.")
    for queue in survey.queues:
        yield from _idle_faults(queue, consuming)
    yield from stranded(registry, survey, consuming)


def deaths(recent: Recent) -> Iterator[Fault]:
    """Whether too many of the events that ended lately died."""
    if recent.dead >= DEATHS_MIN and recent.dead_share >= DEATHS_SHARE_MAX:
        sentence = (
            f"{recent.dead:,} of {recent.ended:,} events that ended in the last {recent.seconds:.0f} s died "
            f"({recent.dead_share:.0%}; {DEATHS_SHARE_MAX:.0%} is a fault). What of: "
            + command(f"dead groups --since {max(60, round(recent.seconds))}s")
        )
        yield Fault(subject="events", sentence=sentence)


def stranded(registry: Registry, survey: Survey, consuming: Sequence[KnownWorker]) -> Iterator[Fault]:
    """What waits where no worker will ever look: left by another registry, or by a foreign producer.

    Args:
        registry: registry of the process that judges.
        survey: survey of the queues.
        consuming: workers that are heard.
    """
    served = {queue for worker in consuming for queue in worker.report.queues}
    for queue in survey.queues:
        if queue.depth and not queue.registered and queue.name not in served:
            name = one_line(queue.name)
            mapping = registry.mapping_of_task(queue.task)
            target = registry.queue_of(mapping) if mapping else "QUEUE"
            sentence = (
                f"{_counted(queue.depth, 'message')} on {name}, which this registry does not have and no worker "
                f"consumes. Move what is there: {command('queues move')} {shlex.quote(name)} {target}, or start a "
                f"worker for it: {worker_command('-Q', shlex.quote(name))}"
            )
            yield Fault(subject="queues", sentence=sentence)
    for task, queue_name, retries in survey.retries:
        if registry.mapping_of_task(task) is None and queue_name not in served:
            sentence = (
                f"{_counted(retries, 'retry', 'retries')} for {one_line(task)} on {one_line(queue_name)}, which this "
                f"registry does not have and no worker consumes; when due they are dead-lettered. See them: "
                f"{command('retries list')} --type {shlex.quote(one_line(task).removeprefix('bridge.'))}"
            )
            yield Fault(subject="retries", sentence=sentence)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one} waits" if number == 1 else f"{number:,} {many or one + 's'} wait"


def _worker_faults(settings: AccountingSettings, worker: KnownWorker) -> Iterator[str]:
    name, report, silent_s = worker.name, worker.report, worker.silent_s
    if silent_s > settings.visibility_timeout_s + STILL_S:
        return  # long gone: what it held has been given to others
    if silent_s > STILL_S:
        yield (
            f"Worker {name} has not been heard for {silent_s:.0f} s: it is frozen, or was killed. "
            f"What it holds comes back {settings.visibility_timeout_s} s after it was claimed (Redis)."
        )
    elif not is_consuming(settings, worker):
        stands = f"lives, but its loop has stood still for {report.loop_age_s:.0f} s: restart it."
        yield f"Worker {name} {f'consumes nothing. {report.forbidden}' if report.forbidden else stands}"
    for queue, why in report.refused.items() if silent_s <= STILL_S else ():
        yield f"Worker {name} may not consume the queue {queue}. {why}"
    if report.forbidden and is_consuming(settings, worker):
        yield f"Worker {name} cannot publish. {report.forbidden}"
    if silent_s <= STILL_S and report.oldest_task_s > settings.task_time_limit_s + STILL_S:
        yield (
            f"Worker {name} has run one message for {report.oldest_task_s:.0f} s, beyond the limit of "
            f"{settings.task_time_limit_s} s: a process of its pool hangs; restart it."
        )


def _is_busy(settings: AccountingSettings, worker: KnownWorker) -> bool:
    """A solo pool runs its message in the loop itself, for as long as a message may take."""
    report = worker.report
    return report.pool == "solo" and report.running > 0 and report.loop_age_s <= settings.task_time_limit_s


def _idle_faults(queue: QueueState, consuming: Sequence[KnownWorker]) -> Iterator[Fault]:
    """Workers that have room, and take nothing from a queue on which something waits."""
    if not queue.depth or (queue.oldest_age_s or 0) <= STILL_S:
        return
    for worker in consuming:
        report = worker.report
        has_room = report.running < report.processes and report.loop_age_s <= STILL_S
        if queue.name in report.queues and has_room and report.consumed_age_s > STILL_S:
            sentence = (
                f"Worker {worker.name} has room and has taken nothing for {report.consumed_age_s:.0f} s, though "
                f"{queue.depth} messages wait on {queue.name} for {queue.oldest_age_s:.0f} s: restart it."
            )
            yield Fault(subject="workers", sentence=sentence)
