"""What may come in from outside: how many bytes, levels, values and envelopes, and for how long; pure.

Whatever a queue, a stream, a channel, a spool file or a request holds was written by others. Each entry point applies
the bound that is named here before anything else looks at the bytes, and looks at them in linear time only: no pattern
that backtracks, no parser before the size is known. What a setting allows is in ``bridge.settings``; what is here holds
whatever the settings say.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, count
from operator import sub
from typing import ClassVar

import msgspec

# Messages: a queue's items, as a worker's main process meets them

BODY_BYTES_MIN = 2**20
"""A worker reads a body of this size whatever its own BRIDGE_MESSAGE_MAX_BYTES says, as a producer's may be larger."""
BODY_OVERHEAD_BYTES = 1_024
"""What a body may have beside its envelopes, so that one event of the largest size fits."""
HEADERS_BYTES_MAX = 2**16
"""Bytes of a queue item beside its body: Celery's headers take 600 bytes, and tracers add a few more."""
ENVELOPES_MIN = 1_000
"""A worker takes this many envelopes in a message whatever its own BRIDGE_EMIT_BATCH_MAX says, as a producer's may be
larger; retries and redriven letters travel by the hundred."""
VALUES_MAX = 1_000_000
"""JSON values in one body: as Python objects they take 100 MB, however few bytes each has on the wire."""
RETRIES_BYTES_MAX = 200_000
"""Bytes of envelopes that the bridge itself puts into one message of retries or redriven letters; one event may have
more."""

RETURNS_MAX = 15
"""How often a message may have come back to RabbitMQ, whatever for. From 4.0 on its quorum queues drop one that comes
back for the 20th time, without a word."""

# Levels: the nesting depth of objects and arrays

LEVELS_MAX = 100
"""Levels that an event may have. Far below those at which parsers give up, which depends on where in a program they
run: what is written here must be readable everywhere."""
LEVELS_PAYLOAD_MAX = 64
"""Levels of a payload, which browsers and other clients parse."""
LEVELS_BODY_MAX = LEVELS_MAX + 4
"""Levels of a body that Celery parses and pickles, which it cannot at about 500: ``[args]``, the list of envelopes, the
envelope and what an event may have in it."""
LEVELS_HEADERS_MAX = 50
"""Levels of what stands on a queue beside a body: Celery pickles headers and properties as well, and holds a place of
its pool forever where it cannot."""
LEVELS_READ_MAX = 400
"""Levels of JSON that is read by the bridge alone: less than half of those at which its parser gives up."""

PARSER_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)
"""What a parser raises over outside JSON: too many levels are no ``ValueError``, and must end no process either."""

# Decompression

DECOMPRESSED_MAX = 2**26
"""Bytes of a body at most, where no worker's settings are at hand: as many as the settings allow a message.
Unbounded, a few hundred bytes may hold gigabytes."""
LZMA_MEMORY_MAX = 2**27
"""Bytes that a decoder of lzma may take for its window, which the sender chooses: up to 4 GiB."""
ZSTD_WINDOW_LOG_MAX = 27
"""The same for zstd, as a power of two."""

# Dead letters

RAW_KEPT_MAX = 2**22
"""Bytes kept of what was no message; of more, the beginning, with the size and the digest of the whole."""

# Published events, as gateways and tools read them back

ENTRY_BYTES_MAX = 2**25
"""Bytes of a channel message, or of a stream's entry: twice the largest payload that the settings allow, as a stranger
may escape each letter."""

# Clients of the gateway: what one may send, and what is held for it

