"""The CSRF check: what the storefront sends passes, what a foreign page could send does not."""

from typing import Final

import pytest

from bff.errors import CsrfFailed, InvalidRequest
from bff.middleware.header_fields import HeaderFields
from bff.middleware.origin_check import OriginCheck, Proof, may_begin_session
from bff.upstream.protocol import Header

PUBLIC, ALLOWED = b"https://shop.example", b"https://app.example"
CSRF: Final[Header] = (b"x-csrf", b"1")
TOKEN: Final[Header] = (b"authorization", b"Bearer placeholder")
CROSS_SITE: Final[Header] = (b"sec-fetch-site", b"cross-site")
FOREIGN_ORIGIN: Final[Header] = (b"origin", b"https://evil.example")

FROM_THE_STOREFRONT: Final[list[list[Header]]] = [
    [CSRF],
    [(b"x-csrf", b"")],
    [CSRF, (b"origin", PUBLIC)],
    [CSRF, (b"origin", PUBLIC), (b"sec-fetch-site", b"same-origin")],
    [CSRF, (b"sec-fetch-site", b"same-origin")],
    [CSRF, (b"origin", ALLOWED)],
    [CSRF, (b"origin", ALLOWED), (b"sec-fetch-site", b"same-site")],
]
FROM_A_FOREIGN_PAGE: Final[list[list[Header]]] = [
    [],
    [(b"origin", PUBLIC)],
    [(b"sec-fetch-site", b"same-origin")],
    [(b"cookie", b"__Host-bff=x")],
    [(b"authorization", b"Bearer x")],
    [CSRF, FOREIGN_ORIGIN],
    [CSRF, (b"origin", b"null")],
    [CSRF, (b"origin", b"")],
    [CSRF, (b"origin", b"http://shop.example")],
    [CSRF, (b"origin", b"https://shop.example:8443")],
    [CSRF, (b"origin", b"https://shop.example.evil.example")],
    [CSRF, (b"origin", PUBLIC), FOREIGN_ORIGIN],
    [CSRF, (b"origin", PUBLIC), CROSS_SITE],
    [CSRF, (b"origin", ALLOWED), CROSS_SITE],
    [CSRF, CROSS_SITE],
    [CSRF, (b"sec-fetch-site", b"same-site")],
    [CSRF, (b"sec-fetch-site", b"none")],
    [CSRF, (b"sec-fetch-site", b"same-origin"), CROSS_SITE],
]


def origin_check(*, same_site: str = "strict", drop_in: bool = False) -> OriginCheck:
    return OriginCheck(PUBLIC.decode(), [ALLOWED.decode()], same_site=same_site, drop_in=drop_in)


def passes(headers: list[Header], proof: Proof = Proof.HEADER, *, drop_in: bool = False) -> bool:
    try:
        origin_check(drop_in=drop_in).check(HeaderFields(headers), proof)
    except CsrfFailed:
        return False
    return True


@pytest.mark.parametrize("headers", FROM_THE_STOREFRONT)
def test_what_the_storefront_sends_passes(headers: list[Header]) -> None:
    assert passes(headers)


@pytest.mark.parametrize("headers", FROM_A_FOREIGN_PAGE)
def test_what_a_foreign_page_could_send_does_not_pass(headers: list[Header]) -> None:
    assert not passes(headers)


@pytest.mark.parametrize("proof", [Proof.HEADER, Proof.ORIGIN])
@pytest.mark.parametrize("same_site", ["strict", "lax", "none"])
def test_an_allowed_origin_on_another_site_passes_only_where_the_cookie_comes_along(
    same_site: str, proof: Proof
) -> None:
    check = origin_check(same_site=same_site).check
    check(HeaderFields([CSRF, (b"origin", ALLOWED), (b"sec-fetch-site", b"same-site")]), proof)
    wrong_site = HeaderFields([CSRF, (b"origin", ALLOWED), CROSS_SITE])
    if same_site == "none":
        check(wrong_site, proof)
    else:
        with pytest.raises(CsrfFailed, match=f"SameSite={same_site.capitalize()}.*BFF_COOKIE_SAMESITE=none"):
            check(wrong_site, proof)


def test_in_drop_in_mode_an_authorization_is_as_good_a_proof() -> None:
    assert passes([TOKEN], drop_in=True)
    assert passes([CSRF], drop_in=True)
    assert not passes([TOKEN])
    assert not passes([], drop_in=True)


def test_where_the_origin_is_the_proof_no_header_field_is_needed() -> None:
    assert passes([], Proof.ORIGIN)
    for headers in FROM_THE_STOREFRONT:
        assert passes([field for field in headers if field[0] != b"x-csrf"], Proof.ORIGIN)


@pytest.mark.parametrize("foreign", [CROSS_SITE, FOREIGN_ORIGIN])
@pytest.mark.parametrize(("sent", "proof"), [([TOKEN], Proof.HEADER), ([], Proof.ORIGIN)])
def test_in_drop_in_mode_another_origin_is_refused_with_every_proof(
    sent: list[Header], proof: Proof, foreign: Header
) -> None:
    assert passes(sent, proof, drop_in=True)
    assert not passes([*sent, foreign], proof, drop_in=True)


@pytest.mark.parametrize("headers", FROM_A_FOREIGN_PAGE)
def test_a_navigation_is_not_judged_by_its_header_fields(headers: list[Header]) -> None:
    assert passes(headers, Proof.NAVIGATION)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_request_may_begin_a_session_where_it_is_no_head(method: str) -> None:
    assert may_begin_session(method, HeaderFields([(b"sec-purpose", b""), (b"accept", b"prefetch")]))
    assert not may_begin_session("HEAD", HeaderFields([]))
    assert not may_begin_session("OPTIONS", HeaderFields([]))


def test_a_server_that_renders_says_that_it_begins_no_session() -> None:
    assert not may_begin_session("GET", HeaderFields([(b"x-session-begin", b"never")]))
    assert not may_begin_session("POST", HeaderFields([(b"x-session-begin", b"Never"), (b"accept", b"*/*")]))
    for value in (b"", b"always", b"never, never"):
        with pytest.raises(InvalidRequest):
            may_begin_session("GET", HeaderFields([(b"x-session-begin", value)]))


@pytest.mark.parametrize(
    "field",
    [
        (b"sec-purpose", b"prefetch"),
        (b"sec-purpose", b"prefetch;prerender"),
        (b"sec-purpose", b"Prefetch"),
        (b"purpose", b"prefetch"),
        (b"x-moz", b"prefetch"),
    ],
)
def test_a_prefetch_begins_no_session(field: Header) -> None:
    assert not may_begin_session("GET", HeaderFields([(b"accept", b"*/*"), field]))
