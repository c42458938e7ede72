"""Code blocks of pages, and whether the commands in them exist and take the options that they are given."""

import importlib.util
import re
import shlex
from importlib import import_module
from pathlib import Path

import click

from tests.support.worker import ROOT

PLACEHOLDER = "00000000-0000-7000-8000-000000000001"
FOREIGN = {"curl", "django-admin", "docker", "redis-cli", "rabbitmqctl", "honcho", "openssl", "jq", "pip", "tee"}
"""Commands that are not ours and bring no option that we could look up."""


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)


def sentences(text: str) -> list[str]:
    """The sentences of a page as they are read, without headings and code, but with the comments of commands."""
    commands = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [comment for script in commands for comment in re.findall(r" # +(.*)$", script, re.MULTILINE)]
    prose = re.sub(r"^```.*?^```\n|^#.*?\n", "\n", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose).replace("**", "")
    for paragraph in re.split(r"\n\n+(?:- )?|\n- ", prose):
        found += re.split(r"(?<=[.!?])\s+(?=[A-Z`*])", " ".join(paragraph.split()))
    return [sentence for sentence in found if sentence]


def commands_in(script: str) -> list[list[str]]:
    """The commands of a script as words, without what is set before them and where their output goes."""
    found = []
    for line in re.sub(r"\\\n", " ", script).splitlines():
        # A reader fills in what stands in angle brackets.
        text = re.sub(r"<[a-z][^<>]*>|\bID\b|…", PLACEHOLDER, line)
        words = shlex.split(text, comments=True)
        for command in _split(words):
            while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):
                command = command[1:]
            if command and command[0] not in ("export", ".", "cd", "#"):
                found.append(command)
    return found


def fault_of(command: list[str]) -> str:
    """Why a command cannot be right; empty if nothing speaks against it."""
    name, *rest = command
    match name:
        case "sse-bridge":
            from bridge.cli.app import cli

            return _click_fault(cli, rest)
        case "celery":
            from celery.bin.worker import worker

            known = {option for parameter in worker.params for option in parameter.opts} | {"-A"}
            given = [word.partition("=")[0] for word in rest if word.startswith("-")]
            return "".join(f"no option {option}; " for option in given if option not in known)
        case "uvicorn":
            from uvicorn.main import main

            target = next((word for word in rest if ":" in word and not word.startswith("-")), "")
            module, _, attribute = target.partition(":")
            offered = import_module(module)
            if not (hasattr(offered, "__getattr__") or hasattr(offered, attribute)):
                return f"there is no {target}"
            return _click_fault(main, rest)
        case "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            wanted = [word for word in rest if "=" not in word and not word.startswith("-") and word != PLACEHOLDER]
            return "".join(f"no target {word}; " for word in wanted if word not in targets)
        case "python" | "python3":
            module = rest[1] if rest[:1] == ["-m"] else ""
            return "" if not module or importlib.util.find_spec(module) else f"there is no module {module}"
        case "pip":
            return _extras_fault(rest)
    return "" if name in FOREIGN or (ROOT / name).exists() else f"{name} is no command that this page may count on"


def _split(words: list[str]) -> list[list[str]]:
    """A line's commands, and each without its redirections."""
    commands: list[list[str]] = [[]]
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("|", "&&", ";", "&"):
            commands.append([])
        elif word in (">", ">>", "<"):
            skip = True
        else:
            commands[-1].append(word)
    return commands


def _click_fault(group: click.Command, words: list[str]) -> str:
    """Parse the words as the command would, and run nothing."""
    command: click.Command = group
    parent: click.Context | None = None
    while isinstance(command, click.Group):
        if not words:
            return ""
        if words[0] in ("--help", "--version"):
            return ""
        context = click.Context(command, parent=parent, info_name=command.name)
        below = command.get_command(context, words[0])
        if below is None:
            return f"there is no {command.name} {words[0]}"
        command, parent, words = below, context, words[1:]
    try:
        command.make_context(command.name, list(words), parent=parent)
    except click.exceptions.Exit:
        return ""
    except click.BadParameter as error:
        # The value of a variable or a file of the reader's is not known here.
        return "" if "$" in " ".join(words) else error.format_message()
    except click.UsageError as error:
        return error.format_message()
    return ""


def _extras_fault(words: list[str]) -> str:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"\[([a-z,]+)\]", " ".join(words))
    return "".join(f"no extra {extra}; " for names in named for extra in names.split(",") if extra not in extras)
