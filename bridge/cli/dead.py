"""``sse-bridge dead``: dead letters by list and by cause; replaying, discarding and exporting them."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from bridge.cli.console import FiniteRange, printable, say
from bridge.cli.filters import (
    confirm,
    counted,
    filter_options,
    json_option,
    opened,
    payloads_option,
    print_groups,
    read_cursor,
    yes_option,
)
from bridge.model.errors import OperationRefusedError, SettingsError
from bridge.operations.letters import Letters, as_dict
from bridge.operations.selection import Selection, shown_time

EXIT_STOPPED = 3
"""A replay stands still: too many failures, or no outcomes."""
SHOWN_MAX = 20
NONE_MATCHES = "No letter matches."


@click.group()
def dead() -> None:
    r"""See, understand and repair dead letters.

    \b
    Examples:
      sse-bridge dead groups
      sse-bridge dead users --group 440c2fe28afb
      sse-bridge dead list --group 440c2fe28afb --json
      sse-bridge dead replay --group 440c2fe28afb --dry-run
      sse-bridge dead replay --group 440c2fe28afb --canary 50 --rate 500
      sse-bridge dead replay --resume 1f0c6a3b92de
      sse-bridge dead discard --type FileImportProgressed --until 7d --reason "stale progress"
      sse-bridge dead export --since 1d --payloads > letters.jsonl

    Exit codes: 0 done, 1 failed or refused, 2 wrong use or settings, 3 a replay stopped itself, 130 Ctrl-C.
    """


@dead.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Letters on the page.")
@click.option("--after", help="The cursor that the page before ended with.")
@payloads_option
@json_option
def list_(chosen: Selection, limit: int, after: str | None, payloads: bool, as_json: bool) -> None:
    """List dead letters, newest first."""
    with opened() as (client, settings, registry):
        letters = Letters(client, settings)
        page = letters.page(letters.resolve(chosen, registry), cursor=read_cursor(after), limit=limit)
    if as_json:
        found = [{**as_dict(letter, payloads=payloads), "buried_ms": at_ms} for at_ms, letter in page.letters]
        click.echo(json.dumps({"letters": found, "next": str(page.next) if page.next else None}, indent=2))
        return
    if not page.letters:
        click.echo(NONE_MATCHES)
        return
    from bridge.cli.console import console, table

    shown = table("buried", "letter, and its user", "type, and why", "tries", "group")
    for column in (0, 1, 4):
        shown.columns[column].no_wrap = True
    for at_ms, letter in page.letters:
        failure = letter.failure
        why = f"{failure.stage}: {failure.error_class}: {failure.message[:100]}"
        shown.add_row(
            shown_time(at_ms),
            printable(f"{letter.letter_id}\n{letter.user_id}"),
            printable(f"{letter.task.removeprefix('bridge.')}\n{why}"),
            str(letter.attempts[-1].number if letter.attempts else "-"),
            letter.group,
        )
    console().print(shown)
    if page.next:
        console().print(f"More: --after {page.next}")


@dead.command()
@click.argument("letter_id")
@payloads_option
@json_option
def show(letter_id: str, payloads: bool, as_json: bool) -> None:
    """Show one letter with every attempt.

    And with the last traceback; of a discarded one, its tombstone.
    """
    import msgspec

    from bridge.cli.failures import print_letter, print_tombstone

    with opened() as (client, settings, _):
        letters = Letters(client, settings)
        letter, tombstone = letters.show(letter_id), letters.tombstone(letter_id)
    if letter is not None and as_json:
        click.echo(json.dumps(as_dict(letter, payloads=payloads), indent=2))
    elif letter is not None:
        print_letter(letter, payloads=payloads)
    elif tombstone is not None and as_json:
        click.echo(json.dumps({"discarded": msgspec.to_builtins(tombstone)}, indent=2))
    elif tombstone is not None:
        print_tombstone(tombstone)
    else:
        raise OperationRefusedError(
            f"There is no dead letter {letter_id}: it was replayed, evicted or never buried; "
            f"sse-bridge trace {letter_id} tells."
        )


@dead.command()
@filter_options
@json_option
def groups(chosen: Selection, as_json: bool) -> None:
    """Tell the root causes, largest first.

    How many events each has hit, of how many users, of which types, where in the code, and since when.
    """
    with opened() as (client, settings, registry):
        letters = Letters(client, settings)
        found = letters.groups(letters.resolve(chosen, registry))
    if as_json:
        click.echo(json.dumps([group.as_dict() for group in found], indent=2))
    else:
        print_groups(found, "dead letter")


@dead.command()
@filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Users to show.")
@json_option
def users(chosen: Selection, limit: int, as_json: bool) -> None:
    """Tell whom dead letters hit.

    How many, since when, and of which types; most first.
    """
    import msgspec

    with opened() as (client, settings, registry):
        letters = Letters(client, settings)
        hit = letters.users(letters.resolve(chosen, registry))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(hit[:limit]), indent=2))
        return
    if not hit:
        click.echo("No letter of a user matches.")
        return
    from bridge.cli.console import console, table

    shown = table("user", "count", "first seen", "last seen", "types")
    for one in hit[:limit]:
        most_first = sorted(one.tasks.items(), key=lambda task: -task[1])
        types = ", ".join(f"{task.removeprefix('bridge.')} {count:,}" for task, count in most_first)
        shown.add_row(
            printable(one.user_id), f"{one.count:,}", shown_time(one.first_ms), shown_time(one.last_ms),
            printable(types),
        )  # fmt: skip
    console().print(shown)
    more = f"; here are {limit:,}, see --limit" if len(hit) > limit else ""
    console().print(f"Hit: {counted(len(hit), 'user')}{more}.")


@dead.command()
@filter_options
@payloads_option
def export(chosen: Selection, payloads: bool) -> None:
    """Write dead letters as JSON lines.

    Oldest first; contents are masked without --payloads.
    """
    with opened() as (client, settings, registry):
        letters = Letters(client, settings)
        for letter in letters.export(letters.resolve(chosen, registry), payloads=payloads):
            click.echo(json.dumps(letter))


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
    with opened() as (client, settings, registry):
        letters = Letters(client, settings)
        selection = letters.resolve(chosen, registry)
        number = sum(1 for _ in letters.ids(selection))
        confirm(f"discard {counted(number, 'dead letter')} ({selection})", number, yes=yes)
        done = letters.discard(selection, reason=reason)
    if as_json:
        click.echo(json.dumps({"discarded": done.discarded, "in_replay": done.in_replay, "gone": done.gone}))
        return
    click.echo(f"Discarded {counted(done.discarded, 'dead letter')}.")
    if done.in_replay:
        click.echo(f"Left alone: {done.in_replay:,}, which are on their way in a replay.")


@dead.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Entries.")
@json_option
def log(limit: int, as_json: bool) -> None:
    """Tell who did what to letters and retries.

    Newest first.
    """
    import msgspec

    from bridge.operations.log import read

    with opened() as (client, _, _):
        entries = read(client, limit)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(entries), indent=2))
        return
    from bridge.cli.console import console, table

    shown = table("at, and who", "action, and on what", "numbers, and why")
    shown.columns[0].no_wrap = True
    for entry in entries:
        numbers = ", ".join(f"{name} {number:,}" for name, number in entry.numbers.items() if number)
        cells = (
            (shown_time(entry.at_ms), entry.who),
            (entry.action, entry.selection),
            filter(None, (numbers, entry.reason)),
        )
        shown.add_row(*(printable("\n".join(cell)) for cell in cells))
    console().print(shown)


# Replaying


@dead.command()
@filter_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run today's extractors here, publish nothing, and say what would happen; with --json a line a letter.",
)
@click.option("--rate", type=FiniteRange(0.01, 1_000_000), help="Events a second at the most.")
@click.option(
    "--canary", type=click.IntRange(1, 1_000_000), metavar="K", help="Send K first, and go on only if they succeed."
)
@click.option("--max-failures", metavar="PERCENT", help="Stop when more fail again.  [default: 10% with --canary]")
@click.option("--resume", metavar="REPLAY", help="Go on with a replay that was stopped or whose process died.")
@click.option("--resend", is_flag=True, help="With --resume: send again what has no outcome, as the broker lost it.")
@yes_option
@json_option
def replay(
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

    A replay is a job: Ctrl-C pauses it, --resume goes on. Events that were published already change nothing.
    """
    from bridge.operations.redrive import Replays

    if resend and not resume:
        raise click.UsageError("--resend goes with --resume.")
    if resume and dry_run:
        raise click.UsageError("--dry-run takes filters; what is left of a replay cannot be predicted by its id.")
    if resume and (rate, canary, max_failures, chosen.is_everything) != (None, None, None, True):
        raise click.UsageError("A replay that is resumed keeps its own filters, --rate, --canary and --max-failures.")
    limit = read_share(max_failures) if max_failures else None
    with opened() as (client, settings, registry):
        replays = Replays(client, settings, registry)
        selection = Letters(client, settings).resolve(chosen, registry)
        if resume:
            replays.known(resume)
        if dry_run:
            for doubt in replays.doubts():
                say(f"! {printable(doubt)} Until then this dry run may say what will not happen.", colour="yellow")
            _dry_run(replays.predict(selection), as_json=as_json)
            return
        if not resume:
            number = sum(1 for _ in Letters(client, settings).ids(selection))
            if not number and not as_json:
                click.echo(NONE_MATCHES)
                return
            confirm(f"replay {counted(number, 'dead letter')} ({selection})", number, yes=yes)
            resume = replays.begin(selection, rate=rate or 0, canary=canary or 0, max_failures=limit)
        _run(replays, resume, resend=resend, as_json=as_json)


