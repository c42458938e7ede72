"""``Stream``: what one client gets of a bridge under test, frame by frame, over as many connections as it makes."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bridge.model.errors import BridgeError
from bridge.testing.frames import Frame, FrameReader

WAIT_S = 60.0
"""How long a stream is waited for where something real must happen: a deadline, and no measure."""
LIVE = "live"
"""The comment that says that whatever is published from now on is heard."""


class StreamRefusedError(BridgeError):
    """The gateway opened no stream.

    Attributes:
        status: of HTTP.
        detail: what the gateway says, as a document.
    """

    def __init__(self, status: int, detail: Any) -> None:
        said = detail.get("detail", detail) if isinstance(detail, dict) else detail
        super().__init__(f"{status}: {said}")
        self.status, self.detail = status, detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """For how long, in s, more may come by itself."""

    for_more_s: float  # where an event is waited for
    for_nothing_s: float  # where none is to come


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a client asks for; the same at each connection but for the id."""

    user: Any
    topics: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """Of the address."""
        categories = (("categories", ",".join(self.categories)),) if self.categories else ()
        return (*categories, *(("topics", topic) for topic in self.topics))


class Connection(Protocol):
    """One connection of a stream, which feeds it from another thread."""

    def close(self) -> None:
        """Hang up, and wait until nothing comes any more. Idempotent."""


class Stream:
    """What a client was sent, of which a test takes one event after the other.

    Args:
        asked: what for.
        dial: opens a connection, which feeds this stream, with the id that the client had last.
        settle: has the bridge do what is to be done.
        told: what became of what was emitted, for messages.

    Attributes:
        frames: everything that was sent so far, control frames too, over all connections.
        ended: whether the connection has ended.
        trouble: what broke a connection, the last time.
        last_event_id: what a browser would come back with.
    """

    def __init__(
        self,
        asked: Asked,
        dial: "Callable[[Stream, str], Connection]",
        settle: Callable[[], Patience],
        told: Callable[[], str],
        last_event_id: str = "",
    ) -> None:
        self._asked, self._dial, self._settle, self._told = asked, dial, settle, told
        self._changed = threading.Condition()
        self._reader = FrameReader()
        self.frames: list[Frame] = []
        self._taken = 0
        self._refusal: StreamRefusedError | None = None
        self._live = self.ended = False
        self.last_event_id = last_event_id
        self._connection: Connection | None = None
        self.trouble = ""

    @property
    def asked(self) -> Asked:
        """What it hears."""
        return self._asked

    @property
    def events(self) -> list[Frame]:
        """The events that have come so far, also those that were taken."""
        self._settle()
        with self._changed:
            return [frame for frame in self.frames if frame.is_event]

    def next(self, timeout_s: float = WAIT_S) -> Frame:
        """The next event that was not taken yet; waits up to ``timeout_s`` for it, if it can still come.

        Raises:
            AssertionError: none came; says what became of what was emitted.
        """
        __tracebackhide__ = True
        frame = self._next(timeout_s)
        if frame is None:
            how = "the stream has ended" if self.ended else "nothing more came"
            raise AssertionError(f"{self} was to get an event, and {how}.\n{self._told()}")
        return frame

    def nothing(self) -> None:
        """Hold the bridge to have sent no event that was not taken yet.

        Raises:
            AssertionError: it has; says which.
        """
        __tracebackhide__ = True
        frame = self._next(None)
        if frame is not None:
            raise AssertionError(f"{self} was to get nothing, and got {frame.type} {frame.id}: {frame.data}")

    def __iter__(self) -> Iterator[Frame]:
        """Each next event, until the stream ends.

        Raises:
            AssertionError: none comes in time.
        """
        while (frame := self._next(WAIT_S)) is not None or not self.ended:
            yield frame if frame is not None else self.next(0)

    def _next(self, timeout_s: float | None) -> Frame | None:
        """The next event, if one comes in time; ``timeout_s`` None: none is expected."""
        patience = self._settle()
        wait_s = patience.for_nothing_s if timeout_s is None else min(timeout_s, patience.for_more_s)
        until = time.monotonic() + wait_s
        with self._changed:
            while True:
                while self._taken < len(self.frames):
                    frame = self.frames[self._taken]
                    self._taken += 1
                    if frame.is_event:
                        return frame
                left_s = until - time.monotonic()
                if self.ended or left_s <= 0:
                    return None
                self._changed.wait(left_s)

    # Its connections

    def connect(self, *, waits: bool = True) -> None:
        """Open a connection, with the id of the last event that came.

        Args:
            waits: return when it hears what is published; not where the store is away, and it cannot.

        Raises:
            StreamRefusedError: the gateway opens none.
            AssertionError: it is not live in time.
        """
        with self._changed:
            self._live, self.ended, self._refusal, self._reader = False, False, None, FrameReader()
        self._connection = self._dial(self, self.last_event_id)
        if not waits:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._live or self.ended or self._refusal, WAIT_S)
            if self._refusal is not None:
                raise self._refusal
            if not self._live and not self.ended:
                raise AssertionError(f"{self} was opened, and within {WAIT_S:g} s it is not live.")

    def close(self) -> None:
        """Hang up. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # Told by the connection, on a thread of its own

    def take(self, part: bytes) -> None:
        """Bytes came: ``part``."""
        with self._changed:
            for frame in self._reader.feed(part):
                self.frames.append(frame)
                self.last_event_id = frame.id or self.last_event_id
                self._live |= frame.comment == LIVE
            self._changed.notify_all()

    def note_refusal(self, status: int, body: bytes) -> None:
        """No stream is opened: ``status`` of HTTP, ``body`` of the answer."""
        with self._changed:
            self._refusal = StreamRefusedError(status, _document(body))
            self._changed.notify_all()

    def note_trouble(self, error: Exception) -> None:
        """The connection broke, by ``error``."""
        with self._changed:
            self.trouble = f"{type(error).__name__}: {error}"

    def note_end(self) -> None:
        """The connection has ended."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def __repr__(self) -> str:
        topics = "".join(f" and {topic}" for topic in self._asked.topics)
        return f"The stream of {self._asked.user}{topics}"


def _document(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError):  # a proxy's page
        return body.decode(errors="replace")
