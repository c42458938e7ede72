"""Saying no before a stream begins: problem details (RFC 9457), or a stream that ends and says when to come again."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from bridge.model.errors import BridgeError
from bridge.model.events import comment_frame, retry_frame

MEDIA_TYPE = "application/problem+json"
STREAM_TYPE = "text/event-stream"


class RequestRefusedError(BridgeError):
    """The request was refused.

    Attributes:
        status: HTTP status.
        detail: what is wrong, and what to do; one sentence or two.
        members: further members of the problem document.
        headers: further response headers.
        retry_after_s: it passes by itself; come again after so many seconds. None: it does not.
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
        self.status = status
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})
        self.retry_after_s = retry_after_s


def problem(refusal: RequestRefusedError) -> Response:
    """The response that tells a client of a refusal."""
    document = {
        "type": "about:blank",
        "title": refusal.status.phrase,
        "status": int(refusal.status),
        "detail": refusal.detail,
        **refusal.members,
    }
    headers = {"Cache-Control": "no-store", **refusal.headers}
    return Response(msgspec.json.encode(document), int(refusal.status), headers, MEDIA_TYPE)


def unavailable(detail: str, retry_after_s: float) -> RequestRefusedError:
    """A refusal that asks to come again later."""
    headers = {"Retry-After": str(max(1, round(retry_after_s)))}
    return RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers, retry_after_s=retry_after_s)


def passes(refusal: RequestRefusedError, accept: str) -> bool:
    """Whether a refusal passes by itself, and whoever asked is an EventSource, by its Accept header.

    That closes for good at any status but 200, and takes no notice of Retry-After.
    """
    return refusal.retry_after_s is not None and STREAM_TYPE in accept.lower()


def passing(refusal: RequestRefusedError, headers: Mapping[str, str]) -> Response:
    """A stream that ends at once, and says when to come again.

    Args:
        refusal: that passes.
        headers: of a stream.
    """
    delay_ms = max(1, round((refusal.retry_after_s or 0) * 1000))
    body = comment_frame(refusal.detail) + retry_frame(delay_ms)
    return Response(body.encode(), HTTPStatus.OK, headers)
