"""An OpenID provider for the bench: the code flow, with everybody logged in already, and ID tokens signed with HS256.

`python -m tests.bench.provider PORT`
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from urllib.parse import parse_qs, urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT = "bench"
CLIENT_SECRET = "a-secret-of-the-bench-and-of-nobody-else"
METADATA_PATH = "/.well-known/openid-configuration"
TOKEN_BYTES = 825
"""Of a token of 1,100 characters."""
_LIFETIME = 86_400


def provider(issuer: str) -> Starlette:
    """Return the provider; its codes are good for one use."""
    nonces: dict[str, str] = {}

    async def metadata(_request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["HS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def keys(_request: Request) -> JSONResponse:
        return JSONResponse({"keys": []})  # HS256 is checked with the client's secret

    async def authorize(request: Request) -> RedirectResponse:
        asked, code = request.query_params, secrets.token_urlsafe(16)
        nonces[code] = asked["nonce"]
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    async def token(request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        nonce = nonces.pop(form["code"][0], None)
        if nonce is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())  # noqa: TID251
        claims = {"iss": issuer, "sub": secrets.token_hex(8), "aud": CLIENT, "nonce": nonce}
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(TOKEN_BYTES),
                "token_type": "Bearer",
                "expires_in": _LIFETIME,
                "refresh_token": secrets.token_urlsafe(24),
                "id_token": signed(claims | {"iat": now, "exp": now + _LIFETIME}),
            }
        )

    return Starlette(
        routes=[
            Route(METADATA_PATH, metadata),
            Route("/keys", keys),
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
        ]
    )


def signed(claims: dict[str, object]) -> str:
    """Return claims as a JSON Web Token."""
    head = {"alg": "HS256", "typ": "JWT"}
    text = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    signature = hmac.digest(CLIENT_SECRET.encode(), text, hashlib.sha256)
    return (text + b"." + _encoded(signature)).decode()


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(provider(f"http://127.0.0.1:{port}"), port=port, access_log=False, log_level="error")
