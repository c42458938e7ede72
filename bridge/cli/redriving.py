"""Sending dead letters again from a terminal: what a dry run says, a bar, Ctrl-C, and how it ended."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from bridge.cli.console import print_json, printable, say
from bridge.model.errors import SettingsError
from bridge.model.redrive import RedriveState
from bridge.runtime.command_names import command
from bridge.views.failed_events import DryRun
from bridge.views.words import counted, numbers_in_words

EXIT_STOPPED = 3
"""A redrive stands still: too many failures, or no outcomes."""
TELL_EVERY_S = 10.0
NONE_MATCHES = "No letter matches."


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


def print_dry_run(predictions: Iterator[Any], *, as_json: bool) -> None:
    """One line a letter as JSON, or a summary."""
    foreseen = DryRun()
    for prediction in predictions:
        if as_json:
            print_json({**msgspec.to_builtins(prediction), "payload": prediction.payload.decode()}, indent=None)
        else:
            foreseen.add(prediction)
    if not as_json:
        _print_dry_run(foreseen)


def _print_dry_run(foreseen: DryRun) -> None:
    click.echo(", ".join(f"{number:,} {name}" for name, number in foreseen.counts.most_common()) or NONE_MATCHES)
    for note, number in foreseen.notes:
        click.echo(f"  {counted(number, 'time')} {printable(note)}")
    for letter_id, changes in foreseen.changes:
        click.echo(f"  {letter_id} was published before and would say otherwise today: {', '.join(changes)}")
    click.echo("Nothing was published.")


def run_redrive(redrives: Any, redrive_id: str, *, resend: bool, as_json: bool) -> None:
    """Run it to its end, a stop or Ctrl-C; the last two end the command with an exit code of their own."""
    if redrives.has_no_worker():
        say(
            "No worker consumes the registry's queues: the letters are sent and wait there, until one is started or "
            f"this ends for want of outcomes; {command('dead redrive --resume')} {redrive_id} goes on.",
            colour="yellow",
        )
    with _interruptible() as was_interrupted, _progress(as_json=as_json) as on_progress:
        status = redrives.run(redrive_id, on_progress=on_progress, should_stop=was_interrupted, resend=resend)
    if as_json:
        print_json(status)
    else:
        click.echo(f"Redrive {redrive_id} is {status.state.value}: {numbers_in_words(status.numbers())}.")
        if status.reason:
            click.echo(printable(status.reason))
        if status.state is not RedriveState.DONE:
            click.echo(f"Go on with: {command('dead redrive --resume')} {redrive_id}")
    if status.state is RedriveState.PAUSED:
        raise SystemExit(130)
    if status.state is not RedriveState.DONE:
        raise SystemExit(EXIT_STOPPED)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks to stop instead of breaking off; a second one breaks off, which is safe too."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        """Note the first Ctrl-C; break off at the second."""
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
    """A bar on stderr; where that is no terminal, a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty() and not as_json:
        yield _tell_now_and_then()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True) as bar:
        task = bar.add_task("redriving")

        def show_status(status: Any) -> None:
            """Move the bar to where the redrive is."""
            words = f"{status.redrive_id}: {status.succeeded:,} succeeded, {status.failed:,} failed"
            bar.update(task, total=status.total, completed=status.finished, description=words)

        yield show_status


def _tell_now_and_then() -> Callable[[Any], None]:
    told_at: list[float] = []

    def tell(status: Any) -> None:
        """Print a line, unless one was printed in the last TELL_EVERY_S seconds."""
        if not told_at or time.monotonic() - told_at[-1] >= TELL_EVERY_S:
            told_at[:] = [time.monotonic()]
            say(f"Redrive {status.redrive_id}: {status.finished:,} of {status.total:,}, {status.failed:,} failed.")

    return tell
