"""``Faults``: trouble on demand, for all twins over one state."""

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.model.errors import OutsideError, StoreRefusedError, StoreUnavailableError


class Faults:
    """What goes wrong from now on. Right at first.

    Attributes:
        calls: how many calls the twins were asked for so far.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._trouble: OutsideError | None = None
        self._answers_lost = self._answers_left = 0
        self._within = False

    def go_away(self) -> None:
        """Every call raises StoreUnavailableError and does nothing, until ``mend``."""
        self._trouble = StoreUnavailableError("The store is away, as the test asked.", code="ConnectionError")

    def refuse(self) -> None:
        """Every call raises StoreRefusedError and does nothing, until ``mend``."""
        self._trouble = StoreRefusedError("The store refuses, as the test asked.", code="NOPERM")

    def lose_answers(self, number: int = 1, *, after: int = 0) -> None:
        """So many calls do what they are asked for, and raise StoreUnavailableError all the same.

        Args:
            number: of answers that are lost.
            after: so many calls that are answered.
        """
        self._answers_lost, self._answers_left = number, after

    def mend(self) -> None:
        """Nothing goes wrong from now on."""
        self._trouble, self._answers_lost, self._answers_left = None, 0, 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around everything that a twin does.

        Raises:
            StoreError: a test asked for it.
        """
        if self._within:  # one part of a twin asks another: to whoever asked it is one call
            yield
            return
        self.calls += 1
        if self._trouble is not None:
            raise self._trouble
        self._within = True
        try:
            yield
        finally:
            self._within = False
        if self._answers_lost and self._answers_left:
            self._answers_left -= 1
        elif self._answers_lost:
            self._answers_lost -= 1
            raise StoreUnavailableError("The answer was lost, as the test asked.", code="TimeoutError")
