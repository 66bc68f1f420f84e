"""Tokens in upstream's answers: what is found, what is not taken for one, and what is not searched at all."""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.api.token_scan import LIMIT, Finding, Headers, found_in_body, found_in_head, searchable

JSON = (b"content-type", b"application/json")
Pick = Callable[[Sequence[str]], str]

OWN = b"aB3" * 9 + b"-"
NAMES = (
    *("access_token", "accessToken", "refresh_token", "refreshToken", "saas_token", "saasToken"),
    *("id_token", "idToken", "anonymous_token", "anonymousToken", "saas-token", "ACCESS_TOKEN", "Id-Token"),
    *("social_access_token", "social_id_token", "subject_access_token", "subject_token"),
)
INNOCENT = (
    *("authorizationToken", "scaProviderToken", "creditCardToken", "token", "token_type", "paidToken"),
    *("access_token_expires_in", "refreshTokenExpiresIn", "my_access_token", "access_token ", "tokens", ""),
)


def found(headers: Headers, body: bytes, own: Sequence[bytes]) -> Finding | None:
    return found_in_head(headers, own) or found_in_body(headers, body, own)


def finding(body: bytes | str, *headers: tuple[bytes, bytes], own: bytes = OWN) -> Finding | None:
    return found([JSON, *headers], body.encode() if isinstance(body, str) else body, [own])


def named_like_a_token(name: str) -> bool:
    return name.lower().replace("-", "_").replace("_", "") in {
        one.lower().replace("-", "_").replace("_", "") for one in NAMES
    }


def parsed(text: str) -> bool:
    """Say what a parser finds: a member named like a token that holds a text, whatever it was overridden by."""
    seen: list[tuple[str, Any]] = []
    json.loads(text, object_pairs_hook=seen.extend)
    return any(named_like_a_token(name) and isinstance(value, str) and value for name, value in seen)


def written(value: Any, pick: Pick) -> str:
    """Return JSON with each character escaped or not, as it is picked."""
    space = pick(["", "", " ", "\t\r\n"])
    match value:
        case str():
            return f'"{"".join(character(one, pick) for one in value)}"'
        case list():
            return "[" + f"{space},".join(written(one, pick) for one in value) + "]"
        case dict():
            pairs = (f"{written(n, pick)}{space}:{space}{written(v, pick)}" for n, v in value.items())
            return "{" + space + f"{space},".join(pairs) + "}"
        case _:
            return json.dumps(value)


def character(one: str, pick: Pick) -> str:
    forms = [json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1], f"\\u{ord(one):04x}"]
    return pick([*forms, f"\\u{ord(one):04X}", "\\/" if one == "/" else forms[0]])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """JSON that talks of tokens everywhere, in every way that it can be written down."""
    pieces = st.sampled_from(
        [*NAMES, "token", '"', "\\", ": ", ":", ",", "{", "}", "u005f", "/", "é", "\n", "x"]
    )
    texts = st.lists(pieces, max_size=5).map("".join)
    names = st.one_of(st.sampled_from([*NAMES, *INNOCENT]), texts)
    values = st.recursive(
        st.one_of(texts, st.none(), st.integers(), st.booleans()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
        max_leaves=8,
    )
    return written(draw(values), draw(st.randoms(use_true_random=False)).choice)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shape",
    ['{"%s":"x"}', '{"a":[1,{"b":{"c":"d","%s" :\n\t"x"}}]}', '[[[{"%s": "\\""}]]]', '{"%s": "\\u0061"}'],
)
def test_a_member_named_like_a_token_is_found_at_any_depth(name: str, shape: str) -> None:
    assert finding(shape % name) is Finding.MEMBER


@pytest.mark.parametrize("name", INNOCENT)
def test_a_member_named_otherwise_passes(name: str) -> None:
    assert finding(json.dumps({name: "x", "list": [{name: "y"}]})) is None


@pytest.mark.parametrize("value", ["", None, 3599, True, [], {}, {"type": "string"}])
def test_a_member_that_holds_no_text_passes(value: object) -> None:
    assert finding(json.dumps({"access_token": value})) is None


