"""The demo storefront: one page with plain JavaScript modules, and the data for its Redis panel.

It is served on the public origin of the proxy and uses only `/auth` and `/api`, like any storefront.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.errors import StoreUnavailable
from bff.sandbox.catalogue import PRODUCTS
from bff.sandbox.pictures import picture

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PLAIN_ERRORS: Final = {404: "There is no such page.", 503: "Redis does not respond."}

# No inline scripts or styles, no HTML from strings (Trusted Types), no form submission by the browser.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class PageHeaders:
    """Adds the security headers of the page to every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def create_storefront(
    *,
    tenant: str,
    site: str,
    demo_email: str,
    demo_password: str,
    list_records: Callable[[], Awaitable[list[dict[str, Any]]]],
    sso: Sequence[str] = (),
) -> Starlette:
    """Return the storefront as an ASGI application that is served beside the proxy.

    Args:
        tenant: the tenant in the paths that the page requests.
        site: the site code of its carts.
        demo_email: the e-mail address that the login form offers to fill in.
        demo_password: the password that the login form offers to fill in.
        list_records: returns `key`, `type`, `ttlSeconds`, `bytes` and `preview` of each record in Redis.
        sso: the names of the identity providers that the login form offers.
    """
    assets = _read_assets()
    demo = {"email": demo_email, "password": demo_password}

    async def index(request: Request) -> Response:
        return _file(request, "index.html", assets["index.html"])

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in assets or name == "index.html":
            raise HTTPException(404)
        return _file(request, name, assets[name])

    async def config(_: Request) -> Response:
        return JSONResponse({"tenant": tenant, "site": site, "demo": demo, "sso": list(sso)})

    async def redis(_: Request) -> Response:
        try:
            rows = await list_records()
        except (StoreUnavailable, OSError):
            raise HTTPException(503) from None
        return JSONResponse(rows, headers={"Cache-Control": "no-store"})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/assets/{name}", asset),
            Route("/pictures/{product_id}.svg", _product_picture),
            Route("/demo/config.json", config),
            Route("/demo/redis", redis),
        ],
        middleware=[Middleware(PageHeaders)],
        exception_handlers={HTTPException: _plain_error},
    )


def _read_assets() -> dict[str, bytes]:
    folder = files("bff.sandbox") / "web"
    return {
        entry.name: entry.read_bytes() for entry in folder.iterdir() if _suffix(entry.name) in MEDIA_TYPES
    }


def _file(request: Request, name: str, content: bytes) -> Response:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(content, headers={"ETag": etag}, media_type=MEDIA_TYPES[_suffix(name)])


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


async def _product_picture(request: Request) -> Response:
    product_id = request.path_params["product_id"]
    if product_id not in PRODUCTS:
        raise HTTPException(404)
    return Response(picture(product_id), media_type=MEDIA_TYPES[".svg"])


async def _plain_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return PlainTextResponse(PLAIN_ERRORS.get(status, "That does not work here.") + "\n", status, headers)
