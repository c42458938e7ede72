"""What processes say of the outboxes that they drain, once a table, and what is the matter with one. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridge.model.plain_text import one_line
from bridge.operations.liveness import SENDS_NOT_S, SILENT_S
from bridge.runtime.reports import OutboxReport, Reported


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxState:
    """The outbox of one database, as it was reported last."""

    database: str  # which, without user and password
    waiting: int  # rows that the broker does not have
    oldest_s: float  # since the oldest of them was emitted
    set_aside: int  # rows that are not sent: damaged, or perhaps published already
    foreign: int  # of the waiting, rows of types or schema versions that the reporting process does not know
    full: bool  # whether it takes no more rows
    drained_by: int  # processes that are heard, and drain it
    age_s: float  # of the report
    sent_age_s: float  # since the broker last took anything from one of them
    trouble: str  # why a process that is heard cannot read it; empty if all can


def outboxes_of(reported: Sequence[Reported]) -> tuple[OutboxState, ...]:
    """Every outbox that a report tells of, by its name: the newest report counts.

    Args:
        reported: the oldest first.
    """
    told: dict[str, list[tuple[Reported, OutboxReport]]] = {}
    for said in reported:
        for one in said.report.outboxes:
            told.setdefault(one.database, []).append((said, one))
    return tuple(_state(told[name]) for name in sorted(told))


def _state(told: Sequence[tuple[Reported, OutboxReport]]) -> OutboxState:
    """What the newest report says of an outbox, and all that are heard."""
    said, newest = told[-1]
    heard = [(each, one) for each, one in told if not each.report.left and each.age_s <= SILENT_S]
    return OutboxState(
        database=newest.database,
        waiting=newest.waiting,
        oldest_s=newest.oldest_s + said.age_s if newest.waiting else 0.0,
        set_aside=newest.set_aside,
        foreign=newest.foreign,
        full=newest.full,
        drained_by=len(heard),
        age_s=said.age_s,
        sent_age_s=min((each.report.sent_age_s for each, _ in heard), default=said.age_s),
        trouble=next((one.trouble for _, one in heard if one.trouble), ""),
    )


def outbox_faults(outboxes: Sequence[OutboxState]) -> Iterator[str]:
    """What keeps events in an outbox, and what to do."""
    for outbox in outboxes:
        name = f"The outbox of {one_line(outbox.database)}"
        held = f"{outbox.waiting:,} events"
        if outbox.trouble:
            yield f"{name} is not drained: {one_line(outbox.trouble)}"
        elif outbox.waiting and not outbox.drained_by:
            yield f"{name} holds {held}, and no process drains it: start one that emits there."
        elif outbox.waiting > outbox.foreign and min(outbox.oldest_s, outbox.sent_age_s) > SENDS_NOT_S:
            yield f"{name} holds {held}, the oldest for {outbox.oldest_s:,.0f} s, and none of them is sent."
        if outbox.full:
            yield f"{name} is full ({held}, BRIDGE_OUTBOX_MAX): emit refuses more until some are sent."


def outbox_remarks(outboxes: Sequence[OutboxState]) -> Iterator[str]:
    """What else there is to know of them."""
    for outbox in outboxes:
        name = f"The outbox of {one_line(outbox.database)}"
        if outbox.set_aside:
            yield (
                f"{name} has {outbox.set_aside:,} rows set aside: damaged, or perhaps published before. They are not "
                "sent; docs/outbox.md says what to do with them."
            )
        if outbox.foreign:
            yield f"{name} has {outbox.foreign:,} rows of types that the process draining it does not know; they wait."
