"""``Frame``: what a client is sent, parsed and as the very bytes; and what cuts a stream into frames. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stream."""

    raw: bytes  # as it is on the wire, with what ends it
    id: str = ""  # an event's id; of a first frame the position from which the client hears
    type: str = ""  # ``order.paid``, ``stream.reset``; empty where it is no event
    data: str = field(default="", repr=False)  # an event's payload, as JSON
    retry_ms: int | None = None  # how long a browser waits before it comes back
    comment: str = ""  # ``live``, ``heartbeat``

    @property
    def is_event(self) -> bool:
        """Whether a browser tells the page of it."""
        return bool(self.data)

    @property
    def payload(self) -> Any:
        """The data, as a browser parses it: from JSON.

        Raises:
            ValueError: it is none.
        """
        return msgspec.json.decode(self.data)


class FrameReader:
    """Cuts the bytes of a stream into frames; what is not whole yet is kept for the next ones."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[Frame]:
        """The frames that are whole now; a comment and a delay are some by themselves, as they count at once."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self._lines.append(line)
            if not line or (line.startswith((b":", b"retry:")) and len(self._lines) == 1):
                yield _frame(self._lines)
                self._lines = []


def _frame(lines: list[bytes]) -> Frame:
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.decode().partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    first = {name: values[0] for name, values in fields.items()}
    retry = first.get("retry", "")
    return Frame(
        raw=b"".join(line + b"\n" for line in lines),
        id=first.get("id", ""),
        type=first.get("event", ""),
        data="\n".join(fields.get("data", ())),
        retry_ms=int(retry) if retry.isdecimal() else None,
        comment=first.get("", "") if lines[0].startswith(b":") else "",
    )
