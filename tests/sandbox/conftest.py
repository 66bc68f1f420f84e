"""An in-process sandbox with a clock that tests can set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from bff.sandbox.app import create_sandbox
from bff.sandbox.state import DEMO_EMAIL, DEMO_PASSWORD, Knobs
from bff.sandbox.world import World

ORIGIN = "http://sandbox.test"
CLIENT = {"tenant": "acmeshop", "client_id": "storefront"}


class Clock:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Shop:
    """A client of a sandbox, with the requests that most tests start with."""

    client: httpx2.AsyncClient
    world: World
    clock: Clock
    logged: list[dict[str, Any]]
    app: Starlette

    async def request(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx2.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.request(method, path, headers=headers, **more)

    async def guest(self, **seeds: str) -> dict[str, Any]:
        response = await self.request(
            "GET", "/customerlogin/auth/anonymous/login", params={**CLIENT, **seeds}
        )
        assert response.status_code == 200
        return dict(response.json())

    async def customer(self, email: str = DEMO_EMAIL, password: str = DEMO_PASSWORD) -> dict[str, Any]:
        guest = await self.guest()
        body = {"email": email, "password": password}
        response = await self.request("POST", "/customer/acmeshop/login", guest["access_token"], json=body)
        assert response.status_code == 200, response.text
        return {**response.json(), "guest": guest}

    async def refresh(self, value: str, bearer: str, **more: str) -> httpx2.Response:
        params = {"refreshToken": value, **more}
        return await self.request("GET", "/customer/acmeshop/refreshauthtoken", bearer, params=params)

    def set_knobs(self, **knobs: Any) -> None:
        self.world.knobs = self.world.knobs.changed(knobs)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop(Knobs()) as one:
        yield one


@asynccontextmanager
async def open_shop(knobs: Knobs, *, control: bool = True) -> AsyncIterator[Shop]:
    clock, logged = Clock(), list[dict[str, Any]]()
    app = create_sandbox(knobs, control=control, clock=clock, log=logged.append)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield Shop(client, app.state.world, clock, logged, app)
