"""``emit``, ``emit_many`` and ``flush``: one emitter for the process, made at first use from the environment."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.model.errors import BridgeError, SettingsError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.producer.emitter import Emitter
from bridge.producer.lifetime import EMITTERS
from bridge.settings import ProducerSettings

logger = plain_logger(__name__)


_emitter: Emitter | None = None
_broken = ""
"""Why it cannot be made, in one sentence; empty if it can, or was not tried."""
_IN_THE_MAKING = (
    "An event was not accepted: a signal handler or a finalizer emitted it while the emitter was being made. "
    "Call bridge.configure() before there can be one."
)


def configure(
    settings: ProducerSettings | None = None, registry: Registry | None = None, *, strict: bool = False
) -> Emitter:
    """Make the process's emitter now, so that wrong settings are seen at start-up and not at the first event.

    Closes the emitter that was there before.

    Args:
        settings: default: read from the environment.
        registry: default: the one that the settings name.
        strict: let ``emit`` wait for the broker and raise; see ``Emitter``.

    Returns:
        The emitter, for whoever wants to look at it or to close it.

    Raises:
        SettingsError: the environment's settings are wrong.
        RegistryError: the registry cannot be loaded.
    """
    global _emitter, _broken
    with EMITTERS.lock():
        emitter = Emitter(settings, registry, strict=strict)
        previous, _emitter, _broken = _emitter, emitter, ""
    if previous is not None:
        previous.close()
    return emitter


def made() -> Emitter | None:
    """The process's emitter; None if it has none yet."""
    return _emitter


@contextmanager
def replaced(emitter: Emitter) -> Iterator[None]:
    """Have ``emit`` use another emitter meanwhile, unless ``configure`` is called, which stays as it always does."""
    global _emitter, _broken
    with EMITTERS.lock():
        before, _emitter, _broken = (_emitter, _broken), emitter, ""
    try:
        yield
    finally:
        with EMITTERS.lock():
            if _emitter is emitter:
                _emitter, _broken = before
                superseded: Emitter | None = emitter
            else:
                superseded = before[0]
        if superseded is not None:
            superseded.close()


def emit(event: Any) -> bool:
    """Accept one domain event, by the process's emitter; returns in microseconds. See ``Emitter.emit``.

    Never raises, unless ``configure`` made it strict. With wrong settings: logged once, and False.
    """
    emitter = process_emitter()
    return emitter.emit(event) if emitter else False


def emit_many(events: Iterable[Any]) -> int:
    """Accept several domain events, which leave together; returns how many. See ``Emitter.emit_many``."""
    emitter = process_emitter()
    return emitter.emit_many(events) if emitter else 0


def flush(timeout_s: float = 5.0) -> bool:
    """Wait until the broker has every event accepted so far, ``timeout_s`` seconds at most; see ``Emitter.flush``."""
    emitter = process_emitter()
    return emitter.flush(timeout_s) if emitter else False


def process_emitter() -> Emitter | None:
    """Made now if it was not; None if the settings are wrong: a producer's business must not suffer from that."""
    global _emitter, _broken
    if _emitter is not None or _broken:
        return _emitter
    if EMITTERS.held_here:
        logger.error("bridge.event.refused %s", _IN_THE_MAKING)
        return None
    with EMITTERS.lock():
        if _emitter is None and not _broken:
            try:
                _emitter = Emitter()
            except Exception as error:  # also a surprise: no caller may suffer from it
                _broken = type(error).__name__
                told = str(error) if isinstance(error, BridgeError) else f"{type(error).__name__}: {error}"
                _broken = " ".join(line.removeprefix("  - ") for line in told.splitlines())
                logger.critical("bridge.emitter.misconfigured: no event of this process is published. %s", _broken)
    return _emitter


def needed_emitter() -> Emitter:
    """The same, for whoever promises that nothing is committed without its event.

    Raises:
        SettingsError: there is none; says why.
    """
    emitter = process_emitter()
    if emitter is None:
        raise SettingsError(f"No event of this process is published. {_broken}" if _broken else _IN_THE_MAKING)
    return emitter
