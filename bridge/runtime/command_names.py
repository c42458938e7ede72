"""How commands are called in advice: ``sse-bridge``, or ``python manage.py bridge`` where that is what was run."""

import re

_OURS, _WORKER = "sse-bridge", "celery -A bridge.worker worker"
# A name in a sentence, such as that of the package, is no command.
_COMMANDS = re.compile(rf"\b{_OURS}(?= +[a-z-])|{re.escape(_WORKER)}")

_called = _OURS


def call_commands(name: str) -> None:
    """What stands before the words of a command in this process from now on."""
    global _called
    _called = name


def command(words: str) -> str:
    """A command as a person here would type it: ``command("dead groups")``."""
    return f"{_called} {words}"


def worker_command(*words: str) -> str:
    """What starts a worker with the settings of this process."""
    return " ".join([_WORKER if _called == _OURS else command("worker"), *words])


def renamed(text: str) -> str:
    """A text of our own, written for ``sse-bridge``, such as a command's help, with the commands as they are here."""
    return _COMMANDS.sub(lambda found: worker_command() if found[0] == _WORKER else _called, text)
