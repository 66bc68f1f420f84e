"""Whatever the upstream answers to a token call: an answer of the contract, nothing of it outside, and it heals."""

import base64
import json
import time
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.ground import BROKEN_UPSTREAM, CANARY, WHO, Ground
from tests.fuzz.profiles import fuzzed
from tests.fuzz.test_bodies import JSON, JSON_TYPE
from tests.integration.wire import CART_ECHO, PRODUCT_ECHO
from tests.live import ADA, TENANT

PUBLIC: Final = f"/api/site/{TENANT}/sites"
_LOGIN: Final = ("POST", "/auth/login", ADA)
_SSO: Final = ("POST", "/auth/sso/sandbox/code", {"code": "c", "redirectUri": "shop://x"})
_SIGN_UP: Final = ("POST", "/auth/signup", {"email": "lin@example.com", "password": "tall-green-kettle"})
# Each token call, and a request that needs it.
CALLS: Final[dict[str, tuple[str, str, tuple[str, str, Any]]]] = {
    "anonymous login": ("nobody", "GET /customerlogin/auth/anonymous/login", ("POST", "/auth/anonymous", {})),
    "a guest by the way": (
        "nobody", "GET /customerlogin/auth/anonymous/login", ("GET", f"/api/cart/{TENANT}/carts?siteCode=main", None),
    ),
    "the proxy's own": ("nobody", "GET /customerlogin/", ("GET", PUBLIC, None)),
    "anonymous refresh": ("guest", "GET /customerlogin/auth/anonymous/refresh", ("POST", "/auth/refresh", {})),
    "login": ("guest", f"POST /customer/{TENANT}/login", _LOGIN),
    "customer refresh": ("customer", f"GET /customer/{TENANT}/refreshauthtoken", ("POST", "/auth/refresh", {})),
    "switch": (
        "customer", f"GET /customer/{TENANT}/refreshauthtoken",
        ("PUT", "/auth/legal-entity", {"legalEntityId": "LE-100"}),
    ),
    "validation": ("customer", f"GET /customer/{TENANT}/validateauthtoken", ("GET", "/auth/validate", None)),
    "sign-up": ("guest", f"POST /customer/{TENANT}/signup", _SIGN_UP),
    "social login": ("guest", f"* /customer/{TENANT}/socialLogin", _SSO),
    "exchange": ("guest", f"* /customer/{TENANT}/exchangeauthtoken", ("POST", "/auth/exchange", {"token": "t"})),
    "opt-in": ("guest", f"* /customer/{TENANT}/signup/", ("POST", "/auth/opt-in", {"token": "t" * 64})),
    "cart merge": ("guest", "* /cart/", _LOGIN),
    "logout": ("customer", f"GET /customer/{TENANT}/logout", ("POST", "/auth/logout", None)),
}  # fmt: skip
SECRET: Final = f"t0k3n{CANARY}"
_FOR_LONG: Final = "9" * 30
_RETRY_AFTER: Final = 5  # the longest one that is drawn, but for that
_LONGEST_PAUSE: Final = 60.0
_RIGHT: Final = {
    "access_token": f"{SECRET}a", "accessToken": f"{SECRET}a", "token_type": "Bearer",
    "expires_in": 3599, "expiresIn": 3599, "refresh_token": f"{SECRET}r", "refreshToken": f"{SECRET}r",
    "refresh_token_expires_in": 86399, "refreshTokenExpiresIn": 86399, "saas_token": f"{SECRET}.e30.s",
    "session_id": f"{SECRET}s", "sessionId": f"{SECRET}s", "scope": "x", "email": ADA["email"],
    "initialPassword": "false", "legalEntityId": "LE-100", "id": "10000003",
}  # fmt: skip
_SECRETS: Final = sorted(name for name, value in _RIGHT.items() if SECRET in str(value))
_JWTS: Final = tuple(
    f"{SECRET}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.s"
    for claims in (
        b'{"exp":0}',
        b'{"exp":-1e999}',
        b'{"exp":"x"}',
        b'{"exp":[]}',
        b"[]",
        b"\xff",
        b'{"exp":' + b"9" * 5000 + b"}",
    )
)
_ODD_NUMBERS: Final = (
    "3599",
    "-1",
    "1e9",
    "0x10",
    "",
    " 5 ",
    "NaN",
    "Infinity",
    "٣",
    0,
    -1,
    1,
    10**30,
    10**400,
    1e308,
    True,
)
_LIFETIMES = st.integers() | st.floats() | st.sampled_from(_ODD_NUMBERS) | st.text(max_size=8)
_ODD_SECRETS = st.sampled_from(
    (f"{SECRET}\r\nX: y", f"{SECRET} é", SECRET * 400, f"{SECRET}/../x", f"{SECRET}&a=b#c", f" {SECRET}")
)
_LIFETIME_CHANGES = st.dictionaries(
    st.sampled_from(("expires_in", "expiresIn", "refresh_token_expires_in", "refreshTokenExpiresIn")),
    st.sampled_from(_ODD_NUMBERS) | _LIFETIMES,
    max_size=2,
)
_CHANGES = st.dictionaries(st.sampled_from(sorted(_RIGHT)), _LIFETIMES | JSON, max_size=3)
_SECRET_CHANGES = st.dictionaries(
    st.sampled_from(_SECRETS), _ODD_SECRETS, max_size=3
) | st.fixed_dictionaries({"saas_token": st.sampled_from(_JWTS)})
_MISSING = st.sets(st.sampled_from(sorted(_RIGHT)), max_size=4)
_STATUSES = st.sampled_from(
    (200, 201, 202, 203, 204, 206, 226, 299, 300, 302, 304, 307, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 414,
     415, 418, 421, 422, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 520, 529, 599)
)  # fmt: skip
_FIELDS = st.dictionaries(
    st.sampled_from(
        (
            "Retry-After",
            "Content-Type",
            "Set-Cookie",
            "Location",
            "Cache-Control",
            "Content-Encoding",
            "X-Session-Id",
        )
    ),
    st.sampled_from(
        (
            "0",
            "5",
            "-1",
            _FOR_LONG,
            "soon",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "1.5",
            "",
            "gzip",
            "text/html",
            SECRET,
        )
    ),
    max_size=3,
)
_BODIES = (
    st.text(max_size=60)
    | JSON.map(json.dumps)
    | st.sampled_from(
        (
            "",
            "null",
            "[]",
            "[" * 5000,
            '{"a":' * 5000,
            '{"access_token":',
            f'{{"access_token":"{SECRET}"}}',
            "\ufeff{}",
            "9" * 5000,
        )
    )
)