REQUEST_BYTES_MAX = 32_768
"""Bytes of a request, its line and headers; a token of 8 KiB in a cookie among others fits. More is answered 431."""
REQUEST_S = 10.0
"""Seconds from the first byte of a request, or from the connection, until the request is whole; later is 408."""
REQUESTS_UNFINISHED_MAX = 1_024
"""Connections of a server that have not sent a whole request; the one that has waited longest makes room."""
TICKET_CHARS_MAX = 100
"""Characters of a ticket that is looked up; one of ours has 43."""
TICKETS_PER_USER_MAX = 100
"""Tickets of one user while one is good."""
TICKET_TOPICS_MAX = 256
"""Topics that one ticket holds, of which its stream hears ``TOPICS_MAX``: Redis keeps so many for each ticket."""
WITHDRAWN_MAX = 10_000
"""Disconnected users and sessions that are remembered; each gateway reads them all whenever it connects to Redis."""
SESSION_CHARS_MAX = 1_000
"""Characters of a principal's session."""
TOKEN_CHARS_MAX = 8_192
"""Characters of a token; so many are verified, and no more."""
KEY_SET_BYTES_MAX = 2**20
"""Bytes of an issuer's set of keys (JWKS), of which each takes 1 to 5 KB with its certificates."""
SIGNING_KEYS_MAX = 100
"""Keys of an issuer that are looked at; it has a handful."""
PARAM_CHARS_MAX = 40
"""Characters of a parameter's name that could be one of ours."""
TOPICS_MAX = 32
"""Topics that one stream hears; each is a channel, and a stream that its history is read from."""
HEARD_MAX = 64
"""Addresses that one client's history is read for, everyone's included; each has a stream a class of retention."""
REPLAY_BYTES_MAX = 2**17
"""Bytes of events that are read from each of a client's streams at once, where it has two, and held until it has taken
them; of more streams, twice as much in all."""
REPLAY_BYTES_MIN = 2**14
"""The same when many clients are behind at once, and share ``REPLAYS_BYTES_MAX``."""
REPLAYS_BYTES_MAX = 2**26
"""Bytes that are read and not yet taken, over all clients of a process, up to one event a client."""
QUEUE_BYTES_MAX = 2**18
"""Bytes of live events held for one client; what does not fit is read from the history when the client is ready."""
UNTAKEN_BYTES_MAX = 2**16
"""Bytes handed to a server that takes them without waiting for the client (HTTP/2)."""
READERS_MAX = 16
"""Reads of the history at once in one process; each takes a connection to Redis."""
READERS_PER_USER_MAX = 2
"""The same for one user, however many streams that user has: others wait behind these only."""

# Operators' forms

FORM_BYTES_MAX = 65_536
"""Bytes of a form."""
FILTER_VALUES_MAX = 100
"""Values of one filter."""
REASON_CHARS_MAX = 500
"""Characters that are kept of why something was done."""
PERSON_CHARS_MAX = 60
"""Characters that are kept of who signs in."""
SESSION_COOKIE_CHARS_MAX = 1_000
"""Characters of a cookie that are looked at; a session of ours has fewer."""
ADDRESS_CHARS_MAX = 64
"""Characters of a caller's address, which a proxy may tell."""

# Text that goes into a log line, a record's key or a page

FIELD_CHARS_MAX = 128
"""Characters of a published event's type, and of whatever else stands in a frame as a word."""
USER_CHARS_MAX = 128
"""Characters of a user's id, where that is text."""
USER_INT_MAX = 2**63 - 1
"""The largest id that is a whole number; the smallest is one further from 0."""
QUEUE_NAME_CHARS_MAX = 200
"""Characters of the name of a queue that is found on a broker."""
QUEUES_FOUND_MAX = 1_000
"""Queues that a finder keeps in mind."""
SERVER_WORDS_CHARS_MAX = 300
"""Characters of a server's words that are passed on."""
INJECTED_CHARS_MAX = 300
"""Characters of a variable that a container platform injects."""
ID_CHARS_MAX = 255
"""Characters of a message id, which is a UUID of 36, and of a task's name."""
NUMBER_MAX = 2**31 - 1
"""Largest number in a header: attempts and deliveries are counted in tens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageBounds:
    """What a worker takes as one message; more is a dead letter as a whole, unread."""

    WIDEST: ClassVar["MessageBounds"]
    """What any worker's settings can allow."""

    item_bytes: int  # largest item of a Redis queue, with its body in base64
    body_bytes: int  # largest body, decompressed
    envelopes: int  # in the body

    @classmethod
    def of(cls, *, message_max_bytes: int, emit_batch_max: int) -> "MessageBounds":
        """The bounds that belong to a worker's settings."""
        body_bytes = max(message_max_bytes + BODY_OVERHEAD_BYTES, BODY_BYTES_MIN)
        return cls(
            item_bytes=body_bytes * 4 // 3 + HEADERS_BYTES_MAX,
            body_bytes=body_bytes,
            envelopes=max(emit_batch_max, ENVELOPES_MIN),
        )


