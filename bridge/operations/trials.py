"""What the pipeline says of events that are only tried, in a process of its own, which the team's code may end."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeVar
from uuid import UUID

import msgspec

from bridge.model.events import SSEEvent
from bridge.model.events.sse_event import NO_USER
from bridge.model.pipeline import Failure, Outcome, Pipeline, Published, Skipped, Stage
from bridge.model.registry import DomainToSSEMapping

T = TypeVar("T")
GRACE_S = 1.0
"""How long a process may take to end after its last word, and beyond the limit of an item, which it keeps itself."""
_FORK = get_context("fork")


@dataclass(frozen=True, slots=True)
class Ended:
    """An item over which the process ended."""

    how: str  # in words, behind "its process"


def rehearse(run: Callable[[T], bytes], items: Sequence[T], *, limit_s: float) -> list[bytes | Ended]:
    """What ``run`` answers for each item, in a forked process; another is forked for what is left when one ends.

    Args:
        run: is called in the other process: it may exit, crash or hang, and changes nothing here.
        items: in their order.
        limit_s: for one item; a process that takes longer is killed.
    """
    answers: list[bytes | Ended] = []
    while len(answers) < len(items):
        answers += _in_a_process(run, items[len(answers) :], limit_s)
    return answers


def _in_a_process(run: Callable[[T], bytes], items: Sequence[T], limit_s: float) -> list[bytes | Ended]:
    """Answers for all items, or up to the one over which the process ended."""
    reading, writing = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_answer, args=(run, items, writing))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: one that hangs for their locks is killed
        process.start()
    writing.close()
    answers: list[bytes | Ended] = []
    timely = True
    try:
        while timely and len(answers) < len(items):
            timely = reading.poll(limit_s + GRACE_S)
            if timely:
                answers.append(reading.recv_bytes())
    except (EOFError, OSError):
        pass  # it ended
    finally:
        reading.close()
        how = _end(process)
    if len(answers) < len(items):
        answers.append(Ended(how if timely else f"took longer than {limit_s:g} s"))
    return answers


def _answer(run: Callable[[T], bytes], items: Sequence[T], writing: Connection) -> None:
    """In the other process: answer, and end without anything that belongs to this one."""
    try:
        for item in items:
            writing.send_bytes(run(item))
    except SystemExit:
        raise
    except BaseException:
        os._exit(70)  # as sysexits.h has it for an error of the program


def _end(process: BaseProcess) -> str:
    """Wait for a process, for a moment; then kill it. How it ended, in words."""
    process.join(GRACE_S)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode or 0
    return f"ended with exit status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


class TookTooLongError(Exception):
    """The extractors took longer than a dry run allows."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An event to be tried."""

    mapping: DomainToSSEMapping
    raw: object


class _Published(msgspec.Struct, frozen=True, tag=True):
    """What the other process says of an event that would be published: its fields as JSON, and its payload."""

    event: bytes
    payload: bytes
    addresses: tuple[str, ...]


class _Skipped(msgspec.Struct, frozen=True, tag=True):
    event_id: UUID


class _Failed(msgspec.Struct, frozen=True, tag=True):
    failure: Failure


_answers = msgspec.msgpack.Encoder()
_answer_decoder: msgspec.msgpack.Decoder[_Published | _Skipped | _Failed] = msgspec.msgpack.Decoder(
    _Published | _Skipped | _Failed
)


def _no_end(error_class: str, message: str) -> Failure:
    """The failure of a run that did not come to its end."""
    return Failure(stage=Stage.WORKER, error_class=error_class, message=message)


class Trials:
    """Runs a pipeline over events, and does nothing about what it says.

    Args:
        pipeline: set up as the worker's.
        time_limit_s: for one event.
    """

    def __init__(self, pipeline: Pipeline, *, time_limit_s: float) -> None:
        self._pipeline = pipeline
        self._time_limit_s = time_limit_s

    def outcomes(self, trials: Sequence[Trial]) -> list[Outcome]:
        """What the pipeline says of each."""
        answers = rehearse(self._try, trials, limit_s=self._time_limit_s)
        return [self._read_answer(trial, answer) for trial, answer in zip(trials, answers, strict=True)]

    def _try(self, trial: Trial) -> bytes:
        """Run one event, in the other process."""
        try:
            with _time_limit(self._time_limit_s):
                outcome = self._pipeline.run(trial.mapping, trial.raw, last_attempt=True)
        except TookTooLongError as error:
            return _answers.encode(_Failed(_no_end("TookTooLongError", str(error))))
        if isinstance(outcome, Published):
            event, told = msgspec.json.encode(outcome.event.to_dict()), tuple(map(str, outcome.addresses))
            return _answers.encode(_Published(event, outcome.payload, told))
        if isinstance(outcome, Skipped):
            return _answers.encode(_Skipped(outcome.event_id))
        return _answers.encode(_Failed(outcome.failure))

    def _read_answer(self, trial: Trial, answer: bytes | Ended) -> Outcome:
        if isinstance(answer, Ended):
            said: _Published | _Skipped | _Failed = _Failed(
                _no_end("WorkerLostError", f"The event would end its worker's process: it {answer.how}.")
            )
        else:
            said = _answer_decoder.decode(answer)
        if isinstance(said, _Failed):
            return self._pipeline.failed(trial.mapping, trial.raw, said.failure, attempt=1, permanent=True)
        if isinstance(said, _Skipped):
            return Skipped(event_id=said.event_id)
        event = SSEEvent.from_dict(
            msgspec.json.decode(said.event),
            parse_type=lambda _: trial.mapping.sse_event_type,
            parse_user=lambda text: NO_USER if text == str(NO_USER) else self._pipeline.users.parse(text),
        )
        return Published(
            event=event,
            payload=said.payload,
            audience=trial.mapping.audience,
            addresses=tuple(map(self._pipeline.addresses.parse, said.addresses)),
            envelope=trial.raw,
        )


@contextmanager
def _time_limit(limit_s: float) -> Iterator[None]:
    """Raise TookTooLongError in the block when it takes too long; in the process that is for trials only."""

    def interrupt(*_: object) -> None:
        """Raise wherever the extractor is."""
        raise TookTooLongError(f"The extractors took longer than {limit_s:g} s.")

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
