"""The user that an envelope names, as far as that can be told without its mapping; pure."""

from contextlib import suppress

import msgspec

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import IdError
from bridge.model.registry.identifiers import INTS, UUIDS, is_id_text

UUID_CHARS = 36
"""Of a UUID with its hyphens."""


class _Data(msgspec.Struct, frozen=True):
    user_id: str | int | None = None


class _Addressed(msgspec.Struct, frozen=True):
    data: _Data = _Data()


def user_in(envelope: str) -> str:
    """The ``user_id`` in an envelope's data, if it could be one of any kind; empty if not."""
    try:
        user_id = msgspec.json.decode(envelope, type=_Addressed).data.user_id
    except PARSER_ERRORS:
        return ""
    with suppress(IdError):
        if isinstance(user_id, int):
            return INTS.text(user_id)
        # In its other forms a UUID may as well be an application's text, and that must stay as it is.
        if user_id and len(user_id) == UUID_CHARS:
            return UUIDS.text(UUIDS.parse(user_id))
    return user_id if isinstance(user_id, str) and is_id_text(user_id) else ""
