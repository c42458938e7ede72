"""``sse-bridge audit``: whether the accounting balances, what is missing, and what producers went away with."""

from dataclasses import asdict
from typing import Any

import click
import msgspec

from bridge.catalogs import load_configured
from bridge.cli.console import FiniteRange, console, json_option, plain, print_json, styled, table
from bridge.cli.filters import open_named_store
from bridge.model.registry import Registry
from bridge.operations import Audit, Auditor, OutboxState, Verdict, went_away
from bridge.runtime.command_names import command
from bridge.runtime.reports import Reported
from bridge.settings import OperatorSettings
from bridge.views.words import moment, span


@click.command()
@click.option(
    "--grace",
    "grace_s",
    type=FiniteRange(0, 31_536_000),
    default=60.0,
    show_default=True,
    help="Look for messages that are on their way for at least this many seconds.",
)
@click.option(
    "--limit", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Events to list at most."
)
@click.option("--write-off", "reason", metavar="REASON", help="Write off what is missing; the reason is logged.")
@click.option("--unclear", is_flag=True, help="With --write-off: also what a worker may still have (RabbitMQ).")
@json_option
@click.pass_context
def audit(ctx: click.Context, grace_s: float, limit: int, reason: str | None, unclear: bool, as_json: bool) -> None:
    r"""Check the accounting, and list the events that are missing.

    Every accepted event is in one place: on its way, waiting for a retry, a dead letter, or ended. Events whose
    message is on no queue and claimed by no worker are missing: the broker has lost them. Emit them again (with the
    same event_id nothing is published twice), or write them off, which ends them in the accounting and is logged.

    Producers that hold events are named, too, and those that went away with some. Their number is the last that
    they reported; it does not change the exit code. Writing off also forgets those that went away, but for spools.

    On RabbitMQ no tool can look into a queue. Events on their way whose queue is empty are unclear: a worker has
    them, or they are missing. A second audit after a worker's time limit tells more.

    \b
    Examples:
      sse-bridge audit
      sse-bridge audit --json | jq '.missing.listed[].event_id'
      sse-bridge audit --grace 3600 --write-off "lost with the broker's disk in May"

    What waits on a queue that no registry names and no worker consumes is not missing, and named with what to do.

    \b
    Exit codes: 0 the accounting balances and nothing is missing or stranded, 1 otherwise, 2 wrong use or settings.
    """
    if reason is not None and not reason.strip():
        raise click.UsageError("Give --write-off a reason; it is kept in the log.")
    if unclear and reason is None:
        raise click.UsageError("--unclear belongs to --write-off.")
    settings, registry = load_configured(OperatorSettings)
    verdicts = frozenset({Verdict.MISSING, Verdict.UNCLEAR} if unclear else {Verdict.MISSING})
    with open_named_store(settings) as store:
        found = Auditor(store, settings, registry).audit(
            grace_s=grace_s, limit=limit, write_off=reason or "", verdicts=verdicts
        )
    types = _types(registry)
    if as_json:
        print_json(describe(found, types))
    else:
        _print(found, types)
    if not found.clean:
        ctx.exit(1)


PLACES = (
    ("published", "in a stream, for the first time"),
    ("duplicate", "published, waiting or dead-lettered before; nothing changed"),
    ("skipped", "had no recipient"),
    ("retrying", "failed, and tried again"),
    ("dead", "dead letters"),
    ("discarded", "dead letters that a person discarded"),
    ("evicted", "dead letters that their bounds pushed out: too many, too large together, or too old"),
    ("written_off", "missing, and written off by a person"),
    ("set_back", "or more, forgotten by Redis: a fail-over to a replica that never had them, or a restore"),
    ("open", "in flight: on a queue or claimed by a worker"),
)
"""Fields of the balance, with what they say of an event."""


def describe(found: Audit, types: dict[str, str]) -> dict[str, Any]:
    """An audit as JSON values."""
    balance = found.balance
    return {
        "clean": found.clean,
        "balance": {**asdict(balance), "difference": balance.difference, "balanced": balance.balanced},
        "missing": {
            "missing": found.missing,
            "unclear": found.unclear,
            "unchecked": found.unchecked,
            "unrecorded": found.unrecorded,
            "trouble": found.trouble or None,
            "stranded": list(found.stranded),
            "listed": [
                {
                    "event_id": str(event.event_id),
                    "type": types.get(event.task),
                    "task": event.task,
                    "queue": event.queue,
                    "message_id": event.message_id,
                    "accepted_at": moment(event.accepted_ms),
                    "verdict": event.verdict.value,
                    "elsewhere": event.elsewhere or None,
                }
                for event in found.listed
            ],
        },
        "producers": [_describe_producer(reported) for reported in found.producers],
        "written_off": found.written_off,
    }


def _describe_producer(reported: Reported) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(reported.report)
    return {
        "producer": reported.producer,
        **fields,
        "at": moment(reported.report.at),
        "age_s": round(reported.age_s, 1),
        "went_away": went_away(reported),
    }


def _types(registry: Registry) -> dict[str, str]:
    return {registry.task_of(row): row.sse_event_type.value for row in registry.mappings}


