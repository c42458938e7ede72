"""``sse-bridge status``: queues, workers, producers and accounting on one screen, and whether events flow."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bridge.catalogs import load_configured
from bridge.cli.console import FiniteRange, console, marked, print_json, printable, say, table
from bridge.cli.filters import named_store
from bridge.model.errors import StoreError
from bridge.operations import Status, StatusReader, notes_of
from bridge.runtime.command_names import command
from bridge.settings import OperatorSettings
from bridge.views.words import counted, due, span
from bridge.wiring import open_store

if TYPE_CHECKING:
    from rich.table import Table


SAMPLE_S = 1.0
"""Between the two readings of which the throughput is the difference."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs; with --watch one line each.")
@click.option("--watch", type=FiniteRange(1, 3600), metavar="SECONDS", help="Show it again and again, until Ctrl-C.")
@click.pass_context
def status(ctx: click.Context, as_json: bool, watch: float | None) -> None:
    r"""Show queues, workers, producers and accounting, and whether events flow.

    Takes a second, to measure the throughput. A worker that is frozen, that lives and takes nothing, or that has a
    hanging process is named with what to do about it; so is a queue that no worker consumes.

    \b
    Examples:
      sse-bridge status
      sse-bridge status --watch 5
      sse-bridge status --json | jq '.queues[] | select(.depth > 1000)'

    Exit codes: 0 healthy, 1 not healthy or Redis does not answer, 2 wrong settings, 130 --watch ended by Ctrl-C.
    """
    for shown in _statuses(watch):
        if as_json:
            print_json(document(shown), indent=None)
        else:
            _print(shown)
    ctx.exit(0 if shown.healthy else 1)


def _statuses(watch_s: float | None) -> Iterator[Status]:
    settings, registry = load_configured(OperatorSettings)
    reader = StatusReader(open_store(settings, briefly=True), settings, registry)
    with named_store(settings):
        reader.read()
        time.sleep(SAMPLE_S)
        yield reader.read()
    while watch_s is not None:
        time.sleep(watch_s)
        try:
            with named_store(settings):
                shown = reader.read()
        except StoreError as error:
            say(str(error), colour="yellow")  # with --watch, its return is to be seen
        else:
            yield shown


def document(shown: Status) -> dict[str, Any]:
    """The status for programs."""
    made: dict[str, Any] = msgspec.to_builtins(shown)
    del made["metrics"]
    made["workers"] = [
        {"name": worker.name, "silent_s": worker.silent_s, **msgspec.to_builtins(worker.report)}
        for worker in shown.workers
    ]
    made["balance"] |= {"difference": shown.balance.difference, "balanced": shown.balance.balanced}
    return {"healthy": shown.healthy, **made}


def _print(shown: Status) -> None:
    out = console()
    for section in (_queues(shown), _workers(shown), _producers(shown), _outboxes(shown)):
        if section.row_count:
            out.print(section)
    out.print(_accounting(shown))
    if shown.withdrawn:
        told = f"{counted(shown.withdrawn, 'user or session', plural='users and sessions')} on record"
        click.echo(f"Disconnected: {told}, the last {span(shown.withdrawn_newest_s)} ago.")
    for fault in shown.faults:
        marked("fault", f"{fault.subject}: {printable(fault.sentence)}")
    for remark in shown.remarks:
        marked("warning", printable(remark))
    if shown.healthy:
        marked("ok", "events flow.")


def _queues(shown: Status) -> "Table":
    made = table("queue", "waiting", "oldest", title="Queues")
    for queue in shown.queues:
        made.add_row(queue.name, f"{queue.depth:,}", span(queue.oldest_age_s))
    return made


def _workers(shown: Status) -> "Table":
    made = table("worker", "heard", "pool", "running", "claimed", "consumed", "queues", title="Workers")
    for worker in shown.workers:
        report = worker.report
        made.add_row(
            worker.name,
            f"{span(worker.silent_s)} ago",
            report.pool,
            f"{report.running} of {report.processes}",
            str(report.in_hand),
            f"{report.consumed:,}",
            ", ".join(report.queues),
        )
    return made


def _producers(shown: Status) -> "Table":
    made = table("producer", "accepted", "delivered", "waiting", "spooled", "", title="Producers")
    for producer in shown.producers:
        numbers = (producer.accepted, producer.delivered, producer.waiting, producer.spooled)
        made.add_row(
            f"{producer.host}:{producer.pid}",
            *(f"{number:,}" for number in numbers),
            "; ".join(notes_of(producer)),
        )
    return made


def _outboxes(shown: Status) -> "Table":
    made = table("outbox", "waiting", "oldest", "set aside", "drained by", title="Outboxes")
    for outbox in shown.outboxes:
        numbers = f"{outbox.waiting:,}", span(outbox.oldest_s), f"{outbox.set_aside:,}", f"{outbox.drained_by:,}"
        made.add_row(printable(outbox.database), *numbers)
    return made


def _accounting(shown: Status) -> "Table":
    balance = shown.balance
    made = table("accounting", "events", "", title="Events")
    claimed = "" if shown.claimed is None else f"{shown.claimed:,} messages claimed by workers"
    rate = "" if shown.published_per_s is None else f"{shown.published_per_s:,.0f} a second"
    coming = due(shown.retry_next_s)
    for name, number, words, style in (
        ("accepted", balance.accepted, "", None),
        ("on their way", balance.open, claimed, None),
        ("published", balance.published, rate, None),
        ("skipped", balance.skipped, "", None),
        ("retrying", balance.retrying, coming and f"the next {coming}", "yellow"),
        ("dead", balance.dead, _deaths(shown), "bold red"),
    ):
        made.add_row(name, f"{number:,}", words, style=style if number else None)
    if balance.evicted:
        words = "by the bounds of the dead letters: too many, too large or too old"
        made.add_row("evicted", f"{balance.evicted:,}", words, style="bold red")
    if not balance.balanced:
        words = f"{balance.unbooked:,} published without an accept record"
        made.add_row("unaccounted for", f"{balance.difference:,}", words, style="bold red")
    return made


def _deaths(shown: Status) -> str:
    """Since when events die, and whether they still do; says where to go on."""
    if not shown.letters:
        return ""
    size = f"{shown.letters_bytes / 1e6:,.1f} MB "
    return (
        f"{size}since {span(shown.dead_oldest_s)}, the last {span(shown.dead_newest_s)} ago: {command('dead groups')}"
    )
