"""What went wrong with one event, in words that fit into a dead letter: capped and scrubbed."""

import re
import traceback
from enum import StrEnum

import msgspec

MAX_MESSAGE_CHARS = 500
MAX_TRACEBACK_CHARS = 8_000

_SECRETS = (
    (re.compile(r"(\w+://[^\s:/@]*):[^\s/]+@"), r"\1:***@"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(r"(?i)([\w-]*(?:password|passwd|secret|token|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&)]+"),
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
    """One failed attempt.

    Attributes:
        stage: where it failed.
        error_class: qualified name of the exception's class.
        message: at most 500 characters, secrets masked.
        traceback: at most 8,000 characters, the newest frames kept; empty where it would not help.
    """

    stage: Stage
    error_class: str
    message: str
    traceback: str = ""


def describe(error: BaseException, stage: Stage, *, with_traceback: bool = False) -> Failure:
    """Turn an exception into a Failure. Never raises, whatever the exception's own methods do."""
    return Failure(
        stage=stage,
        error_class=_class_name(type(error)),
        message=scrub(_text_of(error))[:MAX_MESSAGE_CHARS],
        traceback=_traceback_of(error) if with_traceback else "",
    )


def scrub(text: str) -> str:
    """Mask passwords and tokens, and what UTF-8 cannot carry."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text.encode("utf-8", "replace").decode("utf-8")


def _class_name(cls: type[BaseException]) -> str:
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _text_of(error: BaseException) -> str:
    try:
        # Capped before it is scrubbed: an error text may be megabytes long.
        return str(error)[: 4 * MAX_MESSAGE_CHARS]
    except Exception as broken:  # the exception's own __str__ raised
        return f"(its text could not be read: {type(broken).__name__})"


def _traceback_of(error: BaseException) -> str:
    lines = traceback.format_tb(error.__traceback__)
    lines.append(f"{_class_name(type(error))}: {_text_of(error)}\n")
    # Scrubbed before it is capped: half a secret is no longer recognised as one.
    return scrub("".join(lines))[-MAX_TRACEBACK_CHARS:]