def _print(found: Audit, types: dict[str, str]) -> None:
    out = console()
    balance = found.balance
    shown = table("", "events", "")
    shown.columns[1].justify = "right"
    shown.add_row(
        styled("[bold]accepted[/]"), styled("[bold]{}[/]", f"{balance.accepted:,}"), "handed to the broker by producers"
    )
    for name, meaning in PLACES:
        number = getattr(balance, name)
        shown.add_row(f"  {name.replace('_', ' ')}", f"{number:,}", meaning, style=None if number else "dim")
    out.print(shown)
    out.print(_verdict(found), style="bold" if balance.balanced else "bold red", soft_wrap=True)
    if found.listed:
        out.print(_table_of_missing(found, types))
        more = found.missing + found.unclear - len(found.listed)
        if more > 0:
            out.print(f"… and {more:,} more (--limit).")
    for text, colour in _remarks(found):
        out.print(text, style=colour, soft_wrap=True)


def _verdict(found: Audit) -> str:
    balance = found.balance
    if balance.balanced:
        return "The accounting balances: every accepted event is accounted for."
    faults = []
    if balance.difference > 0:
        faults.append(f"accepted and in no place: {balance.difference:,}")
    if balance.difference < 0:
        faults.append(f"accounted for, but never accepted: {-balance.difference:,}")
    if balance.unbooked:
        faults.append(f"ended without being in the accounting, or no longer: {balance.unbooked:,}")
    return f"The accounting does NOT balance; {'; '.join(faults)}. Was Redis restored, or written to by hand?"


def _table_of_missing(found: Audit, types: dict[str, str]) -> Any:
    shown = table("event", "type", "queue", "message", "accepted", "", title="Missing")
    for event in found.listed:
        state = event.verdict.value + (f"; {event.elsewhere} under another message" if event.elsewhere else "")
        shown.add_row(
            str(event.event_id),
            plain(types.get(event.task, event.task)),
            plain(event.queue),
            plain(event.message_id),
            moment(event.accepted_ms),
            state,
        )
    return shown


_LATE_FAILURES = (
    "Late failures: {:,} (failed after another run had ended them: two workers ran one message at once; they count "
    "beside the accepted until they are published, and what was published before then vanishes)."
)


def _remarks(found: Audit) -> list[tuple[str, str]]:
    said = [
        (found.missing, "Missing: {:,} (on no queue and claimed by no worker).", "red"),
        (found.unclear, "Unclear: {:,} (on no queue: claimed by a worker, or missing; audit again later).", "yellow"),
        (found.unrecorded, "Without a record: {:,} (bridge:open was lost, or changed by hand).", "red"),
    ]
    if found.trouble:
        # What the broker's library says may hold braces.
        text = f"Not looked for: {found.unchecked:,}. {plain(found.trouble)}"
        said.append((1, text.replace("{", "{{").replace("}", "}}"), "red"))
    else:
        text = "Not looked for: {:,} (behind others on their queue, or missing; RabbitMQ does not tell)."
        said.append((found.unchecked, text, "yellow"))
    remarks = [(text.format(number), colour) for number, text, colour in said if number]
    if found.balance.stray:
        remarks.append((_LATE_FAILURES.format(found.balance.stray), "yellow"))
    if found.written_off:
        remarks.append(
            (f"Written off: {found.written_off:,}. `{command('dead log')}` says who did it and why.", "green")
        )
    remarks += [(f"Stranded: {plain(sentence)}", "red") for sentence in found.stranded]
    if found.balance.set_back:
        text = (
            f"Set back: {found.balance.set_back:,} accepted events or more are in this Redis no longer, as after a "
            "fail-over to a replica that lagged behind, or a restore. Some may have been published before. Send "
            "again what its producers can tell, then --write-off."
        )
        remarks.append((text, "red"))
    if not (
        found.missing or found.balance.set_back or found.unclear or found.unrecorded or found.trouble or found.unchecked
    ):
        remarks.append(("Nothing that the broker took is missing.", "green"))
    remarks += [(_of_outbox(outbox), "yellow") for outbox in found.outboxes]
    return remarks + [(_of_producer(reported), _colour(reported)) for reported in found.producers]


def _of_outbox(outbox: OutboxState) -> str:
    aside = f", and {outbox.set_aside:,} that are set aside" if outbox.set_aside else ""
    return (
        f"The outbox of {plain(outbox.database)} holds {outbox.waiting:,} events that the broker has not{aside} "
        "(safe: they are in the database, and enter the accounting when they are sent)."
    )


def _of_producer(reported: Reported) -> str:
    report = reported.report
    name = f"{plain(report.host)} pid {report.pid}"
    held = []
    if report.waiting or report.abandoned:
        held.append(f"{report.waiting + report.abandoned:,} in its memory")
    if report.spooled:
        held.append(f"{report.spooled:,} in its spool (safe: the next process sends them)")
    what = " and ".join(held)
    if went_away(reported):
        return f"A producer ({name}) went away with events: {what}; it last reported {span(reported.age_s)} ago."
    return f"A producer ({name}) holds events that the broker has not: {what}."


def _colour(reported: Reported) -> str:
    lost = reported.report.waiting + reported.report.abandoned
    return "red" if went_away(reported) and lost else "yellow"
