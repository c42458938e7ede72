"""What went wrong with one event, capped and scrubbed: in words for its dead letter, as a root cause, and in a log."""

import hashlib
import logging
import re
import traceback
from enum import StrEnum
from types import TracebackType
from typing import TypeAlias

import msgspec

from bridge.model.plain_text import name_of, one_line
from bridge.on_demand import ROOT

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
        return f"{'bridge' if top == ROOT else cls.__module__}.{cls.__qualname__}"
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


# Its root cause: everything that differs from event to event is taken out

COMPARED_CHARS_MAX = 200
"""Longer messages are compared by their beginning: `Failure` cuts them in the middle of anything."""
GROUP_CHARS = 12

_FRAME = re.compile(r'^  File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE)
_NOT_THEIRS = re.compile(
    r"^<frozen"
    r"|/lib/python\d[^/]*/(?!(?:site|dist)-packages/)"
    r"|(?:^|/)bridge/(?!catalogs/)[a-z_/]+\.py$"
)
"""Files of Python and of the bridge, but for its built-in events: where a failure surfaces, but not what causes it."""

_VARIABLE = re.compile(
    r"(?P<url>\b\w+://\S+)"
    r"|(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<id>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b|\b\d\d:\d\d:\d\d\b)"
    r"|(?P<text>(?<!\w)'[^'\n]*(?:'(?!\w)|$)|\"[^\"\n]*(?:\"|$))"
    r"|(?P<path>(?<![\w.])(?:[A-Za-z]:)?(?:/[\w.@+-]+){2,}/?)"
    r"|(?P<hex>\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b)"
    r"|(?P<number>(?<![A-Za-z_])[-+]?\d[\d,_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)"
)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What failures have in common when they have one cause."""

    stage: str  # where on its journey an event failed
    error_class: str  # qualified name of the exception's class
    # ``file:function: statement`` of the innermost frame outside of Python and the bridge; empty where there is no
    # traceback. No line number, which changes with every edit above it.
    place: str
    message: str  # with ids, numbers, dates, paths, addresses and quoted values taken out

    @property
    def group(self) -> str:
        """A short name: equal for equal causes, in every process and release."""
        words = "\0".join((self.stage, self.error_class, self.place, self.message))
        return hashlib.sha256(words.encode()).hexdigest()[:GROUP_CHARS]


def cause_of(failure: Failure) -> Cause:
    """The cause behind one failure."""
    return Cause(
        stage=failure.stage.value,
        error_class=failure.error_class,
        place=place_in(failure.traceback),
        message=without_variables(failure.message),
    )


def without_variables(message: str) -> str:
    """A message with ``<number>``, ``<id>`` and so on in the place of what differs from event to event."""
    # No failure has more; whatever calls itself one is cut, since the pattern's time grows with the square.
    shortened = _VARIABLE.sub(lambda found: f"<{found.lastgroup}>", message[:MAX_MESSAGE_CHARS])
    return " ".join(shortened.split())[:COMPARED_CHARS_MAX]


def place_in(traceback: str) -> str:
    """Where in the code a traceback ends, as far as it is the team's own."""
    traceback = traceback[-MAX_TRACEBACK_CHARS:]
    frames = list(_FRAME.finditer(traceback))
    if not frames:
        return ""
    frame = next((frame for frame in reversed(frames) if not _NOT_THEIRS.search(frame["path"])), frames[-1])
    path = "/".join(frame["path"].split("/")[-2:])
    statement = traceback[frame.end() + 1 :].partition("\n")[0]
    # A frame without source is followed by the next frame or by the error itself, which are less indented.
    where = statement.strip() if statement.startswith("    ") else f"line {frame['line']}"
    return f"{path}:{frame['function']}: {where}"


# In a log: one line for people, and for error trackers where it was raised

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]


def log_failure(
    logger: logging.Logger, failure: Failure, error: BaseException | None, message: str, *args: object
) -> None:
    """Log a final failure as an error; with the exception, if an extractor raised one.

    Sentry's logging integration, among others, makes an issue of it. In a log of text stands one line more; the
    traceback is in the dead letter. The frames of ``error`` lose their local variables.
    """
    if not logger.isEnabledFor(logging.ERROR):
        return
    file, line, function, _ = logger.findCaller(stacklevel=2)
    exc_info = None if error is None else reportable(error, failure)
    record = logger.makeRecord(logger.name, logging.ERROR, file, line, message, args, exc_info, function)
    if exc_info is not None:
        # A formatter takes what is here already; its own would quote the source, and a storm would fill the log.
        record.exc_text = f"{failure.error_class}: {exc_info[1]}"
    logger.handle(record)


def reportable(error: BaseException, failure: Failure) -> ExcInfo:
    """The exception in a form that error trackers may be given: where it was raised, without any event's data.

    Trackers send the local variables of each frame along, and an extractor's hold the event: they are
    cleared, in every frame that is done. The text is the dead letter's, which is capped and scrubbed, on one line.
    """
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)
    kind = type(error)
    # Its own class may do anything when it is turned into text.
    twin = type(kind.__name__, (Exception,), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})
    shown = twin(one_line(failure.message))
    return twin, shown.with_traceback(error.__traceback__), error.__traceback__


def _chain(error: BaseException) -> list[BaseException]:
    """The error with its causes and contexts, each once."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and not any(one is known for known in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found
