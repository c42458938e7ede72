"""``ManualClock``: time that passes only when a test says so."""

from datetime import UTC, datetime

START_S = 1_800_000_000.0


class ManualClock:
    """A clock that stands. Satisfies ``bridge.ports.Clock``."""

    def __init__(self, now_s: float = START_S) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self._now_s

    def now_ms(self) -> int:
        """The same in whole milliseconds."""
        return int(self._now_s * 1000)

    def now(self) -> datetime:
        """The same as a UTC time."""
        return datetime.fromtimestamp(self._now_s, UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: it would run backwards.
        """
        if seconds < 0:
            raise ValueError(f"Time does not pass by {seconds} s.")
        self._now_s += seconds