@dead.command()
@json_option
def replays(as_json: bool) -> None:
    """List the newest replays with how far they are."""
    import msgspec

    from bridge.cli.console import console, table
    from bridge.operations.redrive import Replays

    with opened() as (client, settings, registry):
        found = Replays(client, settings, registry).newest()
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    shown = table("replay", "begun", "who", "state", "total", "succeeded", "failed", "pending", "under way", "reason")
    for status in found:
        numbers = (status.total, status.succeeded, status.failed, status.pending, status.under_way)
        shown.add_row(
            status.replay_id, shown_time(status.created_ms), status.who, status.state.value,
            *(f"{number:,}" for number in numbers), status.reason,
        )  # fmt: skip
    console().print(shown)


def read_share(text: str) -> float:
    """``10%`` or ``0.1``.

    Raises:
        SettingsError: it is no share.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise SettingsError(f"--max-failures {text!r} is no share; give 10% or 0.1.")
    return share


def _dry_run(predictions: Iterator[Any], *, as_json: bool) -> None:
    """One line a letter as JSON, or a summary."""
    import msgspec

    counts: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    changed: list[Any] = []
    for prediction in predictions:
        counts[prediction.expected.value] += 1
        if as_json:
            click.echo(msgspec.json.encode({**msgspec.to_builtins(prediction), "payload": prediction.payload.decode()}))
            continue
        if prediction.failure is not None:
            notes[f"{prediction.failure.stage}: {prediction.failure.error_class}: {prediction.failure.message}"] += 1
        elif prediction.note:
            notes[prediction.note] += 1
        if prediction.changes and len(changed) < SHOWN_MAX:
            changed.append(prediction)
        if len(notes) > 1000:
            notes = Counter(dict(notes.most_common(500)))
    if as_json:
        return
    click.echo(", ".join(f"{number:,} {name}" for name, number in counts.most_common()) or NONE_MATCHES)
    for note, number in notes.most_common(SHOWN_MAX):
        click.echo(f"  {number:,} times {printable(note)}")
    for prediction in changed:
        names = ", ".join(prediction.changes)
        click.echo(f"  {prediction.letter_id} was published before and would say otherwise today: {names}")
    click.echo("Nothing was published.")


def _run(replays: Any, replay_id: str, *, resend: bool, as_json: bool) -> None:
    from bridge.operations.redrive import ReplayState

    with _interruptible() as was_interrupted, _progress(as_json=as_json) as on_progress:
        status = replays.run(replay_id, on_progress=on_progress, should_stop=was_interrupted, resend=resend)
    if as_json:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(status), indent=2))
    else:
        numbers = ", ".join(f"{number:,} {name}" for name, number in status.numbers().items() if number)
        click.echo(f"Replay {replay_id} is {status.state.value}: {numbers}.")
        if status.reason:
            click.echo(printable(status.reason))
        if status.state is not ReplayState.DONE:
            click.echo(f"Go on with: sse-bridge dead replay --resume {replay_id}")
    if status.state is ReplayState.PAUSED:
        raise SystemExit(130)
    if status.state is not ReplayState.DONE:
        raise SystemExit(EXIT_STOPPED)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks to stop instead of breaking off; a second one breaks off, which is safe too."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[Any], None]]:
    """A bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True) as bar:
        task = bar.add_task("replaying")

        def show_status(status: Any) -> None:
            words = f"{status.replay_id}: {status.succeeded:,} succeeded, {status.failed:,} failed"
            bar.update(task, total=status.total, completed=status.finished, description=words)

        yield show_status
