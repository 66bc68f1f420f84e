"""Holding one answer of the proxy against what the model expects of it."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx2

from tests.fuzz.session_values import Carrier, Expected, Op, Session

LATE: Final = frozenset({"no_session", "session_expired", "session_rotated"})
"""What a request may be told whose session another one ended meanwhile."""

VIEWS: Final = frozenset({"look", "begin", "login", "refresh", "switch"})


def carried(answer: httpx2.Response, carrier: Carrier) -> str | None:
    """Return what an answer does to the carrier: a new value, "" where it is cleared, None where it is kept."""
    fields = answer.headers.get_list("set-cookie")
    if carrier == "header":
        assert not fields, "an app got a cookie"
        assert "sessionId" not in body(answer) or answer.request.url.path.startswith(("/auth/", "/api/cart/"))
        told = None if answer.request.url.path.startswith("/api/") else body(answer).get("sessionId")
        return answer.headers.get("x-session-id") or told
    assert "x-session-id" not in answer.headers, "a browser got a session id"
    if not fields:
        return None
    (field,) = fields
    morsel = SimpleCookie(field)["bff"]
    assert (morsel["path"], morsel["samesite"], morsel["domain"]) == ("/", "Strict", "")
    assert morsel["httponly"] is True
    assert (morsel["max-age"] == "0") is (morsel.value == "")
    return str(morsel.value)


def body(answer: httpx2.Response) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def complaints(op: Op, expected: Expected, answer: httpx2.Response, *, raced: bool = False) -> Iterator[str]:
    """Yield what is wrong with an answer; where another request `raced` it, less is known of when it was served."""
    if answer.status_code not in expected.status:
        yield f"{op} got {answer.status_code} {answer.text}, not {sorted(expected.status)} {expected.code}"
        return
    if expected.code is not None:
        yield from _problem(op, expected.code, body(answer), raced=raced)
    yield from _carrier(op, expected, answer)
    if expected.code is None and answer.status_code in {200, 201}:
        yield from _shown(op, expected.holds, answer)
    if not raced:
        yield from _version(op, expected.holds, answer)


def version(op: Op, answer: httpx2.Response) -> int | None:
    """Return the version that an answer tells, 0 for that of no session, None where it tells none."""
    if "x-session-version" in answer.headers:
        return int(answer.headers["x-session-version"])
    return body(answer)["version"] or 0 if op.name in VIEWS and answer.status_code < 300 else None


def _problem(op: Op, code: str, problem: dict[str, Any], *, raced: bool) -> Iterator[str]:
    wanted = LATE if raced and code in LATE else {code}
    if code and problem.get("code") not in wanted:
        yield f"{op} was told {problem.get('code')}, not {code}"


def _carrier(op: Op, expected: Expected, answer: httpx2.Response) -> Iterator[str]:
    presented, holds = expected.presented, expected.holds
    one = holds or presented
    carrier: Carrier = one.carrier if one is not None else "cookie"
    got = carried(answer, carrier)
    if holds is presented and got is not None:
        yield f"{op} changed what the visitor carries, and may not"
    if holds is not None and holds is not presented and not got:
        yield f"{op} handed out no new id"
    if holds is None and presented is not None and got != ("" if carrier == "cookie" else None):
        yield f"{op} ended the session and did not clear its carrier"


def _shown(op: Op, holds: Session | None, answer: httpx2.Response) -> Iterator[str]:
    seen = body(answer)
    holds = holds if holds is not None and (holds.live or holds.replaced) else None
    account = holds.account if holds is not None else None
    kind = holds.kind if holds is not None else "none"
    entity = holds.entity if holds is not None else None
    wanted: dict[str, Any] = {}
    if op.name in VIEWS:
        wanted = {
            "kind": kind,
            "customer": {"email": account.email} if account else None,
            "legalEntityId": entity,
        }
    elif op.name == "validate":
        wanted = {"kind": kind, "email": account.email if account else None, "legalEntityId": entity}
    elif op.name == "me":
        wanted = {"customerNumber": account.number if account else "00000000"}
        wanted |= {"contactEmail": account.email, "company": account.company} if account else {}
    elif (
        op.name in {"cart", "open cart", "rendered cart"}
        and holds is not None
        and holds.owner.cart is not None
    ):
        wanted = (
            {"customerId": account.number}
            if account
            else {"sessionId": holds.emporix.id or seen.get("sessionId")}
        )
        seen["quantity"] = sum(item["quantity"] for item in seen.get("items", []))
        wanted |= {"quantity": holds.owner.cart.quantity}
    yield from (
        f"{op} shows {name} {seen.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if seen.get(name) != value
    )


def _ended(op: Op, answer: httpx2.Response) -> bool:
    """Return whether an answer says that the session which the request carries is no more."""
    return (op.name == "logout" and answer.status_code == 204) or (
        answer.status_code == 401 and body(answer).get("code") in LATE
    )


def _version(op: Op, holds: Session | None, answer: httpx2.Response) -> Iterator[str]:
    told = version(op, answer)
    if told is None:
        return
    if holds is None or not (holds.live or holds.replaced) or _ended(op, answer):
        if told:
            yield f"{op} tells version {told} of no session"
    elif holds.version is None:
        if told <= holds.newer_than:
            yield f"{op} tells version {told} after {holds.newer_than}"
    elif told != holds.version:
        yield f"{op} tells version {told}, not {holds.version}"
