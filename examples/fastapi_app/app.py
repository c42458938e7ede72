"""The shop: users have numbers and sign in with a session. Lines that end in ``# bridge`` are all that was added."""

from pathlib import Path
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from starlette.middleware.sessions import SessionMiddleware

from bridge import emit  # bridge
from bridge.contrib.fastapi import add_bridge  # bridge
from examples.fastapi_app.events import OrderPaid, registry  # bridge

USERS = {"ada": 1, "grace": 2}
"""Stands for a table of users with passwords."""
PAGE = Path(__file__).with_name("page.html")

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="change me: a secret of your own")  # noqa: S106


def current_user(request: Request) -> int:
    user = request.session.get("user_id")
    if user is None:
        raise HTTPException(401, "Sign in first.")
    return int(user)


add_bridge(app, current_user, registry=registry)  # bridge


@app.get("/")
def page() -> FileResponse:
    return FileResponse(PAGE)


@app.post("/login/{name}")
def sign_in(name: str, request: Request) -> dict[str, int]:
    if name not in USERS:
        raise HTTPException(404, "There is no such user.")
    request.session["user_id"] = USERS[name]
    return {"user_id": USERS[name]}


@app.post("/orders/{number}/pay")
def pay(number: str, user: Annotated[int, Depends(current_user)]) -> dict[str, str]:
    emit(OrderPaid(user_id=user, number=number))  # bridge
    return {"paid": number}


@app.post("/orders/{number}/pay-later")
def pay_later(number: str, user: Annotated[int, Depends(current_user)], later: BackgroundTasks) -> dict[str, str]:
    later.add_task(pay, number, user)
    return {"accepted": number}
