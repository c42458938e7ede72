"""What a page is asked: by which client, from where, with which fields."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.responses import Response

from bridge.ops.sessions import Role, Session

if TYPE_CHECKING:
    from bridge.ops.page_context import PageContext


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """One request for a page, after every check."""

    session: Session  # the operator's session
    base: str  # what stands before every path; empty unless the application is mounted
    form_token: str  # to be put into every form
    path: dict[str, str]  # what the path names, such as ``letter_id``
    query: QueryParams  # behind the question mark
    form: QueryParams  # fields of a POST; empty otherwise
    payloads: bool  # whether the contents of events may be shown to them

    @property
    def may_act(self) -> bool:
        """Whether they may do more than look."""
        return self.session.role is Role.OPERATOR


Handler = Callable[["PageContext", PageRequest], Response]
"""Makes a page, or acts and says where to go on. Runs on a thread: Redis may let it wait."""


@dataclass(frozen=True, slots=True)
class Page:
    """A row of the table of pages."""

    method: str  # GET shows, POST acts
    path: str  # below the application
    handler: Handler  # makes the answer
    role: Role = Role.VIEWER  # the least role that may
