"""How big the fault suite is: bounded by default, as long as one likes with FAULT_SCALE."""

import os
import random

import pytest

from tests.fault.load import SCALE

SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(2**32)))


@pytest.fixture
def scale() -> float:
    """1 fits into CI; 30 is the full suite."""
    return SCALE


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of a test; repeat a run with FAULT_SEED."""
    print(f"FAULT_SEED={SEED}")
    return random.Random(f"{SEED}:{request.node.name}")
