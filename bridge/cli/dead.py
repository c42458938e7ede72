"""``sse-bridge dead``: dead letters by list and by cause; redriving, discarding and exporting them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import click

from bridge.cli.console import FiniteRange, console, json_option, print_json, printable, say, table
from bridge.cli.failures import print_groups, print_letter, print_rows, print_tombstone
from bridge.cli.filters import confirm, filter_options, opened, payloads_option, read_after, yes_option
from bridge.cli.redriving import NONE_MATCHES, print_dry_run, read_share, run_redrive
from bridge.model.errors import OperationRefusedError, SettingsError
from bridge.model.moments import shown_time
from bridge.model.registry.addresses import is_users, key_of
from bridge.operations import AddressHit, Letters, Redrives, Selection, letter_as_dict
from bridge.runtime.command_names import command
from bridge.views.failed_events import letter_row, types_in_words
from bridge.views.words import counted, numbers_in_words

ALIASES: Final = {"replay": "redrive", "replays": "redrives"}
"""Names that work as well, and that the help does not list."""


class _Group(click.Group):
    """Finds a command by its other name, too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or of the name that it stands for; None if there is none."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


@click.group(cls=_Group)
def dead() -> None:
    r"""See, understand and repair dead letters.

    \b
    Examples:
      sse-bridge dead groups
      sse-bridge dead addresses --group 440c2fe28afb
      sse-bridge dead list --address order:42
      sse-bridge dead list --group 440c2fe28afb --json
      sse-bridge dead redrive --group 440c2fe28afb --dry-run
      sse-bridge dead redrive --group 440c2fe28afb --canary 50 --rate 500
      sse-bridge dead redrive --resume 1f0c6a3b92de
      sse-bridge dead discard --type FileImportProgressed --until 7d --reason "stale progress"
      sse-bridge dead export --since 1d --payloads > letters.jsonl

    Exit codes: 0 done, 1 failed or refused, 2 wrong use or settings, 3 a redrive stopped itself, 130 Ctrl-C.
    """


@dead.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Letters on the page.")
@click.option("--after", help="The cursor that the page before ended with.")
@payloads_option
@json_option
def list_(chosen: Selection, limit: int, after: str | None, payloads: bool, as_json: bool) -> None:
    """List dead letters, newest first."""
    with opened() as (store, _, registry):
        letters = Letters(store)
        page = letters.page(letters.resolve(chosen, registry), cursor=read_after(after), limit=limit)
    if as_json:
        found = [{**letter_as_dict(letter, payloads=payloads), "buried_ms": at_ms} for at_ms, letter in page.letters]
        print_json({"letters": found, "next": str(page.next) if page.next else None})
        return
    if not page.letters:
        click.echo(NONE_MATCHES)
        return
    rows = [letter_row(at_ms, letter) for at_ms, letter in page.letters]
    print_rows(rows, at="buried", item="letter", following=page.next)


@dead.command()
@click.argument("letter_id")
@payloads_option
@json_option
def show(letter_id: str, payloads: bool, as_json: bool) -> None:
    """Show one letter with every attempt.

    And with the last traceback; of a discarded one, its tombstone.
    """
    with opened() as (store, _, _):
        kept = store.kept.look_up(letter_id)
    letter, tombstone = kept.letter, kept.tombstone
    if letter is not None and as_json:
        print_json(letter_as_dict(letter, payloads=payloads))
    elif letter is not None:
        print_letter(letter, payloads=payloads)
    elif tombstone is not None and as_json:
        print_json({"discarded": tombstone})
    elif tombstone is not None:
        print_tombstone(tombstone)
    else:
        raise OperationRefusedError(
            f"There is no dead letter {letter_id}: it was redriven, evicted or never dead-lettered; "
            f"{command('trace')} {letter_id} tells."
        )


@dead.command()
@filter_options
@json_option
def groups(chosen: Selection, as_json: bool) -> None:
    """Tell the root causes, largest first.

    How many events each has hit, of how many users, of which types, where in the code, and since when.
    """
    with opened() as (store, _, registry):
        letters = Letters(store)
        found = letters.groups(letters.resolve(chosen, registry))
    print_groups(found, "dead letter", as_json=as_json)


hits_limit = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Lines to show."
)


@dead.command()
@filter_options
@hits_limit
@json_option
def addresses(chosen: Selection, limit: int, as_json: bool) -> None:
    """List the addresses that dead letters hit.

    Users, topics and everyone: how many letters, since when, and of which types; most first.
    """
    hits = _hits(chosen)
    if as_json:
        print_json(hits[:limit])
    else:
        _print_hits([(hit.address, hit) for hit in hits], limit, "address", "addresses")


@dead.command()
@filter_options
@hits_limit
@json_option
def users(chosen: Selection, limit: int, as_json: bool) -> None:
    """List the users that dead letters hit.

    How many, since when, and of which types; most first.
    """
    hits = [(key_of(hit.address), hit) for hit in _hits(chosen) if is_users(hit.address)]
    if as_json:
        print_json([{"user_id": user, **_without_address(hit)} for user, hit in hits[:limit]])
    else:
        _print_hits(hits, limit, "user", "users")


def _hits(chosen: Selection) -> tuple[AddressHit, ...]:
    with opened() as (store, _, registry):
        letters = Letters(store)
        return letters.addresses(letters.resolve(chosen, registry))


def _without_address(hit: AddressHit) -> dict[str, object]:
    return {name: value for name, value in asdict(hit).items() if name != "address"}


