"""Slows down who guesses tokens: the more wrong ones from an address, the longer its next must wait."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_FAILURES = 5
WAIT_CAP_S = 60.0
FORGET_S = 900.0
ADDRESSES_MAX = 1000
"""Addresses that are remembered; the one heard longest ago is forgotten first."""


@dataclass(slots=True)
class _Record:
    failures: int
    last_s: float


class Throttle:
    """Counts wrong tokens by address. Used on one event loop; not thread-safe.

    Args:
        clock: monotonic, in s.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long until this address may try again; 0 if it may now."""
        record = self._records.get(address)
        if record is None:
            return 0.0
        age_s = self._clock() - record.last_s
        if age_s > FORGET_S:
            del self._records[address]
            return 0.0
        surplus = record.failures - FREE_FAILURES
        # The exponent is bounded, or a patient guesser would make a number that is no float.
        wait_s = min(WAIT_CAP_S, 2.0 ** min(surplus, 10)) if surplus >= 0 else 0.0
        return max(0.0, wait_s - age_s)

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        failures = self._records[address].failures + 1 if address in self._records else 1
        self._records[address] = _Record(failures, self._clock())
        self._records.move_to_end(address)
        if len(self._records) > ADDRESSES_MAX:
            self._records.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget an address."""
        self._records.pop(address, None)
