"""The root cause of a failure, with everything that differs from event to event taken out. Pure."""

import hashlib
import re

import msgspec

from bridge.model.pipeline import Failure
from bridge.model.pipeline.failure import MAX_MESSAGE_CHARS, MAX_TRACEBACK_CHARS

MESSAGE_MAX_CHARS = 200
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
    return " ".join(shortened.split())[:MESSAGE_MAX_CHARS]


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
