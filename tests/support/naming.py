"""Names of parameters that are the same in every process that runs the tests, as several at a time need."""

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def shown(value: object) -> str:
    """Its representation, without an address, a UUID or a moment, which may be made anew, and of a set in order."""
    shape = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    return _TIME.sub("now", _UUID.sub("uuid", _ADDRESS.sub("", repr(shape))))