MessageBounds.WIDEST = MessageBounds.of(message_max_bytes=DECOMPRESSED_MAX, emit_batch_max=10_000)


_NOT_STRUCTURE = bytes(set(range(256)) - set(b'"[]{},'))
_TEXTS = re.compile(rb'"[^"]*"')
"""Linear: there is one unclosed quote at most, and behind it nothing begins."""
_STEP = bytes.maketrans(b"[{]}", bytes((2, 2, 0, 0)))


def _structure(json: bytes) -> bytes:
    """Brackets and commas outside of texts; of any bytes, in linear time."""
    # Pairs of backslashes from the left, then escaped quotes: what is left of a run of backslashes escapes.
    without_escapes = json.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _TEXTS.sub(b"", without_escapes.translate(None, _NOT_STRUCTURE))


def levels_of(json: bytes, *, exact_above: int = LEVELS_MAX - 1) -> int:
    """How many objects and arrays are nested at most; of any bytes, in linear time.

    Up to ``exact_above`` brackets are not looked at: then their number is the answer.
    """
    brackets = json.count(b"[") + json.count(b"{")
    if brackets <= exact_above:
        return brackets
    steps = _structure(json).translate(_STEP, b'",')
    # Each step is one more than it should be, so that bytes can hold it.
    return max(map(sub, accumulate(steps), count(1)), default=0)


def values_of(json: bytes) -> int:
    """How many values a parser makes of it at most, keys not counted; of any bytes, in linear time.

    Fewer than VALUES_MAX bytes or commas are not looked at: then it is their number and one.
    """
    if len(json) < VALUES_MAX:
        return len(json) + 1
    commas = json.count(b",")
    return commas + 1 if commas < VALUES_MAX else _structure(json).count(b",") + 1


def too_deep(subject: str, levels_max: int) -> str:
    """The sentence for JSON with more levels than it may have."""
    return f"{subject} has more than {levels_max} objects and arrays nested in each other."


def quick_check(json: bytes, *, levels_max: int, refuse: Callable[[str], Exception]) -> None:
    """Refuse JSON that no parser should be given, in linear time; whether it is well-formed the parser says.

    The size of ``json`` was judged before.

    Raises:
        Exception: what ``refuse`` makes of a sentence.
    """
    if levels_of(json, exact_above=levels_max) > levels_max:
        raise refuse(too_deep("It", levels_max))
    if values_of(json) > VALUES_MAX:
        raise refuse(f"It has more than {VALUES_MAX} values.")


# Spool files: any process that may write to the directory may have written them

SPOOL_ENVELOPE_BYTES_MAX = 2**24
"""Bytes of an envelope in a spool file: the largest event that the settings allow."""
SPOOL_TEXT_BYTES_MAX = 1_024
"""Bytes of a name in a spool file: of a task, a queue or a user."""
SPOOL_ROUND_BYTES_MAX = 2**24
"""Bytes of envelopes that are read from a spool file at a time; one event may have more."""
SPOOL_WRITE_BYTES_MAX = 2**20
"""Bytes of envelopes that are written to a spool file in one transaction: as much, twice, is the write-ahead log's."""
SPOOL_SET_ASIDE_MAX = 100
"""Files in a spool directory that are set aside as unreadable; more are left where they are, and skipped."""
