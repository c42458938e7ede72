"""What went wrong with one event, in words that fit into a dead letter: capped and scrubbed."""

import re
import traceback
from enum import StrEnum

import msgspec

from bridge.model.plain_text import name_of

MAX_MESSAGE_CHARS = 500
MAX_TRACEBACK_CHARS = 8_000

FRAMES_MAX = 200
"""Innermost frames that are looked at: of a recursion there are a thousand, and each takes reading a line of a file."""
_SCRUBBED_MAX = 4
"""Text is capped before it is scrubbed, but not so far: half a secret would no longer be recognised as one."""

# Each begins with a few letters that are looked for as they are, and takes as much as it can and never gives back
# (``++``): so the time is in proportion to the text, whatever stands there.
_SECRETS = (
    (re.compile(r"(://[^\s:/@]*+:)[^\s/]+@"), r"\1***@"),
    (re.compile(r"(?<![\w-])eyJ[\w-]++\.[\w-]++\.[\w-]*+"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s++[\w.~+/=-]{8,}+"), r"\1 ***"),
    (
        re.compile(r"(?i)((?:password|passwd|secret|token|api[_-]?key)[\"']?\s*+[=:]\s*+[\"']?)[^\s\"',;&)]++"),
        r"\1***",
    ),
)


class Stage(StrEnum):
    """Where on its journey an event failed."""

    MESSAGE = "message"
    """What stood on the queue is no message that Celery can run."""
    DECODE = "decode"
    """The envelope or the event in it could not be read."""
    EXTRACT = "extract"
    """An extractor raised."""
    ENCODE = "encode"
    """The payload cannot be written as JSON, or is too large."""
    PUBLISH = "publish"
    """Redis refused this one event."""
    WORKER = "worker"
    """The worker process died or ran out of time while it handled the event."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt."""

    stage: Stage  # where it failed
    error_class: str  # qualified name of the exception's class; bridge.<Class> for the bridge's own
    message: str  # at most 500 characters, secrets masked
    traceback: str = ""  # at most 8,000 characters, the newest frames kept; empty where it would not help


def describe(error: BaseException, stage: Stage, *, with_traceback: bool = False) -> Failure:
    """Turn an exception into a Failure. Never raises, whatever the exception's own methods do."""
    # Each method is called once: one that hangs is ended by the soft time limit, and there is only one of those.
    name, text = _class_name(type(error)), _text_of(error)
    return Failure(
        stage=stage,
        error_class=name,
        message=scrub(text)[:MAX_MESSAGE_CHARS],
        traceback=_traceback_of(error, f"{name}: {text}\n") if with_traceback else "",
    )


def scrub(text: str) -> str:
    """Mask passwords and tokens, and what UTF-8 cannot carry; in time proportionate to the text, which may be any."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text.encode("utf-8", "replace").decode("utf-8")


def _class_name(cls: type[BaseException]) -> str:
    """The qualified name; of our own classes without the module, so that causes stay the same when one moves."""
    try:
        top = cls.__module__.partition(".")[0]
        if top == "builtins":
            return cls.__name__
        return f"{top if top == 'bridge' else cls.__module__}.{cls.__qualname__}"
    except Exception:  # its metaclass raised
        return name_of(cls)


def _text_of(error: BaseException) -> str:
    try:
        return _beginning(str(error), _SCRUBBED_MAX * MAX_MESSAGE_CHARS)
    except Exception as broken:  # the exception's own __str__ raised
        return f"(its text could not be read: {name_of(type(broken))})"


def _traceback_of(error: BaseException, last_line: str) -> str:
    lines = traceback.format_tb(error.__traceback__, limit=-FRAMES_MAX)
    lines.append(last_line)
    return scrub(_end("".join(lines), _SCRUBBED_MAX * MAX_TRACEBACK_CHARS))[-MAX_TRACEBACK_CHARS:]


def _beginning(text: str, chars_max: int) -> str:
    """Text cut between two words, or before an address: it may end in half a secret."""
    if len(text) <= chars_max:
        return text
    cut = text[:chars_max]
    word_ends = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[:word_ends] if word_ends > 0 else cut.partition("://")[0]


def _end(text: str, chars_max: int) -> str:
    """Text cut between two lines: it may begin with half a secret."""
    return text if len(text) <= chars_max else text[-chars_max:].partition("\n")[2]
