"""Saying no before a stream begins: problem details (RFC 9457) with a sentence that helps."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from bridge.errors import BridgeError

MEDIA_TYPE = "application/problem+json"


class RequestRefusedError(BridgeError):
    """The request was refused.

    Attributes:
        status: HTTP status.
        detail: what is wrong, and what to do; one sentence or two.
        members: further members of the problem document.
        headers: further response headers.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        members: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})


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
    return RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)
