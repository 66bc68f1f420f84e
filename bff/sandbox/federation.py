"""Single sign-on (SSO): a small identity provider, and the two endpoints that accept its codes and tokens."""

from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bff.sandbox import answers, auth, issuer, tokens
from bff.sandbox.records import Customer, LoginCode
from bff.sandbox.routing import Call, Entry
from bff.sandbox.world import World

ISSUER: Final = "https://idp.sandbox.invalid"
CONFIGS: Final = frozenset({"default", "site_DE", "site_PL", "main", "us"})
_CODE_SECONDS: Final = 300
_PASSED_PARAMETERS: Final = (
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
)
_LOGIN_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Sign in</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #eef1ec; color: #22302b; display: grid;
  place-items: center; min-height: 100vh; margin: 0 }}
form {{ background: #fff; padding: 2rem; border-radius: 14px; width: min(22rem, 80vw);
  box-shadow: 0 12px 40px #22302b22 }}
input {{ font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; margin: .3rem 0 1rem;
  border: 1px solid #aab8b0; border-radius: 8px }}
button {{ font: inherit; padding: .55rem 1.1rem; border: 0; border-radius: 8px;
  background: #2f6f5e; color: #fff }}
button[value=cancel] {{ background: none; color: #2f6f5e }}
</style>
<form method="post" action="/idp/authorize"><h1>Sandbox sign-in</h1>
<p>This identity provider believes whatever you say.</p>
{hidden}<label>E-mail <input type="email" name="email" value="ada@example.com"></label>
<button name="action" value="continue">Continue</button> <button name="action" value="cancel">Cancel</button>
</form></html>"""


def login_form(call: Call) -> Response:
    """Return the provider's login form (RFC 6749 section 4.1.1)."""
    _check_redirect_uri(call.query.get("redirect_uri", ""))
    if call.query.get("response_type", "code") != "code":
        raise answers.bad_request("Only response_type=code is supported.")
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(call.query[name])}">'
        for name in _PASSED_PARAMETERS
        if name in call.query
    )
    return HTMLResponse(_LOGIN_PAGE.format(hidden=hidden), headers={"Cache-Control": "no-store"})


def submit_login_form(call: Call) -> Response:
    """Redirect the browser back with a one-time code, or with access_denied if the form was cancelled."""
    form = dict(parse_qsl(call.raw.decode("utf-8", "replace")))
    target = _check_redirect_uri(form.get("redirect_uri", ""))
    state = {"state": form["state"]} if "state" in form else {}
    if form.get("action") == "cancel" or "@" not in form.get("email", ""):
        return _redirect(target, {"error": "access_denied", **state})
    code, ends = tokens.opaque(40), call.world.now() + _CODE_SECONDS
    call.world.codes[code] = LoginCode(form["email"], target, form.get("code_challenge"), ends)
    return _redirect(target, {"code": code, **state})


def idp_token(call: Call) -> Response:
    """Issue a provider token for tests of the token exchange; takes `email` and optionally `expiresIn`."""
    text = call.raw.decode("utf-8", "replace")
    body = call.fields() if text.lstrip().startswith("{") else dict(parse_qsl(text))
    email, wanted = str(body.get("email", "")), str(body.get("expiresIn", 3600))
    if "@" not in email or not wanted.lstrip("-").isdigit():
        raise answers.bad_request("email is missing, or expiresIn is not a number.")
    life = int(wanted)
    token = _issue_token(call.world, email, life)
    return JSONResponse(
        {"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": life}
    )


def social_login(call: Call) -> Response:
    """Log in with a provider's code. As documented, numbers are strings and there is no session id.

    With the header `session-id` the customer gets the guest's session, otherwise a new one.
    """
    world, knobs = call.world, call.world.knobs
    email = _redeem_code(call)
    session = call.session
    if call.headers.get("session-id") != session.id:
        session = issuer.create_session(world, dict(session.seeds))
    life, refresh_life = knobs.social_expires_in, knobs.social_refresh_expires_in
    issued = issuer.issue_customer(world, session, _customer(world, email), life, refresh_life)
    response = _token_response(world, issued) | {
        "social_access_token": _issue_token(world, email, 3600),
        "social_id_token": _issue_token(world, email, 3600),
        "session_idle_time": 3600,
    }
    texts = {name: str(response[name]) for name in ("expires_in", "refresh_token_expires_in")}
    return JSONResponse(response | texts)


def exchange(call: Call) -> Response:
    """Exchange a provider's token; all parameters are in the query, and the response has `session_id`."""
    world, knobs, subject = call.world, call.world.knobs, call.query.get("subjectAccessToken", "")
    if not subject:
        raise answers.bad_request("subjectAccessToken is missing.", subjectAccessToken="must not be empty")
    if call.query.get("config", "default") not in CONFIGS:
        raise answers.bad_request("The configuration is not known.", config="not found")
    claims = tokens.read_jwt(subject, world.idp_key)
    if claims is None or claims["exp"] <= world.now():
        raise answers.invalid_token()
    customer = _customer(world, str(claims["email"]))
    life, refresh_life = knobs.exchange_expires_in, knobs.exchange_refresh_expires_in
    issued = issuer.issue_customer(world, call.session, customer, life, refresh_life)
    more = {"subject_access_token": subject, "session_idle_time": 120, "session_id": issued.session.id}
    return JSONResponse(_token_response(world, issued) | more)


def _token_response(world: World, issued: issuer.IssuedTokens) -> dict[str, Any]:
    return {
        "access_token": issued.access.value,
        "saas_token": issued.saas.value if issued.saas else None,
        "refresh_token": issued.refresh.value,
        "refresh_token_expires_in": auth.remaining(world, issued.refresh.expires_at),
        "token_type": "Bearer",
        "expires_in": auth.remaining(world, issued.access.expires_at),
        "scope": f"{auth.scope_of(world)} ai.agentexecution_manage_own",
    }


def _redeem_code(call: Call) -> str:
    code, uri = call.query.get("code"), call.query.get("redirect_uri")
    if not code or not uri:
        raise answers.bad_request("code and redirect_uri are required.")
    login_code = call.world.codes.pop(code, None)
    if login_code is None or login_code.expires_at <= call.world.now() or login_code.redirect_uri != uri:
        raise answers.bad_request("The authorization code is not valid.", code="unknown, used or expired")
    if (
        login_code.challenge
        and tokens.challenge_of(call.query.get("code_verifier", "")) != login_code.challenge
    ):
        raise answers.bad_request("The code verifier does not match.", code_verifier="does not match")
    return login_code.email


def _customer(world: World, email: str) -> Customer:
    """Find or create the customer; without autoprovisioning an unknown one gets a 404 (token exchange guide)."""
    customer = world.customer_by_email(email)
    if customer is not None:
        return customer
    if not world.knobs.autoprovision:
        raise answers.customer(404, "resource_not_found", "The customer is not known.")
    return world.add_customer(email, tokens.opaque(32))


def _issue_token(world: World, email: str, life: int) -> str:
    now = int(world.now())
    claims = {"iss": ISSUER, "sub": email, "email": email, "aud": world.knobs.client_id}
    times = {"iat": now, "exp": now + life, "jti": tokens.object_id()}
    token = tokens.sign_jwt(claims | times, world.idp_key)
    world.issued.add(token)
    return token


def _check_redirect_uri(uri: str) -> str:
    if urlsplit(uri).scheme not in {"http", "https"} or not urlsplit(uri).netloc:
        raise answers.bad_request("redirect_uri must be an http or https URL.")
    return uri


def _redirect(target: str, params: dict[str, str]) -> Response:
    parts = urlsplit(target)
    query = "&".join(part for part in (parts.query, urlencode(params)) if part)
    return RedirectResponse(urlunsplit(parts._replace(query=query, fragment="")), 302)


ROUTES: Final = (
    Entry("GET", "/idp/authorize", "none", login_form),
    Entry("POST", "/idp/authorize", "none", submit_login_form),
    Entry("POST", "/idp/token", "none", idp_token),
    Entry("POST", "/customer/{tenant}/socialLogin", "anonymous", social_login),
    Entry("POST", "/customer/{tenant}/exchangeauthtoken", "anonymous", exchange),
)
