"""Names in the environment that begin like ours and are no setting: a platform's, somebody else's, or mistyped."""

import re
from collections.abc import Iterable
from functools import lru_cache

from bridge.model.bounds import INJECTED_CHARS_MAX

_ADDRESS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?"
_ENDPOINT = rf"(tcp|udp|sctp)://({_ADDRESS}|[\w.-]+):[0-9]{{1,5}}"
_NUMBER = "[0-9]{1,5}"

_INJECTED = tuple(
    (re.compile(name, re.ASCII), re.compile(value, re.ASCII | re.IGNORECASE))
    for name, value in (
        # Kubernetes, for each Service of the namespace (enableServiceLinks).
        (r"\w+_SERVICE_HOST", rf"{_ADDRESS}|[\w.-]+"),
        (r"\w+_SERVICE_PORT(_\w+)?", _NUMBER),
        # Kubernetes and linked containers of Docker and Podman.
        (r"\w+_PORT", _ENDPOINT),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)(_START|_END)?", _ENDPOINT),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)_PROTO", "tcp|udp|sctp"),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)_PORT(_START|_END)?", _NUMBER),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)_ADDR", rf"{_ADDRESS}|[\w.-]+"),
        (r"\w+_NAME", r"/[\w.-]+/[\w.-]+"),
    )
)
_LINKED = re.compile(r"\w+_ENV_\w+", re.ASCII)
"""The environment of a linked container, which may hold anything; no setting has such a name."""

_PLACES = frozenset({"url", "uri", "dsn", "host", "address", "server", "dir", "directory", "path", "folder"})
"""Last words of a name that says where something is; people take one for another."""
TYPOS_MAX = 2
SHORT_CHARS = 6
"""In a word of so few letters only one may be mistyped: APP_TOKEN is not OPS_TOKEN."""


def is_injected(name: str, value: str) -> bool:
    """Whether a container platform put the variable there, by the form of its name and of its value."""
    if _LINKED.fullmatch(name):
        return True
    if len(value) > INJECTED_CHARS_MAX:
        return False
    return any(form.fullmatch(name) and shape.fullmatch(value) for form, shape in _INJECTED)


def mistyped(field: str, known: Iterable[str]) -> str | None:
    """The setting of which a field name is a mistyped form: letters wrong, swapped, left out or too many."""
    near = [(distance, other) for other in known if (distance := _typos(field, other)) is not None]
    return min(near)[1] if near else None


def resembled(field: str, known: Iterable[str]) -> str | None:
    """The setting that a field name means in other words: one left out, abbreviated, or taken for its like."""
    return next((other for other in known if _same_meaning(field.split("_"), other.split("_"))), None)


def _typos(field: str, other: str) -> int | None:
    """How many letters are mistyped; None if too many for a mistyped name."""
    words, others = field.split("_"), other.split("_")
    if sorted(words) == sorted(others):
        return 0
    if len(words) != len(others):
        return _distance_within(1, "".join(words), "".join(others))
    found = 0
    for word, meant in zip(words, others, strict=True):
        distance = _distance_within(1 if len(meant) <= SHORT_CHARS else TYPOS_MAX, word, meant)
        if distance is None or (found := found + distance) > TYPOS_MAX:
            return None
    return found


def _distance_within(most: int, one: str, other: str) -> int | None:
    if abs(len(one) - len(other)) > most:
        return None
    found = _distance(one, other)
    return found if found <= most else None


@lru_cache(maxsize=4096)
def _distance(one: str, other: str) -> int:
    """Letters that must be changed, added, dropped or swapped with the next."""
    if not one or not other:
        return len(one) + len(other)
    costs = [
        _distance(one[:-1], other) + 1,
        _distance(one, other[:-1]) + 1,
        _distance(one[:-1], other[:-1]) + (one[-1] != other[-1]),
    ]
    if len(one) > 1 and len(other) > 1 and one[-2:] == other[:-3:-1]:
        costs.append(_distance(one[:-2], other[:-2]) + 1)
    return min(costs)


def _same_meaning(words: list[str], other: list[str]) -> bool:
    if len(words) == len(other):
        *mine, last = words
        *theirs, end = other
        both_places = last in _PLACES and end in _PLACES
        return (mine == theirs and both_places) or all(map(_abbreviates, words, other))
    if len(words) != len(other) - 1:
        return False
    left_out = [other[:at] + other[at + 1 :] for at in range(len(other))]
    return words in left_out and (len(words) > 1 or (other[-1] in _PLACES and words == other[:-1]))


def _abbreviates(word: str, other: str) -> bool:
    """Whether one is the beginning of the other, three letters at the least."""
    short, long = sorted((word, other), key=len)
    return len(short) >= min(3, len(long)) and long.startswith(short)
