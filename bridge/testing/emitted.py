"""``capture``: what the code under test emitted, judged as a real ``emit`` judges it; nothing leaves the process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from reprlib import Repr
from typing import Any, TypeVar, overload

from bridge.catalogs import load_registry
from bridge.model.pipeline.failure import Stage, describe
from bridge.model.plain_text import name_of
from bridge.model.registry import Registry
from bridge.producer import default
from bridge.producer.batching import Written
from bridge.producer.diversion import divert
from bridge.producer.emitter import Emitter

E = TypeVar("E")

SHOWN_MAX = 20
"""Events that the text of a failure shows at most."""
SHOWN_CHARS_MAX = 300
"""Characters of each."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that ``emit`` did not accept."""

    event: Any  # as it was given
    reason: str  # the sentence that the log has


class Emitted(Sequence[Any]):
    """The events that were accepted, from the oldest to the newest, as a worker would read them.

    Attributes:
        refused: what was not accepted, also for want of a mapping.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[Any, Callable[[], bool] | None]] = []
        self.refused: list[Refused] = []

    def of(self, event_class: type[E]) -> list[E]:
        """The events of ``event_class`` and of classes derived from it, in order."""
        return [event for event in self._events if isinstance(event, event_class)]

    def only(self, event_class: type[E]) -> E:
        """The one event of ``event_class``; others may have been emitted beside it.

        Raises:
            AssertionError: there is none, or more than one; says what was emitted instead.
        """
        __tracebackhide__ = True
        found = self.of(event_class)
        if len(found) != 1:
            raise AssertionError(f"One {event_class.__name__} was expected, not {len(found)}. {self._told()}")
        return found[0]

    def nothing(self) -> None:
        """Hold the code to have emitted nothing, nor tried to.

        Raises:
            AssertionError: it has; says what.
        """
        __tracebackhide__ = True
        if self._events or self.refused:
            raise AssertionError(f"Nothing was to be emitted. {self._told()}")

    def clear(self) -> None:
        """Forget what was emitted and refused so far."""
        self._seen.clear()
        self.refused.clear()

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self._events[place]

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<{self._told()}>"

    @property
    def _events(self) -> list[Any]:
        """Without what transactions took back."""
        return [event for event, stands in self._seen if stands is None or stands()]

    def _told(self) -> str:
        """All of it in words, a line each."""
        text = _listed("Emitted", [_shown(event) for event in self._events]) or "Nothing was emitted."
        refused = _listed("Refused", [one.reason for one in self.refused])
        return f"{text}\n{refused}" if refused else text

    # For the bridge itself: satisfies ``bridge.producer.diversion.Diversion``

    def written(self, entry: Written, stands: Callable[[], bool] | None = None) -> None:
        """An emitter accepted an event."""
        try:
            self._seen.append((entry.route.codec.decode(entry.accepted().envelope), stands))
        except Exception as error:  # of the class's own code
            name, said = entry.route.task.rpartition(".")[2], describe(error, Stage.DECODE).message
            reason = f"{name} {entry.event_id} was accepted, but a worker could not read it: {said}"
            self.refused.append(Refused(None, reason))

    def handled(self, event: Any) -> None:
        """A handler would have published an event."""
        try:
            self._seen.append((deepcopy(event), None))
        except Exception:  # of the class's own code: then it is as it will be
            self._seen.append((event, None))

    def note_refused(self, event: Any, reason: str) -> None:
        """An event was not accepted."""
        self.refused.append(Refused(event, reason))


@contextmanager
def capture(registry: Registry | str | None = None) -> Iterator[Emitted]:
    """Have whatever is emitted in this process, by any thread, task or emitter, recorded and sent nowhere.

    Takes ``bridge.emit``, every ``Emitter`` and every ``SSEEventHandler``. Of two within each other the inner one takes
    all; afterwards everything is as before. What an outbox is given, SQLAlchemy's or Django's, is forgotten when its
    transaction or savepoint is rolled back.

    Args:
        registry: that ``bridge.emit`` uses meanwhile, or its path as ``package.module:attribute``; default: that of
            ``bridge.configure``, or else the environment's.

    Raises:
        SettingsError: the environment's settings are wrong.
        RegistryError: the registry cannot be loaded.
    """
    if isinstance(registry, str):
        registry = load_registry(registry)
    emitted = Emitted()
    with divert(emitted):
        if registry is None and default.made():
            yield emitted
            return
        with default.replaced(Emitter(registry=registry)):
            yield emitted


def _listed(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = [f"  {number}. {line}" for number, line in enumerate(lines[:SHOWN_MAX], 1)]
    if len(lines) > SHOWN_MAX:
        shown.append(f"  … and {len(lines) - SHOWN_MAX} more")
    return "\n".join([f"{title}:", *shown])


def _shown(event: Any) -> str:
    try:
        return _cut.repr(event) if len(text := repr(event)) > SHOWN_CHARS_MAX else text
    except Exception:  # foreign code
        return f"{name_of(type(event))} (its repr failed)"


_cut = Repr()
_cut.maxother = SHOWN_CHARS_MAX
