"""FastAPI and Starlette: one call adds the gateway; the application's own way of knowing its users is believed."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Mount, Route

import bridge
from bridge.contrib import fastapi as for_fastapi
from bridge.contrib import starlette as for_starlette
from bridge.gateway import Principal, create_app
from bridge.settings import Settings
from tests.support import identities
from tests.support.asgi_client import TestClient
from tests.support.identities import numbers

EVENTS = "/api/v1/events"


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url)


def status(app: Any, **headers: str) -> tuple[int, str]:
    """What a client that asks for the stream is told, without the stream itself."""
    with TestClient(app, headers=headers) as client:
        answer = client.head(EVENTS)
        return answer.status_code, client.get(EVENTS).text if answer.status_code != 200 else ""


class User:
    def __init__(self, number: Any, is_authenticated: bool = True) -> None:
        self.id = number
        self.is_authenticated = is_authenticated


ANSWERS: list[tuple[Any, int]] = [
    (7, 200), ("7", 200), (User(7), 200), (Principal(user=7), 200), (None, 401), (User(7, False), 401),
    (uuid4(), 500), ("seven", 500), (True, 500), ({"id": 7}, 500), (User(None), 500), (Principal(user="7"), 500),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
@pytest.mark.parametrize("kind", ["async", "sync", "object"])
def test_what_an_application_answers(
    answer: Any, expected: int, kind: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def later(request: Any) -> Any:
        return answer

    class Asked:
        async def __call__(self, request: Any) -> Any:
            return answer

    asked: dict[str, Callable[..., Any]] = {"async": later, "sync": lambda request: answer, "object": Asked()}
    app = Starlette()
    for_starlette.add_bridge(app, asked[kind], settings=settings, registry=numbers)
    assert status(app)[0] == expected
    if expected == 500:
        (said,) = {record.getMessage() for record in caplog.records if "authenticator_failed" in record.getMessage()}
        assert "whose user must be a whole number" in said


def session_app(settings: Settings, **options: Any) -> Starlette:
    def login(request: Any) -> JSONResponse:
        request.session["user_id"] = 7
        return JSONResponse({})

    app = Starlette(
        routes=[Route("/login", login, methods=["POST"])],
        middleware=[Middleware(SessionMiddleware, secret_key="secret")],
        **options,
    )
    for_starlette.add_bridge(app, lambda request: request.session.get("user_id"), settings=settings, registry=numbers)
    return app


def test_the_session_of_a_login_opens_the_stream(settings: Settings) -> None:
    with TestClient(session_app(settings)) as client:
        assert client.head(EVENTS).status_code == 401
        client.post("/login")
        assert client.head(EVENTS).status_code == 200
        assert client.post(EVENTS).status_code == 405


def test_the_application_keeps_its_lifespan_its_state_and_its_routes(settings: Settings) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
        steps.append("begins")
        yield {"number": 7}
        assert bridge.emit(identities.by_number["OrderPaid"](customer=7, number=1)), "what ends may still emit"
        steps.append("ends")

    async def who(request: Any) -> int:
        assert request.app is app
        return int(request.state.number)

    app = Starlette(routes=[Route("/{any:path}", lambda request: JSONResponse("own"))], lifespan=lifespan)
    for_starlette.add_bridge(app, who, settings=settings, registry=numbers)
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/other").json() == "own"
            assert client.head(EVENTS).status_code == 200
            assert bridge.emit(identities.by_number["OrderPaid"](customer=7, number=1))
    assert steps == ["begins", "ends"] * 2


def test_a_mounted_application_is_served_by_the_lifespan_of_the_one_that_runs(settings: Settings) -> None:
    mounted = Starlette()
    served = Starlette(routes=[Mount("/shop", mounted)])
    for_starlette.add_bridge(mounted, lambda request: 7, settings=settings, registry=numbers, lifespan_of=served)
    with TestClient(served) as client:
        assert client.head("/shop" + EVENTS).status_code == 200


@pytest.mark.parametrize("how", ["create_app", "add_bridge"])
def test_a_gateway_whose_lifespan_nobody_runs_says_so_in_one_sentence(how: str, settings: Settings) -> None:
    mounted: Starlette = Starlette()
    if how == "create_app":
        mounted = create_app(settings, numbers, authenticator=identities.of_numbers)
    else:
        for_starlette.add_bridge(mounted, lambda request: 7, settings=settings, registry=numbers)
    with TestClient(Starlette(routes=[Mount("/shop", mounted)])) as client:
        answer = client.get("/shop" + EVENTS, headers={"X-User": "7"})
    assert answer.status_code == 503
    assert "was not started" in answer.json()["detail"] and "lifespan_of=" in answer.json()["detail"]


def test_a_function_is_wanted(settings: Settings) -> None:
    with pytest.raises(bridge.SettingsError, match="function of the request"):
        for_starlette.add_bridge(Starlette(), None, settings=settings, registry=numbers)  # type: ignore[arg-type]


WRONG: dict[str, Callable[[Settings], object]] = {
    "application itself": lambda settings: for_starlette.add_bridge(
        APIRouter(),
        lambda request: 7,
        settings=settings,
        registry=numbers,  # type: ignore[arg-type]
    ),
    "to be a Registry": lambda settings: for_starlette.add_bridge(
        Starlette(),
        lambda request: 7,
        settings=settings,
        registry="shop:registry",  # type: ignore[arg-type]
    ),
    "dependency itself": lambda settings: for_fastapi.add_bridge(
        FastAPI(), Depends(lambda: 7), settings=settings, registry=numbers
    ),
    f"has a route {EVENTS}": lambda settings: for_fastapi.add_bridge(
        FastAPI(routes=[Route(EVENTS, lambda request: JSONResponse({}))]),
        lambda: 7,
        settings=settings,
        registry=numbers,
    ),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_cannot_be_added_is_told_in_a_sentence(sentence: str, settings: Settings) -> None:
    with pytest.raises(bridge.SettingsError, match=sentence):
        WRONG[sentence](settings)


def test_a_gateway_is_added_once(settings: Settings) -> None:
    app = FastAPI()
    for_fastapi.add_bridge(app, lambda: 7, settings=settings, registry=numbers)
    with pytest.raises(bridge.SettingsError, match="an add_bridge before"):
        for_fastapi.add_bridge(app, lambda: 7, settings=settings, registry=numbers)


def test_nobody_is_asked_while_the_application_is_not_started(settings: Settings) -> None:
    mounted = FastAPI()
    for_fastapi.add_bridge(mounted, lambda request: request.app.state.database, settings=settings, registry=numbers)
    with TestClient(Starlette(routes=[Mount("/shop", mounted)])) as client:
        assert "was not started" in client.get("/shop" + EVENTS).json()["detail"]


# FastAPI's dependencies


def test_what_is_asked_of_every_route_is_asked_of_the_stream(settings: Settings) -> None:
    def closed(x_key: Annotated[str, Header()] = "") -> None:
        if x_key != "open":
            raise HTTPException(403, "The shop is closed.")

    app = FastAPI(dependencies=[Depends(closed)])
    for_fastapi.add_bridge(app, lambda: 7, settings=settings, registry=numbers)
    refused, said = status(app)
    assert refused == 403 and "The shop is closed." in said
    assert status(app, **{"X-Key": "open"})[0] == 200


class Sessions:
    """What a dependency opens, as a database's."""

    def __init__(self) -> None:
        self.open = 0

    def __call__(self) -> Iterator["Sessions"]:
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1


