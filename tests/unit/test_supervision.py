"""Every thread and task of ours: what it raises is logged, counted and shown, and it is run again."""

import asyncio
import logging
import os
import threading

import pytest

from bridge.runtime import supervision
from bridge.runtime.supervision import STABLE_S, Backoff, SupervisedTask, SupervisedThread, supervised
from tests.support.waiting import WAIT_S, wait_until


class Failing:
    """Raises what it was given, one call after the other, then runs until it is told to end."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.ending = threading.Event()
        self.recovered = threading.Event()

    def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.recovered.set()
        self.ending.wait()


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_thread_survives_whatever_its_function_raises(error: BaseException) -> None:
    run = Failing(error)
    thread = SupervisedThread(run, name="t")
    thread.start()
    assert run.recovered.wait(WAIT_S)
    state = thread.state
    assert (state.running, state.restarts, state.error) == (True, 1, type(error).__name__)
    assert state.in_trouble  # for a while
    run.ending.set()
    assert thread.join(WAIT_S)


def test_what_a_thread_raises_is_logged_by_name_scrubbed_and_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    run = Failing(RuntimeError("no way to\nredis://me:hunter2@host/0"))
    with caplog.at_level(logging.ERROR, "bridge"):
        thread = SupervisedThread(run, name="bridge-example")
        thread.start()
        assert run.recovered.wait(WAIT_S)
    run.ending.set()
    thread.join(WAIT_S)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("bridge.thread.failed name=bridge-example restarts=0 at=test_supervision.py:")
    assert line.endswith("RuntimeError: no way to redis://me:***@host/0")


def test_a_log_handler_that_raises_ends_nothing() -> None:
    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("disk full")

    handler = Raising()
    logging.getLogger("bridge").addHandler(handler)
    try:
        run = Failing(ValueError("x"))
        thread = SupervisedThread(run, name="t")
        thread.start()
        assert run.recovered.wait(WAIT_S)
        run.ending.set()
        thread.join(WAIT_S)
    finally:
        logging.getLogger("bridge").removeHandler(handler)


def test_an_error_whose_text_cannot_be_read_ends_nothing() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    run = Failing(OddError())
    thread = SupervisedThread(run, name="t")
    thread.start()
    assert run.recovered.wait(WAIT_S)
    run.ending.set()
    assert thread.join(WAIT_S)


def test_a_function_that_returns_is_done_and_one_that_runs_is_shown() -> None:
    ending = threading.Event()
    thread = SupervisedThread(ending.wait, name="bridge-shown")
    assert "bridge-shown" not in [state.name for state in supervised()]
    thread.start()
    assert "bridge-shown" in [state.name for state in supervised() if state.running]
    ending.set()
    assert thread.join(WAIT_S)
    assert "bridge-shown" not in [state.name for state in supervised()]
    assert not thread.state.in_trouble


def test_a_thread_that_is_to_run_once_is_not_run_again() -> None:
    runs: list[int] = []

    def run() -> None:
        runs.append(1)
        raise ValueError("x")

    thread = SupervisedThread(run, name="t", once=True)
    thread.start()
    assert thread.join(WAIT_S)
    assert (len(runs), thread.state.error) == (1, "ValueError")


class Endless(Backoff):
    def next_s(self, *, refused: bool = False) -> float:
        return 3600


def test_stopping_does_not_wait_for_the_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "Backoff", Endless)

    def run() -> None:
        raise ValueError("x")

    thread = SupervisedThread(run, name="t")
    thread.start()
    wait_until(lambda: thread.state.error and not thread.state.running, what="it waits for its restart")
    assert thread.stop(WAIT_S)


def test_a_long_run_makes_the_next_wait_short_again() -> None:
    clock = [0.0]
    waits: list[float] = []

    def run() -> None:
        clock[0] += STABLE_S if len(waits) == 8 else 0.0
        raise ValueError("x")

    thread = SupervisedThread(run, name="t", clock=lambda: clock[0])

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return len(waits) == 9

    thread.stopping = Stopping()
    thread.start()
    assert thread.join(WAIT_S)
    assert waits[7] > 2 > 0.1 >= waits[8]


def test_a_forked_child_has_no_thread_of_its_parent() -> None:
    ending = threading.Event()
    thread = SupervisedThread(ending.wait, name="t")
    thread.start()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        alive = thread.is_alive() or thread.state.running or any(state.name == "t" for state in supervised())
        ending.set()
        thread.start()
        os.write(writing, b"1" if alive or not thread.join(WAIT_S) else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"0"
    assert thread.is_alive()
    ending.set()
    thread.join(WAIT_S)


async def test_a_task_is_run_again_until_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    errors = [ValueError("x"), asyncio.CancelledError()]  # nobody asked for the second
    recovered = asyncio.Event()

    async def run() -> None:
        if errors:
            raise errors.pop(0)
        recovered.set()
        await asyncio.Event().wait()

    task = SupervisedTask(run, name="bridge-hub")
    task.start()
    await asyncio.wait_for(recovered.wait(), WAIT_S)
    assert (task.state.running, task.state.restarts, task.state.error) == (True, 2, "CancelledError")
    assert "bridge-hub" in [state.name for state in supervised()]
    await task.stop()
    assert task.done()
    assert "bridge-hub" not in [state.name for state in supervised()]
    assert "bridge.task.failed name=bridge-hub restarts=0" in caplog.text


async def test_a_task_that_waits_for_its_restart_is_stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "Backoff", Endless)

    async def run() -> None:
        raise ValueError("x")

    task = SupervisedTask(run, name="t")
    task.start()
    while task.state.running or not task.state.error:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.wait_for(task.stop(), WAIT_S)
