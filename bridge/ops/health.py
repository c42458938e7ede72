"""``/health/live`` and ``/health/ready`` of the whole bridge: whether events flow, and if not, why."""

from http import HTTPStatus
from threading import Lock

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.model.errors import StoreError
from bridge.model.registry import Registry
from bridge.operations import Fault, StatusReader
from bridge.settings import OpsSettings
from bridge.wiring import open_store

LIVE_PATH = "/health/live"
READY_PATH = "/health/ready"


def health_routes(settings: OpsSettings, registry: Registry) -> list[Route]:
    """The routes, to be mounted by an application."""
    health = _Health(StatusReader(open_store(settings, briefly=True), settings, registry))
    return [
        Route(LIVE_PATH, health.live, methods=["GET"], name="live"),
        Route(READY_PATH, health.ready, methods=["GET"], name="ready"),
    ]


class _Health:
    """The endpoints. No coroutines: Starlette runs them on a thread, and Redis may let them wait."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader
        self._turn = Lock()

    def live(self, _request: Request) -> Response:
        """This process runs."""
        return JSONResponse({"status": "live"})

    def ready(self, _request: Request) -> Response:
        """Events flow: Redis and the broker answer, and workers consume every queue."""
        faults = self._faults()
        document = {
            "status": "not_ready" if faults else "ready",
            "faults": [{"subject": fault.subject, "sentence": fault.sentence} for fault in faults],
        }
        return JSONResponse(document, HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK)

    def _faults(self) -> tuple[Fault, ...]:
        try:
            with self._turn:
                return self._reader.read().faults
        except StoreError as error:
            return (Fault(subject="redis", sentence=str(error)),)
