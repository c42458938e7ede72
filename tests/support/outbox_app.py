"""A WSGI application that commits an event at each request, and one when it is loaded, before its server forks."""

import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bridge.contrib.sqlalchemy import drain, emit
from tests.support.outbox import imported

engine = create_engine(os.environ["OUTBOX_DATABASE"])
drain(engine)
_count = itertools.count()


def commit() -> None:
    with Session(engine) as session:
        assert emit(imported(os.getpid() * 10_000 + next(_count)), session=session)
        session.commit()


commit()
engine.dispose()  # as SQLAlchemy asks of whoever forks


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    commit()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
