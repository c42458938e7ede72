"""``manage.py bridge …``: every command of ``sse-bridge``, in the project's own process and with its settings."""

from collections.abc import Sequence
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError, CommandParser

from bridge.cli import cli, main
from bridge.runtime.command_names import call_commands

NAME = "manage.py bridge"
IN_ADVICE = f"python {NAME}"


class Command(BaseCommand):
    """Hands the words to ``sse-bridge``. Django's own options --settings and --pythonpath are heard before."""

    help = "Every command of sse-bridge, with the settings of this project: manage.py bridge --help lists them."

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Become ``sse-bridge``: its help, its sentences, its exit codes and its way of ending."""
        call_commands(IN_ADVICE)
        main(without_django_options(argv[2:]), name=NAME)

    def print_help(self, *_: str) -> None:
        """For ``manage.py help bridge``."""
        call_commands(IN_ADVICE)
        cli.main(["--help"], prog_name=NAME, standalone_mode=False)

    def add_arguments(self, parser: CommandParser) -> None:
        """For ``call_command("bridge", "status")``."""
        parser.add_argument("words", nargs="...")

    def handle(self, *_: Any, words: Sequence[str], **__: Any) -> None:
        """For ``call_command``.

        Raises:
            CommandError: the command failed, in its sentence and with its exit code.
        """
        call_commands(IN_ADVICE)
        try:
            code = cli.main(list(words), prog_name=NAME, standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if code:
            raise CommandError(f"{NAME} {' '.join(words)} failed.", returncode=code)


def without_django_options(words: Sequence[str]) -> list[str]:
    """What is left for ``sse-bridge``."""
    parser = CommandParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    left: list[str] = parser.parse_known_args(list(words))[1]
    return left
