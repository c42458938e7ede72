"""Names of parameters that are the same in every process that runs the tests, as several at a time need."""

import re


def shown(value: object) -> str:
    """Its representation, without an address, and of a set in order."""
    shape = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    return re.sub(r" at 0x[0-9a-f]+", "", repr(shape))
