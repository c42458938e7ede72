"""``sse-bridge retries``: the events that wait for their next attempt."""

import click

from bridge.cli.console import json_option, print_json
from bridge.cli.failures import print_groups, print_rows, print_waiting
from bridge.cli.filters import confirm, filter_options, opened, payloads_option, read_after, yes_option
from bridge.model.errors import OperationRefusedError
from bridge.operations import Retries, Selection, retry_as_dict
from bridge.views.failed_events import retry_row
from bridge.views.words import counted


@click.group()
def retries() -> None:
    r"""See and change what waits for its next attempt.

    \b
    Examples:
      sse-bridge retries list --type FileImportFailed
      sse-bridge retries list --address order:42
      sse-bridge retries groups
      sse-bridge retries now --group 440c2fe28afb
      sse-bridge retries cancel --id 01a1fb9f-d28b-7f1d-8052-642667ab2557

    Exit codes: 0 done, 1 failed or refused, 2 wrong use or settings, 130 Ctrl-C.
    """


@retries.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Retries on the page.")
@click.option("--after", help="The cursor that the page before ended with.")
@payloads_option
@json_option
def list_(chosen: Selection, limit: int, after: str | None, payloads: bool, as_json: bool) -> None:
    """List waiting retries, next due first."""
    with opened() as (store, _, registry):
        everything = Retries(store)
        page = everything.page(everything.resolve(chosen, registry), cursor=read_after(after), limit=limit)
    if as_json:
        found = [retry_as_dict(waiting, payloads=payloads) for waiting in page.retries]
        print_json({"retries": found, "next": str(page.next) if page.next else None})
        return
    if not page.retries:
        click.echo("No retry matches.")
        return
    print_rows([retry_row(each) for each in page.retries], at="due", item="event", following=page.next)


@retries.command()
@click.argument("event_id")
@payloads_option
@json_option
def show(event_id: str, payloads: bool, as_json: bool) -> None:
    """Show one waiting retry with every failed attempt and the last traceback."""
    with opened() as (store, _, _):
        waiting = store.kept.look_up(event_id).waiting
    if waiting is None:
        raise OperationRefusedError(f"No retry of event {event_id} waits: it was settled, or it is a dead letter.")
    if as_json:
        print_json(retry_as_dict(waiting, payloads=payloads))
    else:
        print_waiting(waiting, payloads=payloads)


@retries.command()
@filter_options
@json_option
def groups(chosen: Selection, as_json: bool) -> None:
    """Group waiting retries by the root cause of their last failure."""
    with opened() as (store, _, registry):
        everything = Retries(store)
        found = everything.groups(everything.resolve(chosen, registry))
    print_groups(found, "waiting event", as_json=as_json)


@retries.command()
@filter_options
@yes_option
@json_option
def now(chosen: Selection, yes: bool, as_json: bool) -> None:
    """Try waiting retries now; those that are being tried are left alone."""
    _act(chosen, "try", "now", yes=yes, as_json=as_json)


@retries.command()
@filter_options
@click.option("--reason", default="", help="Why, for the log.")
@yes_option
@json_option
def cancel(chosen: Selection, reason: str, yes: bool, as_json: bool) -> None:
    """Dead-letter waiting retries; `dead discard` throws those away."""
    _act(chosen, "bury", "cancel", yes=yes, as_json=as_json, reason=reason)


def _act(chosen: Selection, verb: str, action: str, *, yes: bool, as_json: bool, reason: str = "") -> None:
    with opened() as (store, _, registry):
        waiting = Retries(store)
        selection = waiting.resolve(chosen, registry)
        number = len(waiting.ids(selection))
        confirm(f"{verb} {_retries(number)} ({selection})", number, yes=yes)
        done = waiting.now(selection) if action == "now" else waiting.cancel(selection, reason=reason)
    if as_json:
        print_json({"changed": done.changed, "taken": done.taken}, indent=None)
    else:
        word = "due now" if action == "now" else "buried as dead letters"
        click.echo(f"{_retries(done.changed)} {'is' if done.changed == 1 else 'are'} {word}.")
        if done.taken:
            click.echo(f"Left alone: {done.taken:,}, which {'is' if done.taken == 1 else 'are'} being tried.")


def _retries(number: int) -> str:
    return counted(number, "retry", plural="retries")
