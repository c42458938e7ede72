"""Judges processes, a sentence a fault: whether producers send, threads run, and all have one catalog. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bridge.model.plain_text import one_line
from bridge.model.registry.identity import CatalogIdentity
from bridge.runtime.command_names import command
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport, Reported
from bridge.runtime.supervision import Supervised

SENDS_NOT_S = 8.0
"""A producer whose oldest event waits for longer, and from which the broker took nothing for as long, does not send."""
SILENT_S = 12.0
"""A producer that has said nothing for longer (it does every 3 s, every 9 s while idle) has ended, or is frozen."""
ACTIVE_S = 30.0
"""A producer that accepted an event within so many seconds before it fell silent had more to say; an idle one may be
frozen by its platform, and nothing is wrong."""
GONE_S = 900.0
"""For how long a producer that ended without a word is a fault, if nothing of it waits on a disk; an audit goes on."""
SHOWN_MAX = 10
"""Processes that are named."""


def producer_faults(reported: Sequence[Reported]) -> Iterator[str]:
    """What is the matter with producers, and what to do."""
    for said in reported:
        if said.report.left:
            continue  # an audit tells what it left behind
        yield from _silence(said) if said.age_s > SILENT_S else _standstill(said)


def thread_faults(process: str, threads: Sequence[Supervised]) -> Iterator[str]:
    """Threads and tasks of a process that fail again and again, or wait for their restart."""
    for thread in threads:
        if thread.in_trouble:
            yield (
                f"{process}: {one_line(thread.name)} fails ({one_line(thread.error)}, "
                f"{thread.failed_age_s:.0f} s ago; restarted {thread.restarts} times). Its log says where "
                "(bridge.thread.failed or bridge.task.failed)."
            )


def notes_of(report: ProducerReport) -> tuple[str, ...]:
    """What else there is to know of a producer, which is no fault of the bridge: short phrases."""
    notes = []
    if report.unmapped:
        classes = ", ".join(map(one_line, report.unmapped_classes))
        notes.append(f"{report.unmapped:,} of no mapped class ({classes}): see BRIDGE_REGISTRY")
    if report.refused:
        notes.append(f"{report.refused:,} refused")
    if report.set_aside:
        notes.append(f"{report.set_aside:,} spool files set aside as unreadable")
    return tuple(notes)


def _name(report: ProducerReport) -> str:
    return f"Producer {one_line(report.host)}:{report.pid}"


def _silence(said: Reported) -> Iterator[str]:
    report = said.report
    in_memory, on_disk = report.waiting, report.spooled
    if on_disk:
        rest = f"{on_disk:,} events wait in its spool: start a process with that BRIDGE_SPOOL_DIR."
    elif said.age_s > GONE_S or not (in_memory or report.accepted_age_s <= ACTIVE_S):
        return
    else:
        rest = f"{in_memory:,} events were in its memory. `{command('audit')}` says what is missing."
    yield f"{_name(report)} has not been heard for {said.age_s:.0f} s: it was killed, or is frozen. {rest}"


def _standstill(said: Reported) -> Iterator[str]:
    report = said.report
    yield from thread_faults(_name(report), report.threads)
    if min(report.oldest_s, report.sent_age_s) > SENDS_NOT_S:
        trouble = f" Its last trouble: {one_line(report.trouble)}" if report.trouble else ""
        yield (
            f"{_name(report)} accepts and does not send: the oldest of {report.waiting + report.spooled:,} events "
            f"waits for {report.oldest_s:.0f} s.{trouble}"
        )


def differences(
    own: CatalogIdentity,
    workers: Iterable[KnownWorker],
    producers: Iterable[ProducerReport],
    gateways: GatewayStates,
) -> tuple[str, ...]:
    """Processes with another catalog, a sentence each, up to SHOWN_MAX; and how many there are besides."""
    found = [*_of_workers(own, workers), *_of_producers(own, producers), *_of_gateways(own, gateways)]
    shown = list(islice(found, SHOWN_MAX))
    if len(found) > SHOWN_MAX:
        shown.append(f"{len(found) - SHOWN_MAX:,} more processes have another catalog than this one.")
    return tuple(shown)


def worker_differences(own: CatalogIdentity, workers: Iterable[KnownWorker]) -> tuple[str, ...]:
    """Workers with another catalog, which decide what becomes of events; a sentence each, up to SHOWN_MAX."""
    return tuple(islice(_of_workers(own, workers), SHOWN_MAX))


def _of_workers(own: CatalogIdentity, workers: Iterable[KnownWorker]) -> Iterator[str]:
    for worker in workers:
        report = worker.report
        yield from _difference(own, f"worker {worker.name}", report.catalog, report.started, report.release)


def _of_producers(own: CatalogIdentity, producers: Iterable[ProducerReport]) -> Iterator[str]:
    for producer in producers:
        if not producer.left:
            name = f"producer {producer.host}:{producer.pid}"
            yield from _difference(own, name, producer.catalog, producer.started, producer.release)


def _of_gateways(own: CatalogIdentity, gateways: GatewayStates) -> Iterator[str]:
    for name, catalog in gateways.catalogs:
        yield from _difference(own, f"gateway {name}", catalog, "", "")


def _difference(own: CatalogIdentity, name: str, catalog: str, started: str, release: str) -> Iterator[str]:
    theirs = CatalogIdentity.parse(catalog)
    difference = own.difference(theirs) if theirs else ""
    if difference:
        when = f"started {started[:19]}" if started else ""
        details = ", ".join(filter(None, (when, release and f"release {release}")))
        yield one_line(
            f"This process has {difference} than {name}{f' ({details})' if details else ''}: restart whichever runs "
            "the older code."
        )