@pytest.mark.parametrize("name", NAMES)
def test_talking_of_a_token_is_not_having_one(name: str) -> None:
    talk = [name, f'"{name}":"x"', json.dumps({name: "x"}), f'\\"{name}": "x"', f"{name}=x"]
    assert finding(json.dumps({"description": talk, f'a "{name}': "x", f"{name}\\": "x"})) is None
    assert finding(json.dumps(json.dumps(json.dumps({name: "x"})))) is None


@pytest.mark.parametrize("name", ["access_token", "saasToken"])
def test_no_escape_hides_a_name(name: str) -> None:
    for at in range(len(name)):
        escaped = f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
        assert finding(f'{{"{escaped}": "x"}}') is Finding.MEMBER
        assert finding(f'{{"{escaped.upper().replace("U0", "u0")}": "x"}}') is Finding.MEMBER
        assert finding(f'{{"\\{escaped}": "x", "a": "{escaped}"}}') is None


def test_the_one_of_two_members_that_a_parser_forgets_is_found() -> None:
    assert finding('{"access_token": "x", "access_token": null}') is Finding.MEMBER


@pytest.mark.parametrize("text", ['{"access_token": "x', ')]}\',\n{"idToken":"x"}', 'load({"id_token":"x"})'])
def test_what_is_no_json_is_judged_like_the_rest(text: str) -> None:
    assert finding(text) is Finding.MEMBER


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_no_encoding_hides_a_name_or_a_token(encoding: str) -> None:
    assert finding('{"käse": 1, "refresh_token": "x"}'.encode(encoding)) is Finding.MEMBER
    assert finding(json.dumps({"käse": OWN.decode()}).encode(encoding)) is Finding.OWN_TOKEN


@given(documents())
@example('{"a\\"access_token": "x"}')
@example('{"a": "\\\\", "access_token": "x"}')
@example('{"\\\\u0061ccess_token": "x"}')
@example('{"access_token\\u0022": "x", "b\\u005c": ["\\u0022access_token\\u0022:\\u0022x"]}')
def test_the_search_agrees_with_a_parser(text: str) -> None:
    assert (finding(text) is Finding.MEMBER) is parsed(text)


@given(documents(), st.binary(max_size=20))
@example('{"first half": "long enough", "id_token": "x"}', b"")
@example('{"first half": "long enough", "id_token": "x"}', b"rest")
def test_whatever_is_packed_is_found_as_if_it_were_not(text: str, rest: bytes) -> None:
    whole = gzip.compress(text.encode())
    assert finding(whole, (b"content-encoding", b"gzip")) is finding(text)
    half = len(text) // 2
    members = gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode()) + rest
    assert finding(members, (b"content-encoding", b"X-GZIP")) is finding(text)


@given(st.binary(), st.sampled_from([b"gzip", b"br", b"gzip, gzip", b"utf-8", b""]))
def test_any_bytes_are_judged(body: bytes, coding: bytes) -> None:
    assert found([JSON, (b"content-encoding", coding)], body, [OWN]) is not Finding.OWN_TOKEN


def test_what_the_session_asked_with_is_found_wherever_it_stands() -> None:
    for body in (OWN, b"Bearer " + OWN, b'{"echo":["' + OWN + b'"]}', b'{"' + OWN + b'":1}'):
        assert finding(body) is Finding.OWN_TOKEN
        assert finding(gzip.compress(body), (b"content-encoding", b"gzip")) is Finding.OWN_TOKEN
    escaped = "".join(f"\\u{one:04X}" for one in OWN)
    assert finding(f'{{"echo":"{escaped}"}}') is Finding.OWN_TOKEN
    assert finding('{"echo":"ab\\/cdefghijklmnop"}', own=b"ab/cdefghijklmnop") is Finding.OWN_TOKEN


def test_of_another_token_only_its_name_tells() -> None:
    assert finding(b'{"echo":"' + OWN[:-1] + b'x"}') is None


def test_a_token_too_short_to_be_one_is_not_looked_for() -> None:
    assert finding('{"id": "short"}', own=b"short") is None
    assert finding('{"id": "short"}', own=b"") is None