class NotSignedInError(Exception):
    """Of the application."""


def dependent(settings: Settings, sessions: Sessions) -> tuple[FastAPI, Any]:
    async def current_user(
        request: Request, opened: Annotated[Sessions, Depends(sessions)], x_user: Annotated[str | None, Header()] = None
    ) -> User:
        assert request.app is app and opened.open == 1
        match x_user:
            case None:
                raise HTTPException(401, "Sign in first, please.")
            case "banned":
                raise HTTPException(403, "You are banned.")
            case "elsewhere":
                raise HTTPException(303, headers={"Location": "/login"})
            case "own":
                raise NotSignedInError
            case "broken":
                raise LookupError("a secret")
        return User(x_user)

    app = FastAPI()

    @app.exception_handler(NotSignedInError)
    async def redirect(request: Request, error: Exception) -> RedirectResponse:
        return RedirectResponse("/login")

    for_fastapi.add_bridge(app, current_user, settings=settings, registry=numbers)
    return app, current_user


@pytest.mark.parametrize(
    ("user", "expected", "detail"),
    [
        ("7", 200, ""), (None, 401, "Sign in first, please."), ("banned", 403, "You are banned."),
        ("elsewhere", 401, "sign in"), ("own", 401, "sign in"), ("broken", 503, "cannot be found out"),
        ("seven", 500, "its log says which"),
    ],
)  # fmt: skip
def test_a_dependency_says_who_is_asking(user: str | None, expected: int, detail: str, settings: Settings) -> None:
    sessions = Sessions()
    app, _ = dependent(settings, sessions)
    found, text = status(app, **({"X-User": user} if user else {}))
    assert (found, sessions.open) == (expected, 0)
    assert detail in text and "secret" not in text


def test_what_a_dependency_opened_is_closed_before_the_stream_begins_and_tests_may_replace_it(
    settings: Settings,
) -> None:
    sessions = Sessions()
    app, current_user = dependent(settings, sessions)
    app.dependency_overrides = {current_user: lambda: 8}
    assert status(app)[0] == 200
    app.dependency_overrides = {}
    assert status(app)[0] == 401


def test_an_events_class_without_a_user_is_a_sentence() -> None:
    class Anonymous(bridge.Event):
        number: str

    with pytest.raises(bridge.RegistryError, match="Anonymous has no field 'user_id'"):
        bridge.catalog_of({"order.paid": Anonymous}, user_id=int)


def test_a_catalog_in_one_line_is_a_registry_like_any_other() -> None:
    class OrderPaid(bridge.Event):
        user_id: UUID | None
        number: str
        total: int = 0

    registry = bridge.catalog_of({"order.paid": OrderPaid})
    (meta,), (mapping,) = registry.events, registry.mappings
    paid = OrderPaid(user_id=uuid4(), number="A-1")
    assert (meta.event_type.value, meta.category.value, meta.payload_fields) == (
        "order.paid",
        "order",
        ["number", "total"],
    )
    assert mapping.payload_extractor(paid) == {"number": "A-1", "total": 0}
    assert mapping.user_id_extractor(paid) == paid.user_id