def arm(ground: Ground, fault: dict[str, Any]) -> None:
    """Let the upstream answer so, and no longer as the example before wanted it, which may have failed."""
    ground.sandbox.control("DELETE", "/faults")
    ground.sandbox.control("POST", "/faults", fault)


def ask(ground: Ground, call: str, fault: dict[str, Any]) -> None:
    """Make the request of this call while its upstream answers so, and look afterwards whether all is well."""
    who, match, (method, path, body) = CALLS[call]
    fields = ground.fresh(who)
    if path == PUBLIC:
        ground.sandbox.control("POST", "/revoke", {})  # or the proxy's own token, good for an hour, answers
        fault = fault | {"headers": _with_a_short_pause(fault.get("headers", {}))}
    arm(ground, {"match": match, "kind": "error", **fault})
    sent = b"" if body is None else json.dumps(body).encode()
    answer = ground.ask(
        method, path, *fields, *([JSON_TYPE] if sent else []), body=sent, may_break=BROKEN_UPSTREAM
    )
    assert SECRET not in repr(answer), answer
    ground.sandbox.control("DELETE", "/faults")
    later = [f"Cookie: {value.partition(';')[0]}" for value in answer.all("set-cookie")] or fields
    look = ground.ask("GET", "/auth/session", *later)
    assert look.status in {200, 401}, look
    ground.ask("GET", f"/api{CART_ECHO}", *later, may_break=BROKEN_UPSTREAM)  # with the token that was issued
    heals(ground)


