"""The command group: which commands there are, and how every mistake becomes one sentence and an exit code."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click

from bridge.catalogs import set_up_django
from bridge.cli.console import printable
from bridge.model.errors import BridgeError, EventRefusedError, IdError, RegistryError, SettingsError
from bridge.runtime.command_names import renamed
from bridge.runtime.interruption import EXIT_INTERRUPTED, expect_interruption, raise_interruption

EXIT_FAILED = 1
"""The operation was tried and failed."""
EXIT_WRONG = 2
"""The call, the settings or the registry are wrong; nothing was tried."""
EXIT_READER_LEFT = 141
"""Who read the output has closed it (``| head -1``); what a shell says of a program that SIGPIPE ended."""

_WRONG = (SettingsError, RegistryError, EventRefusedError, IdError)

COMMANDS = {
    "up": "Run a whole bridge on this machine: server, worker and gateway.",
    "demo": "See it work, in a checkout: `up`, a producer that imports a bank statement, and a live page.",
    "registry": "Show which events exist, and which domain event becomes which.",
    "settings": "Show every setting with its range, reason and present value.",
    "check": "Check settings and registry; with --connect also the broker and Redis.",
    "status": "Show queues, workers, producers and accounting, and whether events flow.",
    "emit": "Send one domain event, written as JSON.",
    "tail": "Follow a user's events in the terminal, as a browser would get them.",
    "audit": "Check the accounting, and list the events that are missing.",
    "trace": "Tell where one event is, and what happened to it.",
    "queues": "List every queue that holds something, also those that the registry has no more; move what is there.",
    "retries": "See and change what waits for its next attempt.",
    "dead": "See, understand and repair dead letters.",
    "outbox": "Print the statements that make the table of a transactional outbox.",
    "disconnect": "End a user's streams, or a session's, on every gateway, and refuse what was granted before.",
    "worker": "Run a Celery worker of the bridge, with all options of `celery worker`.",
    "gateway": "Run the gateway that browsers connect to.",
    "ops": "Run the operators' page: see, redrive and discard in a browser.",
}
"""Every command with its line in the overview; each lives in the module of its name."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a place that takes no more of what a command prints."""

BEGIN_LATER = ("gateway", "ops", "up")
"""Commands that load much more before there is anything to put in order; then they handle signals themselves."""


class FailedError(click.ClickException):
    """What was tried failed, in a way that an operator can mend: one sentence on stderr, no traceback."""

    exit_code = EXIT_FAILED


class WrongError(click.ClickException):
    """The settings, the registry or the event are wrong: one sentence on stderr, no traceback."""

    exit_code = EXIT_WRONG


def keep_lines(text: str) -> str:
    r"""Help in which the paragraphs marked ``\b`` keep their lines; click wants a backspace for that mark."""
    return text.replace("\\b\n", "\b\n")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_file(argument: str) -> bool:
    path = argument.partition("=")[2] if argument.startswith("--") else argument
    try:
        return Path(path or ".").exists()
    except (OSError, ValueError):
        return False


def _put_in_words(command: click.Command) -> None:
    """Make the help of a command, and of those beneath it, what a person here is to read."""
    command.help = renamed(keep_lines(command.help or ""))
    for beneath in getattr(command, "commands", {}).values():
        _put_in_words(beneath)


class CommandGroup(click.Group):
    """Loads a command's module when it is asked for, and keeps tracebacks from operators."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The commands in the order of the table: what a newcomer needs comes first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{cmd_name}"), cmd_name)
        _put_in_words(command)
        if cmd_name not in BEGIN_LATER:
            raise_interruption()
        return command

    def get_help(self, ctx: click.Context) -> str:
        """The overview, with the commands as they are called here."""
        return renamed(super().get_help(ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The overview, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, after a look at the bytes: only the name of a file may be other than UTF-8."""
        for number, argument in enumerate(args, start=1):
            if not argument.isascii() and not _is_utf8(argument) and not _is_file(argument):
                raise click.UsageError(f"Argument {number} is no UTF-8 text: {argument[:60]!a}.", ctx)
        return super().parse_args(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """As click does; it may print already, when it is asked for help."""
        with _readers_may_leave():
            return super().make_context(*args, **extra)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for a mistyped one."""
        from difflib import get_close_matches

        name = args[0] if args else ""
        if name and name not in COMMANDS and not name.startswith("-"):
            near = get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else renamed("see sse-bridge --help.")
            raise click.UsageError(f"There is no command '{name}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            click.ClickException: the bridge refused, in a sentence.
        """
        try:
            with _readers_may_leave():
                set_up_django()
                return super().invoke(ctx)
        except BridgeError as error:
            kind = WrongError if isinstance(error, _WRONG) else FailedError
            raise kind(printable(str(error))) from error
        except (KeyboardInterrupt, click.Abort):  # an Abort is Ctrl-C where a question was asked
            click.echo(err=True)
            ctx.exit(EXIT_INTERRUPTED)


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings are read from BRIDGE_* variables: see `sse-bridge settings`. "
    "Exit codes: 0 done, 1 failed, 2 wrong use or settings, 130 Ctrl-C, 141 whoever read the output has left.",
)
@click.version_option(version("sse-bridge"), prog_name="sse-bridge")
def cli() -> None:
    r"""From domain events to live browser updates, through Celery and Redis.

    \b
    Start here:
      sse-bridge demo      see it work in a browser
      sse-bridge up        a bridge of your own on this machine
    """


cli.help = keep_lines(cli.help or "")


def main(arguments: Sequence[str] | None = None, *, name: str = "sse-bridge") -> NoReturn:
    """Run ``sse-bridge``.

    Args:
        arguments: default: the process' own.
        name: what the command is called here.
    """
    _open_closed()
    try:
        with _readers_may_leave():
            cli.main(arguments, prog_name=name)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _print_nowhere(1)
        click.echo(f"Error: Not all of the output could be written: {error.strerror}.", err=True)
        raise SystemExit(EXIT_FAILED) from None
    finally:
        expect_interruption()
    raise SystemExit(0)


def _open_closed() -> None:
    """Give a process that was started without standard streams some: a file of its own would get their numbers.

    And have what the encoding of the output lacks escaped there, as it is on stderr.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115  (as long as the process)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    """End quietly when the other end of a pipe is closed; click would say that the command failed."""
    try:
        yield
    except BrokenPipeError as error:
        if not (_is_unread(1) or _is_unread(2)):
            raise FailedError("A connection to a server broke. Try again.") from error
        _print_nowhere(1, 2)
        raise SystemExit(EXIT_READER_LEFT) from None


def _is_unread(stream: int) -> bool:
    """Whether a stream is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _print_nowhere(*streams: int) -> None:
    """What is buffered for a stream that takes no more would raise once more, at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream)
