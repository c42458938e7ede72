"""The closed sets of causes: why a stream ends, and why a client may have missed events. Pure."""

from enum import StrEnum


class Ending(StrEnum):
    """Why a stream ended."""

    CLIENT_LEFT = "client_left"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  (a name)
    TOO_SLOW = "too_slow"
    STALLED = "stalled"
    SHUTDOWN = "shutdown"
    FAILED = "failed"


class ResetReason(StrEnum):
    """Why a client may have missed events."""

    UNKNOWN_ID = "unknown_id"
    TRIMMED = "trimmed"
    NOT_RETAINED = "not_retained"