def _with_a_short_pause(fields: dict[str, str]) -> dict[str, str]:
    """Leave out the `Retry-After` that would keep public reads from working for an hour, which is right."""
    return {name: value for name, value in fields.items() if (name, value) != ("Retry-After", _FOR_LONG)}


def heals(ground: Ground) -> None:
    """Assert that public reads work again, once a pause that the proxy makes after its own token failed is over."""
    until = time.monotonic() + _LONGEST_PAUSE
    while (public := ground.ask("GET", PUBLIC, may_break=frozenset({503}))).status == 503:
        assert time.monotonic() < until, public
        assert 0 < int(public.all("retry-after")[0]) <= _RETRY_AFTER, public
        time.sleep(0.1)
    assert public.status == 200, public


@fuzzed(150)
@given(
    call=st.sampled_from(sorted(CALLS)),
    changes=_CHANGES,
    lifetimes=_LIFETIME_CHANGES,
    secrets=_SECRET_CHANGES,
    missing=_MISSING,
)
def test_a_token_answer_with_odd_members_is_at_most_a_broken_upstream(
    ground: Ground,
    call: str,
    changes: dict[str, Any],
    lifetimes: dict[str, Any],
    secrets: dict[str, str],
    missing: set[str],
) -> None:
    whole = _RIGHT | changes | lifetimes | secrets
    answer = {name: value for name, value in whole.items() if name not in missing}
    ask(ground, call, {"status": 200, "body": json.dumps(answer)})


@fuzzed(100)
@given(call=st.sampled_from(sorted(CALLS)), status=_STATUSES, fields=_FIELDS, body=_BODIES)
def test_any_answer_to_a_token_call_is_at_most_a_broken_upstream(
    ground: Ground, call: str, status: int, fields: dict[str, str], body: str
) -> None:
    ask(ground, call, {"status": status, "headers": fields, "body": body})


@fuzzed(40)
@given(
    call=st.sampled_from(sorted(CALLS)),
    kind=st.sampled_from(("disconnect", "lost", "empty", "garbage", "html")),
)
def test_a_token_call_that_comes_to_nothing_is_at_most_a_broken_upstream(
    ground: Ground, call: str, kind: str
) -> None:
    ask(ground, call, {"kind": kind})


@fuzzed(100)
@given(who=st.sampled_from(WHO), status=_STATUSES, fields=_FIELDS, body=_BODIES)
def test_any_answer_to_a_proxied_call_passes_or_is_a_broken_upstream(
    ground: Ground, who: str, status: int, fields: dict[str, str], body: str
) -> None:
    fault = {"match": "GET /product/", "kind": "error", "status": status, "headers": fields, "body": body}
    arm(ground, fault)
    answer = ground.ask(
        "GET", f"/api{PRODUCT_ECHO}", *ground.visitor(who), may_break=frozenset(range(500, 600))
    )
    ground.sandbox.control("DELETE", "/faults")
    # A 401 asks for a renewal; what is no answer at all is a broken upstream.
    assert answer.status in {status, 401} | BROKEN_UPSTREAM, answer
    assert not answer.all("set-cookie") or SECRET not in str(answer.all("set-cookie"))


def test_a_customers_sign_up_outlives_the_end_of_the_proxys_own_token(ground: Ground) -> None:
    fields = ground.fresh("customer")
    ground.ask("GET", PUBLIC)
    ground.sandbox.control("POST", "/revoke", {})
    body = json.dumps(_SIGN_UP[2]).encode()
    answer = ground.ask(*_SIGN_UP[:2], *fields, JSON_TYPE, body=body, may_break=BROKEN_UPSTREAM)
    assert answer.status == 201, answer
