"""The sandbox knows what the proxy lets through: a storefront never meets a path that only the sandbox lacks."""

from importlib.resources import files
from typing import Any

import pytest
from starlette.routing import Match

from deploy.compare_routes import read_table

pytestmark = pytest.mark.anyio

TABLE = read_table(files("bff.api").joinpath("routes.toml").read_text("utf-8"))
CHATS = "/ai-service/"


def path_of(template: str) -> str:
    parts = ("acmeshop" if part == "{tenant}" else part.strip("{}") for part in template.split("/"))
    return "/".join(parts)


def served(shop: Any, method: str, path: str) -> bool:
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    return any(route.matches(scope)[0] is Match.FULL for route in shop.app.routes)


async def test_every_allowed_route_is_served(shop: Any) -> None:
    wanted = [
        (method, entry.template)
        for (method, _), entry in TABLE.items()
        if entry.section in {"allow", "drop-in"} or (CHATS in entry.template and entry.section == "opt-in")
    ]
    assert len(wanted) > 150
    assert [f"{method} {path}" for method, path in wanted if not served(shop, method, path_of(path))] == []


async def test_an_unknown_path_is_not(shop: Any) -> None:
    assert not served(shop, "GET", "/product/acmeshop/nothing/here/at/all")
    assert (await shop.request("GET", "/product/acmeshop/nothing")).status_code == 404
