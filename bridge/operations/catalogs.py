"""Finds processes that run another catalog than this one, whose workers may decide otherwise than a dry run here."""

from collections.abc import Iterable, Iterator
from itertools import islice

from bridge.model.plain_text import one_line
from bridge.model.registry.identity import CatalogIdentity
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport

SHOWN_MAX = 10
"""Processes that are named."""


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
        yield from _sentence(own, f"worker {worker.name}", report.catalog, report.started, report.release)


def _of_producers(own: CatalogIdentity, producers: Iterable[ProducerReport]) -> Iterator[str]:
    for producer in producers:
        if not producer.left:
            name = f"producer {producer.host}:{producer.pid}"
            yield from _sentence(own, name, producer.catalog, producer.started, producer.release)


def _of_gateways(own: CatalogIdentity, gateways: GatewayStates) -> Iterator[str]:
    for name, catalog in gateways.catalogs:
        yield from _sentence(own, f"gateway {name}", catalog, "", "")


def _sentence(own: CatalogIdentity, name: str, catalog: str, started: str, release: str) -> Iterator[str]:
    theirs = CatalogIdentity.parse(catalog)
    difference = own.difference(theirs) if theirs else ""
    if difference:
        when = f"started {started[:19]}" if started else ""
        details = ", ".join(filter(None, (when, release and f"release {release}")))
        yield one_line(
            f"This process has {difference} than {name}{f' ({details})' if details else ''}: restart whichever runs "
            "the older code."
        )
