"""Outside text made fit for one line of a log: no line feed, escape or other control character gets through."""

import logging
import traceback
from collections.abc import Mapping
from numbers import Number

LINE_CHARS_MAX = 500
"""Characters of outside text in one place of a log line."""
ARGUMENT_CHARS_MAX = 2_000
"""The same where the text is a sentence of ours, with words from outside in it."""

ECHO_CHARS_MAX = 60
"""Characters of an input that an error message repeats."""


def echoed(text: str) -> str:
    """An input, for an error message: quoted, without control characters, and never longer than a line."""
    return repr(text if len(text) <= ECHO_CHARS_MAX else text[:ECHO_CHARS_MAX] + "…")


def one_line(text: object, *, chars_max: int = LINE_CHARS_MAX) -> str:
    """Text as one line of what can be printed: what cannot is written as Python escapes it, and it is cut to length.

    Whoever writes a message, a header or an error text can otherwise forge log lines, or steer a terminal. At most
    ``chars_max`` characters are kept before any are escaped.
    """
    words = (text if isinstance(text, str) else str(text))[: chars_max + 1]
    if len(words) > chars_max:
        words = words[: chars_max - 1] + "…"
    if words.isprintable():
        return words
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


def name_of(cls: type) -> str:
    """The name of a class from anywhere, whatever its metaclass does; never raises."""
    return str.__str__(type.__dict__["__name__"].__get__(cls))


def plain_logger(name: str) -> logging.Logger:
    """The logger of that name, which writes whatever comes from outside on one line. Every module has such a one."""
    logger = logging.getLogger(name)
    if _in_one_line not in logger.filters:
        logger.addFilter(_in_one_line)
    return logger


def _in_one_line(record: logging.LogRecord) -> bool:
    """Make a record's arguments fit for one line, and each part of its traceback for the lines that it has."""
    if isinstance(record.args, Mapping):
        record.args = {name: _argument(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(map(_argument, record.args))
    if record.exc_info and not record.exc_text:
        parts = traceback.format_exception(*record.exc_info)
        record.exc_text = "\n".join(map(_part, parts))
    return True


def _argument(value: object) -> object:
    return value if isinstance(value, Number) or value is None else one_line(value, chars_max=ARGUMENT_CHARS_MAX)


def _part(part: str) -> str:
    """A part of a traceback: of a frame the lines, of the error, whose text is from outside, one."""
    part = part.rstrip("\n")
    is_ours = part.startswith(("  File ", "Traceback ", "\nThe above exception", "\nDuring handling"))
    return "\n".join(map(one_line, part.split("\n"))) if is_ours else one_line(part, chars_max=ARGUMENT_CHARS_MAX)