@pytest.mark.parametrize(
    "field",
    [
        (b"location", b"https://shop.example/#access_token=x&state=y"),
        (b"location", b"https://shop.example/?state=y&id_token=x"),
        (b"location", b"https://shop.example/?next=https%3A%2F%2Fa%2F%3Frefresh%5Ftoken%3Dx"),
        (b"location", b"https://shop.example/" + OWN),
        (b"content-location", b"/a?saasToken=x"),
        (b"link", b'</a?access_token=x>; rel="next"'),
        (b"x-access-token", b"x"),
        (b"refresh-token", b"x"),
        (b"x-debug", b'{"accessToken": "x"}'),
        (b"x-debug", b"Bearer " + OWN),
        (OWN, b"x"),
    ],
)
def test_a_token_in_the_head_is_found(field: tuple[bytes, bytes]) -> None:
    assert found([JSON, field], b"", [OWN]) is Finding.HEAD


@pytest.mark.parametrize(
    "field",
    [
        (b"location", b"https://www.paypal.example/checkoutnow?token=0SC35196GX656501J"),
        (b"location", b"/api/customer/acmeshop/signup/optin/refresh_token"),
        (b"location", b"https://shop.example/?paid_token=x&access_token=&id_tokens=x"),
        (b"www-authenticate", b'Bearer error="invalid_token", error_description="Bad access_token: expired"'),
        (b"vary", b"saas-token, access-token"),
        (b"x-access-token", b""),
    ],
)
def test_a_head_that_talks_of_tokens_passes(field: tuple[bytes, bytes]) -> None:
    assert found([field, JSON], b"{}", [OWN]) is None


@pytest.mark.parametrize("coding", [b"br", b"ZSTD", b"gzip, br", b"compress", b"identity, dcb"])
def test_what_can_not_be_read_is_withheld(coding: bytes) -> None:
    assert finding(b"{}", (b"content-encoding", coding)) is Finding.PACKED


def test_codings_in_two_fields_count_together() -> None:
    fields = [(b"content-encoding", b"deflate"), (b"content-encoding", b"gzip")]
    packed = gzip.compress(zlib.compress(b'{"idToken": "x"}'))
    assert finding(packed, *fields) is Finding.MEMBER
    assert finding(packed, *reversed(fields)) is Finding.PACKED


@pytest.mark.parametrize("coding", [b"utf-8", b"identity", b"none", b""])
def test_a_label_that_no_client_acts_on_hides_nothing(coding: bytes) -> None:
    assert finding("{}", (b"content-encoding", coding)) is None
    assert finding('{"idToken":"x"}', (b"content-encoding", coding)) is Finding.MEMBER


def test_an_empty_body_is_clean_however_it_is_packed() -> None:
    assert finding(b"", (b"content-encoding", b"br")) is None


def test_the_search_ends_at_its_limit_packed_or_not() -> None:
    for size, expected in ((LIMIT - 100, Finding.MEMBER), (LIMIT, None)):
        text = json.dumps({"padding": "x" * size, "id_token": "x"})
        assert finding(text) is expected
        assert finding(gzip.compress(text.encode()), (b"content-encoding", b"gzip")) is expected


@pytest.mark.parametrize(
    ("kind", "unannounced", "small"),
    [
        (b"application/json", True, True),
        (b"Application/JSON;charset=UTF-8", True, True),
        (b"application/problem+json", True, True),
        (b"application/vnd.emporix.v2+json ; q=1", True, True),
        (b"text/html", True, True),
        (b"application/xml", True, True),
        (b"text/plain;charset=utf-8", False, True),
        (b"text/event-stream", False, False),
        (b"application/stream+json", False, False),
        (b"application/x-ndjson", False, False),
        (b"application/json-seq", False, False),
        (b"application/pdf", False, False),
        (b"image/svg+xml", False, False),
        (b"application/octet-stream", False, False),
    ],
)
def test_what_may_be_a_stream_is_not_searched(kind: bytes, *, unannounced: bool, small: bool) -> None:
    assert searchable([(b"content-type", kind)]) is unannounced
    for length, held in ((0, small), (LIMIT, small), (LIMIT + 1, False)):
        assert searchable([(b"content-type", kind), (b"content-length", b"%d" % length)]) is held


def test_what_does_not_say_what_it_is_is_searched() -> None:
    assert searchable([])
    assert searchable([(b"content-length", b"5")])
    assert not searchable([(b"content-length", b"%d" % (LIMIT + 1))])
