"""What an error of a database means for the outbox: a sentence for the operator, and what to do."""

from collections.abc import Iterator
from enum import Enum

from bridge.model.errors import BridgeError, OutboxError
from bridge.model.plain_text import one_line
from bridge.producer.outbox.schema import TABLE
from bridge.runtime.command_names import command

CHARS_MAX = 200
"""Characters that are kept of what a driver says."""
CAUSES_MAX = 10


class Kind(Enum):
    """What is the matter, in a sentence about ``{name}``."""

    BUSY = "Rows of {table} in {name} are locked by another transaction; they are looked at again."
    NO_TABLE = "{name} has no table {table}: make it, {maker}."
    OTHER_TABLE = "{name} has another table {table}: a column is missing. Compare: `{ddl}`."
    READ_ONLY = "{name} takes no writes: it is a replica, or read only. Name its primary in BRIDGE_OUTBOX_URL."
    FORBIDDEN = "{name} does not let this user SELECT, UPDATE and DELETE on {table}: grant it."
    OTHER = "{name} cannot be used: {said}"


_BY_CODE: dict[object, Kind] = {
    **dict.fromkeys(("55P03", "40001", "40P01", 1205, 1213, 3572), Kind.BUSY),
    **dict.fromkeys(("42P01", 1146), Kind.NO_TABLE),
    **dict.fromkeys(("42703", 1054), Kind.OTHER_TABLE),
    **dict.fromkeys(("25006", 1290, 1792, 1836), Kind.READ_ONLY),
    **dict.fromkeys(("42501", 1142, 1143), Kind.FORBIDDEN),
}
_OF_SQLITE = {
    "database is locked": Kind.BUSY,
    "no such table": Kind.NO_TABLE,
    "no such column": Kind.OTHER_TABLE,
    "attempt to write a readonly database": Kind.READ_ONLY,
}


class BusyError(OutboxError):
    """Somebody else has the rows at this moment."""


def explained(error: Exception, *, name: str, dialect: str, maker: str = "") -> BridgeError:
    """The error of a driver, however it is wrapped, as one of ours; one of ours stays what it is.

    Args:
        error: what was raised.
        name: of the database, for operators.
        dialect: a name of ``DIALECTS``.
        maker: how its table is made, in words; default: as SQLAlchemy's.
    """
    if isinstance(error, OutboxError):
        return error
    kind, said = Kind.OTHER, f"{type(error).__name__}: {error}"
    for cause in _causes(error):
        if (found := _kind_of(cause)) is not None:
            kind = found
            break
        said = f"{type(cause).__name__}: {cause}"
    text = one_line(said.strip().splitlines()[0])[:CHARS_MAX]
    ddl = command(f"outbox --ddl {dialect}")
    maker = maker or f"by a migration or with `{ddl}`"
    sentence = kind.value.format(name=name, table=TABLE, ddl=ddl, maker=maker, said=text)
    return (BusyError if kind is Kind.BUSY else OutboxError)(sentence)


def _kind_of(error: BaseException) -> Kind | None:
    codes = (getattr(error, "sqlstate", None), getattr(error, "pgcode", None), *error.args[:1])
    for code in codes:
        if isinstance(code, str | int) and (kind := _BY_CODE.get(code)) is not None:
            return kind
    if type(error).__module__ == "sqlite3":
        return next((kind for words, kind in _OF_SQLITE.items() if words in str(error)), None)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was made of, from the outermost in."""
    for _ in range(CAUSES_MAX):
        yield error
        cause = getattr(error, "orig", None) or error.__cause__
        if not isinstance(cause, BaseException):
            return
        error = cause
