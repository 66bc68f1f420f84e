"""Customer accounts: sign-up, activation by e-mail, passwords."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, auth, tokens
from bff.sandbox.records import Customer, MailToken
from bff.sandbox.routing import Call, Entry, mapping
from bff.sandbox.world import World

_MAIL_TOKEN_SECONDS: Final = 86400
_SUBJECTS: Final = {
    "opt-in": "Activate your account",
    "password-reset": "Choose a new password",
    "email-change": "Confirm your new address",
}


def signup(call: Call) -> Response:
    """Create an account, but issue no tokens; the member `signup` may contain separate login credentials."""
    body, world = call.fields(), call.world
    own, details = mapping(body.get("signup")), mapping(body.get("customerDetails"))
    _check_signup(body, own, details)
    email, password = own.get("email") or body["email"], own.get("password") or body["password"]
    if world.customer_by_email(email) is not None:
        raise answers.duplicate(email, world.knobs.tenant)
    customer = world.add_customer(email, password, {**details, "contactEmail": body["email"]})
    customer.active = not (world.knobs.signup_inactive or world.knobs.opt_in)
    if isinstance(body.get("customerAddress"), dict):
        customer.addresses[tokens.object_id()] = body["customerAddress"]
    if world.knobs.opt_in:
        _send_mail(world, customer, "opt-in")
    return JSONResponse({"id": customer.number}, 201)


def opt_in(call: Call) -> Response:
    """Activate the account and log in; the documented response has no session id."""
    customer = _customer_of_mail_token(call.world, call.path["token"], "opt-in")
    customer.active = True
    response = auth.log_in(call, customer)
    del response["session_id"]
    return JSONResponse(response)


def resend_opt_in(call: Call) -> Response:
    """Send the activation e-mail again; `refresh_token` in the path is what the upstream calls it."""
    customer = call.world.customer_by_email(str(call.fields().get("email", "")))
    if customer is not None and not customer.active:
        _send_mail(call.world, customer, "opt-in")
    return Response(status_code=202)


def change_password(call: Call) -> Response:
    """Change the password; it is not documented whether this revokes tokens, see `password_change_revokes`."""
    body, customer = call.fields(), call.customer
    if body.get("currentPassword") != customer.password:
        raise answers.bad_request("The current password is wrong.", currentPassword="does not match")
    _set_password(customer, body.get("newPassword"), "newPassword")
    if call.world.knobs.password_change_revokes:
        for token in call.world.tokens_of(customer=customer.number):
            token.revoked = True
    return Response(status_code=204)


def reset_password(call: Call) -> Response:
    """Send a token of 64 characters by e-mail; the response is 204 for an unknown address too."""
    customer = call.world.customer_by_email(str(call.fields().get("email", "")))
    if customer is not None:
        _send_mail(call.world, customer, "password-reset")
    return Response(status_code=204)


def update_password(call: Call) -> Response:
    body = call.fields()
    customer = _customer_of_mail_token(call.world, str(body.get("token", "")), "password-reset", keep=True)
    _set_password(customer, body.get("password"), "password")
    del call.world.mail_tokens[body["token"]]
    return Response(status_code=204)


def change_email(call: Call) -> Response:
    """Send a token to the new address; the address changes when it comes back."""
    body, customer = call.fields(), call.customer
    email = _text(body.get("newEmail"))
    if body.get("email") != customer.email or body.get("password") != customer.password or not email:
        raise answers.bad_request("The credentials are not valid.")
    if call.world.customer_by_email(email) is not None:
        raise answers.duplicate(email, call.world.knobs.tenant)
    _send_mail(call.world, customer, "email-change", email)
    return Response(status_code=204)


def confirm_email(call: Call) -> Response:
    token = str(call.fields().get("token", ""))
    email = call.world.mail_tokens[token].email if token in call.world.mail_tokens else ""
    customer = _customer_of_mail_token(call.world, token, "email-change")
    call.world.move_customer(customer, email)
    return Response(status_code=204)


def _check_signup(body: dict[str, Any], own: dict[str, Any], details: dict[str, Any]) -> None:
    wrong = {name: "must not be empty" for name in ("email", "password") if not _text(body.get(name))}
    if own and len(_text(own.get("password"))) < 6:
        wrong["signup.password"] = "needs at least 6 characters"
    if own and not _text(own.get("email")):
        wrong["signup.email"] = "must not be empty"
    if details.get("contactEmail", body.get("email")) != body.get("email"):
        wrong["customerDetails.contactEmail"] = "must equal email"
    if len(_text(details.get("preferredCurrency", "EUR"))) != 3:
        wrong["customerDetails.preferredCurrency"] = "has 3 letters"
    if mapping(details.get("b2b")).get("companyRegistrationId"):
        missing = [name for name in ("firstName", "lastName", "company") if not details.get(name)]
        wrong |= {f"customerDetails.{name}": "must not be empty" for name in missing}
    if wrong:
        raise answers.bad_request("The sign-up is not valid.", **wrong)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _set_password(customer: Customer, password: object, name: str) -> None:
    if not isinstance(password, str) or len(password) < 6:
        raise answers.bad_request("The password is not valid.", **{name: "needs at least 6 characters"})
    customer.password = password
    customer.initial_password = False


def _send_mail(world: World, customer: Customer, purpose: Any, email: str = "") -> None:
    token, to = tokens.opaque(64), email or customer.email
    world.mail_tokens[token] = MailToken(purpose, customer.number, world.now() + _MAIL_TOKEN_SECONDS, to)
    world.mail(to, _SUBJECTS[purpose], purpose, token)


def _customer_of_mail_token(world: World, token: str, purpose: str, *, keep: bool = False) -> Customer:
    mail_token = world.mail_tokens.get(token)
    if mail_token is None or mail_token.purpose != purpose or mail_token.expires_at <= world.now():
        raise answers.bad_request("The token is not valid.", token="unknown, used or expired")
    if not keep:
        del world.mail_tokens[token]
    return world.customers[mail_token.customer]


ROUTES: Final = (
    Entry("POST", "/customer/{tenant}/signup", "anonymous", signup),
    Entry("GET", "/customer/{tenant}/signup/optin/{token}", "anonymous", opt_in),
    Entry("POST", "/customer/{tenant}/signup/optin/refresh_token", "anonymous", resend_opt_in),
    Entry("POST", "/customer/{tenant}/me/accounts/internal/email/change", "customer", change_email),
    Entry("POST", "/customer/{tenant}/me/accounts/internal/email/change/confirm", "anonymous", confirm_email),
    Entry("POST", "/customer/{tenant}/password/change", "customer", change_password),
    Entry("POST", "/customer/{tenant}/password/reset", "anonymous", reset_password),
    Entry("POST", "/customer/{tenant}/password/reset/update", "anonymous", update_password),
)
