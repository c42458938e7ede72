"""How long to wait before what failed is tried again."""

import random

BASE_S = 0.1
CAP_S = 5.0
REFUSED_S = 10.0
"""After a refusal for good: an operator may grant what is missing, and nothing that was accepted is lost."""


class Backoff:
    """Exponential, with jitter between half and whole, so that a fleet does not return at one moment."""

    def __init__(self) -> None:
        self.failures = 0

    def next_s(self, *, refused: bool = False) -> float:
        """Seconds to wait after one more failure; ``refused`` if nothing changes until an operator changes it."""
        ceiling_s = REFUSED_S if refused else min(CAP_S, BASE_S * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return ceiling_s * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
