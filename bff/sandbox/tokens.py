"""Creates values in the documented formats: opaque access and refresh tokens, HS256 saas tokens, UUID session ids."""

import base64
import hashlib
import hmac
import json
import secrets
import string
import uuid
from typing import Any, Final

_ALNUM: Final = string.ascii_letters + string.digits


def opaque(length: int) -> str:
    """Return random letters and digits: 28 for an access token, 32 for a refresh token, 64 for an e-mail token."""
    return "".join(secrets.choice(_ALNUM) for _ in range(length))


def object_id() -> str:
    """Return 24 hexadecimal digits, the format of cart and address ids."""
    return secrets.token_hex(12)


def session_id() -> str:
    return str(uuid.uuid4())


def challenge_of(verifier: str) -> str:
    """Return the S256 code challenge (RFC 7636 section 4.2)."""
    return _b64(hashlib.sha256(verifier.encode()).digest())


def sign_jwt(claims: dict[str, Any], key: bytes) -> str:
    head = _b64(b'{"alg":"HS256","typ":"JWT"}')
    body = _b64(json.dumps(claims, separators=(",", ":")).encode())
    return f"{head}.{body}.{_b64(_mac(f'{head}.{body}', key))}"


def read_jwt(value: str, key: bytes) -> dict[str, Any] | None:
    """Return the claims of a JWT if it was signed with `key`, otherwise None; the expiry is not checked."""
    signed, _, signature = value.rpartition(".")
    if not hmac.compare_digest(_b64(_mac(signed, key)).encode(), signature.encode()):
        return None
    body = signed.partition(".")[2]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims if isinstance(claims, dict) else None


def _mac(signed: str, key: bytes) -> bytes:
    return hmac.new(key, signed.encode(), hashlib.sha256).digest()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
