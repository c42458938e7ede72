"""Judges whether producers send what they accept and each process' threads run; each fault is a sentence. Pure.

A producer reports every 3 s from a thread of its own, and every 9 s while it is idle.
"""

from collections.abc import Iterator, Sequence

from bridge.model.plain_text import one_line
from bridge.runtime.reports import ProducerReport, Reported
from bridge.runtime.supervision import Supervised

SENDS_NOT_S = 8.0
"""A producer whose oldest event waits for longer, and from which the broker took nothing for as long, does not send."""
SILENT_S = 12.0
"""A producer that has said nothing for longer has ended without saying so, or is frozen."""
ACTIVE_S = 30.0
"""A producer that accepted an event within so many seconds before it fell silent had more to say; an idle one may be
frozen by its platform, and nothing is wrong."""
GONE_S = 900.0
"""For how long a producer that ended without a word is a fault, if nothing of it waits on a disk; an audit goes on."""


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
        rest = f"{in_memory:,} events were in its memory. `sse-bridge audit` says what is missing."
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