def _print_hits(hits: Sequence[tuple[str, AddressHit]], limit: int, noun: str, plural: str) -> None:
    if not hits:
        click.echo(f"No letter of {'a user' if noun == 'user' else 'an address'} matches.")
        return
    shown = table(noun, "count", "first seen", "last seen", "types")
    for name, one in hits[:limit]:
        types = types_in_words(sorted(one.tasks.items(), key=lambda task: -task[1]))
        shown.add_row(
            printable(name), f"{one.count:,}", shown_time(one.first_ms), shown_time(one.last_ms), printable(types)
        )
    console().print(shown)
    more = f"; here are {limit:,}, see --limit" if len(hits) > limit else ""
    console().print(f"Hit: {counted(len(hits), noun, plural=plural)}{more}.")


@dead.command()
@filter_options
@payloads_option
def export(chosen: Selection, payloads: bool) -> None:
    """Write dead letters as JSON lines.

    Oldest first; contents are masked without --payloads.
    """
    with opened() as (store, _, registry):
        letters = Letters(store)
        for letter in letters.export(letters.resolve(chosen, registry), payloads=payloads):
            print_json(letter, indent=None)


@dead.command()
@filter_options
@click.option("--reason", required=True, help="Why; kept with the tombstones and in the log.")
@yes_option
@json_option
def discard(chosen: Selection, reason: str, yes: bool, as_json: bool) -> None:
    """Give dead letters up, with a reason.

    Each leaves a tombstone that says who did it, when and why.
    """
    if not reason.strip():
        raise SettingsError("--reason must say why.")
    with opened() as (store, _, registry):
        letters = Letters(store)
        selection = letters.resolve(chosen, registry)
        number = sum(1 for _ in letters.ids(selection))
        confirm(f"discard {counted(number, 'dead letter')} ({selection})", number, yes=yes)
        done = letters.discard(selection, reason=reason)
    if as_json:
        print_json({"discarded": done.discarded, "in_replay": done.in_redrive, "gone": done.gone}, indent=None)
        return
    click.echo(f"Discarded {counted(done.discarded, 'dead letter')}.")
    if done.in_redrive:
        click.echo(f"Left alone: {done.in_redrive:,}, which are on their way in a redrive.")


@dead.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Entries.")
@json_option
def log(limit: int, as_json: bool) -> None:
    """Tell who did what to letters and retries.

    Newest first.
    """
    with opened() as (store, _, _):
        entries = store.log.newest(limit)
    if as_json:
        print_json(entries)
        return
    shown = table("at, and who", "action, and on what", "numbers, and why")
    shown.columns[0].no_wrap = True
    for entry in entries:
        numbers = numbers_in_words(entry.numbers)
        cells = (
            (shown_time(entry.at_ms), entry.who),
            (entry.action, entry.selection),
            filter(None, (numbers, entry.reason)),
        )
        shown.add_row(*(printable("\n".join(cell)) for cell in cells))
    console().print(shown)


# Sending again


@dead.command()
@filter_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run today's extractors here, publish nothing, and say what would happen; with --json a line a letter.",
)
@click.option("--rate", type=FiniteRange(0.01, 1_000_000), help="Events a second at most.")
@click.option(
    "--canary", type=click.IntRange(1, 1_000_000), metavar="K", help="Send K first, and go on only if they succeed."
)
@click.option("--max-failures", metavar="PERCENT", help="Stop when more fail again.  [default: 10% with --canary]")
@click.option("--resume", metavar="REDRIVE", help="Go on with a redrive that was stopped or whose process died.")
@click.option("--resend", is_flag=True, help="With --resume: send again what has no outcome, as the broker lost it.")
@yes_option
@json_option
def redrive(
    chosen: Selection,
    dry_run: bool,
    rate: float | None,
    canary: int | None,
    max_failures: str | None,
    resume: str | None,
    resend: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send dead letters again.

    A redrive is a job: Ctrl-C pauses it, --resume goes on. Events that were published already change nothing.
    """
    if resend and not resume:
        raise click.UsageError("--resend goes with --resume.")
    if resume and dry_run:
        raise click.UsageError("--dry-run takes filters; what is left of a redrive cannot be predicted by its id.")
    if resume and (rate, canary, max_failures, chosen.is_everything) != (None, None, None, True):
        raise click.UsageError("A redrive that is resumed keeps its own filters, --rate, --canary and --max-failures.")
    limit = read_share(max_failures) if max_failures else None
    with opened() as (store, settings, registry):
        redrives = Redrives(store, settings, registry)
        selection = Letters(store).resolve(chosen, registry)
        if resume:
            redrives.known(resume)
        if dry_run:
            for doubt in redrives.doubts():
                say(f"! {printable(doubt)} Until then this dry run may say what will not happen.", colour="yellow")
            print_dry_run(redrives.predict(selection), as_json=as_json)
            return
        if not resume:
            number = sum(1 for _ in Letters(store).ids(selection))
            if not number and not as_json:
                click.echo(NONE_MATCHES)
                return
            confirm(f"redrive {counted(number, 'dead letter')} ({selection})", number, yes=yes)
            resume = redrives.begin(selection, rate=rate or 0, canary=canary or 0, max_failures=limit)
        run_redrive(redrives, resume, resend=resend, as_json=as_json)


@dead.command()
@json_option
def redrives(as_json: bool) -> None:
    """List the newest redrives with how far they are."""
    with opened() as (store, settings, registry):
        found = Redrives(store, settings, registry).newest()
    if as_json:
        print_json(found)
        return
    shown = table("redrive", "begun", "who", "state", "total", "succeeded", "failed", "pending", "under way", "reason")
    for status in found:
        numbers = (status.total, status.succeeded, status.failed, status.pending, status.under_way)
        shown.add_row(
            status.redrive_id, shown_time(status.created_ms), status.who, status.state.value,
            *(f"{number:,}" for number in numbers), status.reason,
        )  # fmt: skip
    console().print(shown)
