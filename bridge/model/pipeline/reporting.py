"""An extractor's exception in a log: one line for people, and for error trackers where it was raised."""

import logging
import traceback
from types import TracebackType
from typing import TypeAlias

from bridge.model.pipeline.failure import Failure
from bridge.model.plain_text import one_line

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
