"""Slows down who guesses tokens: by address, and altogether, because an address may be forged behind a proxy."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bridge.model.bounds import ADDRESS_CHARS_MAX
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

FREE_FAILURES = 5
WAIT_CAP_S = 60.0
FORGET_S = 900.0
ADDRESSES_MAX = 1000
"""Addresses that are remembered; the one heard longest ago is forgotten first."""
ALL_FREE_FAILURES = 20
"""Wrong tokens from all addresses together before the brake on all addresses."""
ALL_REFILL_S = 1.0
"""Then one is looked at each time this is over, from however many addresses they come."""
KNOWN_MAX = 100
KNOWN_S = 7 * 86_400.0
"""An address that has shown a right token is spared the brake on everybody for this long."""


@dataclass(slots=True)
class _Record:
    failures: int
    last_s: float


class Throttle:
    """Counts wrong tokens. Used on one event loop; not thread-safe.

    Args:
        clock: monotonic, in s.

    Attributes:
        refused: attempts that were not looked at.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._known: OrderedDict[str, float] = OrderedDict()
        self._left = float(ALL_FREE_FAILURES)
        self._filled_s = clock()
        self.refused = 0

    def wait_s(self, address: str) -> float:
        """How long until this address may try again; 0 if it may now."""
        address = address[:ADDRESS_CHARS_MAX]
        wait_s = max(self._own_wait_s(address), 0.0 if self._is_known(address) else self._wait_of_all_s())
        if wait_s:
            self.refused += 1
        return wait_s

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        address = address[:ADDRESS_CHARS_MAX]
        failures = self._records[address].failures + 1 if address in self._records else 1
        self._records[address] = _Record(failures, self._clock())
        self._records.move_to_end(address)
        if len(self._records) > ADDRESSES_MAX:
            self._records.popitem(last=False)
        if failures >= FREE_FAILURES:
            self._known.pop(address, None)
        self._refill()
        self._left = max(0.0, self._left - 1)
        if self._left < 1:
            logger.warning("bridge.ops.tokens_guessed refused=%d wait_s=%.1f", self.refused, self._wait_of_all_s())

    def succeeded(self, address: str) -> None:
        """Forget what an address did wrong, and know it from now on."""
        address = address[:ADDRESS_CHARS_MAX]
        self._records.pop(address, None)
        self._known[address] = self._clock()
        self._known.move_to_end(address)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _own_wait_s(self, address: str) -> float:
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

    def _wait_of_all_s(self) -> float:
        self._refill()
        return 0.0 if self._left >= 1 else (1 - self._left) * ALL_REFILL_S

    def _refill(self) -> None:
        now_s = self._clock()
        self._left = min(float(ALL_FREE_FAILURES), self._left + (now_s - self._filled_s) / ALL_REFILL_S)
        self._filled_s = now_s

    def _is_known(self, address: str) -> bool:
        shown_s = self._known.get(address)
        return shown_s is not None and self._clock() - shown_s < KNOWN_S
