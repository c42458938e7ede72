"""Whom an envelope names, as far as that can be told without its mapping; pure."""

from uuid import UUID

import msgspec

from bridge.model.bounds import PARSER_ERRORS


class _Data(msgspec.Struct, frozen=True):
    user_id: str | None = None


class _Addressed(msgspec.Struct, frozen=True):
    data: _Data = _Data()


def user_in(envelope: str) -> str:
    """The ``user_id`` in an envelope's data, if it is one."""
    try:
        user_id = msgspec.json.decode(envelope, type=_Addressed).data.user_id or ""
        return str(UUID(user_id)) if user_id else ""
    except PARSER_ERRORS:
        return ""
