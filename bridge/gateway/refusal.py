"""Saying no before a stream begins: problem details (RFC 9457), or a stream that ends and says when to come again."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from bridge.model.errors import BridgeError
from bridge.model.events import comment_frame, retry_frame

if TYPE_CHECKING:
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
STREAM_TYPE = "text/event-stream"
_HEADER_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class RequestRefusedError(BridgeError):
    """The request was refused.

    Attributes:
        status: what HTTP calls it, ``HTTPStatus.FORBIDDEN`` or 403; 300 or more, and not 304.
        detail: what is wrong, and what to do; one sentence or two.
        members: further members of the problem document.
        headers: further headers of the answer.
        retry_after_s: it passes by itself; come again after so many seconds. None: it does not.

    Raises:
        ValueError: HTTP has no such status.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        members: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)  # whoever writes 403 means it
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})
        self.retry_after_s = retry_after_s


def problem(refusal: RequestRefusedError) -> "Response":
    """The response that tells a client of a refusal."""
    from starlette.responses import Response  # `sse-bridge tail` offers the filters of a request also without the extra

    document = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": int(refusal.status),
        "detail": refusal.detail,
        **refusal.members,
    }
    headers = {"Cache-Control": "no-store", **refusal.headers}
    return Response(msgspec.json.encode(document), int(refusal.status), headers, MEDIA_TYPE)


def refusal_fault(refusal: RequestRefusedError) -> str:
    """What keeps a refusal that an application made from being sent as one; empty if nothing does."""
    if refusal.status < HTTPStatus.MULTIPLE_CHOICES or refusal.status is HTTPStatus.NOT_MODIFIED:
        return f"its status {int(refusal.status)} refuses nothing"
    if not isinstance(refusal.detail, str):
        return f"its detail is a {type(refusal.detail).__name__}, not a text"
    try:
        headers = problem(refusal).raw_headers
        passing(refusal, {})
    except Exception as error:  # whatever stands in it
        return f"writing it raised {type(error).__name__}"
    fit = all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) for name, value in headers)
    return "" if fit else "a header of it is none"


def unavailable(detail: str, retry_after_s: float) -> RequestRefusedError:
    """A refusal that asks to come again later."""
    headers = {"Retry-After": str(max(1, round(retry_after_s)))}
    return RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers, retry_after_s=retry_after_s)


def passes(refusal: RequestRefusedError, accept: str) -> bool:
    """Whether a refusal passes by itself, and the client is an EventSource, by its Accept header.

    That closes for good at any status but 200, and takes no notice of Retry-After.
    """
    return refusal.retry_after_s is not None and STREAM_TYPE in accept.lower()


def passing(refusal: RequestRefusedError, headers: Mapping[str, str]) -> "Response":
    """A stream that ends at once, and says when to come again."""
    from starlette.responses import Response

    delay_ms = max(1, round((refusal.retry_after_s or 0) * 1000))
    body = comment_frame(refusal.detail) + retry_frame(delay_ms)
    return Response(body.encode(), HTTPStatus.OK, headers)
