"""The token scan: what it finds, what it ignores, and which responses it does not search."""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.api import token_scan
from bff.api.headers import Headers, ResponseHead, response_head
from bff.api.token_scan import LIMIT, BodySearch, Finding, found_in_body, found_in_head
from bff.security.needles import Needle, needles
from bff.security.secret import Secret
from tests.packing import PACKINGS

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


def head(headers: Headers) -> ResponseHead:
    """Return a head with these fields, none of them left out or changed."""
    answer = response_head(headers, upstream_origin="http://up.test", browser_cache=False)
    answer.fields = list(headers)
    return answer


def wanted(own: Sequence[bytes]) -> tuple[Needle, ...]:
    return needles(Secret(token.decode()) for token in own)


def searchable(headers: Headers) -> bool:
    return token_scan.searchable(head(headers))


def found(headers: Headers, body: bytes, own: Sequence[bytes]) -> Finding | None:
    """Return what is found, which is the same in a body that is here and in one that comes as a stream."""
    answer, tokens = head(headers), wanted(own)
    in_body = BodySearch(answer, tokens).feed(body)
    assert not token_scan.searchable(answer) or found_in_body(answer, body, tokens) is in_body
    return found_in_head(answer, tokens) or in_body


def finding(body: bytes | str, *headers: tuple[bytes, bytes], own: bytes = OWN) -> Finding | None:
    typed = headers if b"content-type" in dict(headers) else (JSON, *headers)
    return found(typed, body.encode() if isinstance(body, str) else body, [own])


def named_like_a_token(name: str) -> bool:
    return name.lower().replace("-", "_").replace("_", "") in {
        one.lower().replace("-", "_").replace("_", "") for one in NAMES
    }


def parser_finds_a_token(text: str) -> bool:
    """Return whether a parser finds a member that is named like a token and has a string value; duplicates count."""
    seen: list[tuple[str, Any]] = []
    json.loads(text, object_pairs_hook=seen.extend)
    return any(named_like_a_token(name) and isinstance(value, str) and value for name, value in seen)


def written(value: Any, pick: Pick) -> str:
    """Return `value` as JSON, where `pick` decides how each character is escaped."""
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
    """Return JSON that mentions tokens in many places, with every possible escape."""
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
def test_a_member_with_another_name_passes(name: str) -> None:
    assert finding(json.dumps({name: "x", "list": [{name: "y"}]})) is None


@pytest.mark.parametrize("value", ["", None, 3599, True, [], {}, {"type": "string"}])
def test_a_member_without_a_string_value_passes(value: object) -> None:
    assert finding(json.dumps({"access_token": value})) is None


@pytest.mark.parametrize("name", NAMES)
def test_mentioning_a_token_in_a_string_passes(name: str) -> None:
    texts = [name, f'"{name}":"x"', json.dumps({name: "x"}), f'\\"{name}": "x"', f"{name}=x"]
    assert finding(json.dumps({"description": texts, f'a "{name}': "x", f"{name}\\": "x"})) is None
    assert finding(json.dumps(json.dumps(json.dumps({name: "x"})))) is None


@pytest.mark.parametrize("name", ["access_token", "saasToken"])
def test_no_escape_hides_a_name(name: str) -> None:
    for at in range(len(name)):
        escaped = f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
        assert finding(f'{{"{escaped}": "x"}}') is Finding.MEMBER
        assert finding(f'{{"{escaped.upper().replace("U0", "u0")}": "x"}}') is Finding.MEMBER
        assert finding(f'{{"\\{escaped}": "x", "a": "{escaped}"}}') is None


def test_both_of_two_members_with_the_same_name_are_searched() -> None:
    assert finding('{"access_token": "x", "access_token": null}') is Finding.MEMBER


@pytest.mark.parametrize("text", ['{"access_token": "x', ')]}\',\n{"idToken":"x"}', 'load({"id_token":"x"})'])
def test_malformed_json_is_searched_too(text: str) -> None:
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
    assert (finding(text) is Finding.MEMBER) is parser_finds_a_token(text)


@given(documents(), st.binary(max_size=20))
@example('{"first half": "long enough", "id_token": "x"}', b"")
@example('{"first half": "long enough", "id_token": "x"}', b"rest")
def test_compressed_body_gives_the_same_finding_as_the_plain_one(text: str, rest: bytes) -> None:
    whole = gzip.compress(text.encode())
    assert finding(whole, (b"content-encoding", b"gzip")) is finding(text)
    half = len(text) // 2
    members = gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode()) + rest
    assert finding(members, (b"content-encoding", b"X-GZIP")) is finding(text)


@given(st.binary(), st.sampled_from([b"gzip", b"br", b"gzip, gzip", b"utf-8", b""]))
def test_any_bytes_can_be_searched(body: bytes, coding: bytes) -> None:
    assert found([JSON, (b"content-encoding", coding)], body, [OWN]) is not Finding.OWN_TOKEN


def test_a_token_of_the_session_is_found_anywhere_in_a_body() -> None:
    for body in (OWN, b"Bearer " + OWN, b'{"echo":["' + OWN + b'"]}', b'{"' + OWN + b'":1}'):
        assert finding(body) is Finding.OWN_TOKEN
        assert finding(gzip.compress(body), (b"content-encoding", b"gzip")) is Finding.OWN_TOKEN
    escaped = "".join(f"\\u{one:04X}" for one in OWN)
    assert finding(f'{{"echo":"{escaped}"}}') is Finding.OWN_TOKEN
    assert finding('{"echo":"ab\\/cdefghijklmnop"}', own=b"ab/cdefghijklmnop") is Finding.OWN_TOKEN


def test_a_token_of_another_session_is_only_found_by_the_name_of_its_member() -> None:
    assert finding(b'{"echo":"' + OWN[:-1] + b'x"}') is None


def test_a_very_short_token_is_not_searched_for() -> None:
    assert finding('{"id": "short"}', own=b"short") is None
    assert finding('{"id": "short"}', own=b"") is None


@pytest.mark.parametrize(
    "header",
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
def test_a_token_in_a_header_is_found(header: tuple[bytes, bytes]) -> None:
    assert found([JSON, header], b"", [OWN]) is Finding.HEAD


@pytest.mark.parametrize(
    "header",
    [
        (b"location", b"https://www.paypal.example/checkoutnow?token=0SC35196GX656501J"),
        (b"location", b"/api/customer/acmeshop/signup/optin/refresh_token"),
        (b"location", b"https://shop.example/?paid_token=x&access_token=&id_tokens=x"),
        (b"vary", b"saas-token, access-token"),
        (b"x-access-token", b""),
    ],
)
def test_a_header_that_only_mentions_tokens_passes(header: tuple[bytes, bytes]) -> None:
    assert found([header, JSON], b"{}", [OWN]) is None


@pytest.mark.parametrize("coding", [b"br", b"ZSTD", b"gzip, br", b"compress", b"identity, dcb"])
def test_a_body_that_cannot_be_decompressed_is_blocked(coding: bytes) -> None:
    assert finding(b"{}", (b"content-encoding", coding)) is Finding.PACKED


def test_codings_of_two_headers_are_combined() -> None:
    headers = [(b"content-encoding", b"deflate"), (b"content-encoding", b"gzip")]
    compressed = gzip.compress(zlib.compress(b'{"idToken": "x"}'))
    assert finding(compressed, *headers) is Finding.MEMBER
    assert finding(compressed, *reversed(headers)) is Finding.PACKED


@pytest.mark.parametrize("coding", [b"utf-8", b"identity", b"none", b""])
def test_an_unknown_coding_is_ignored(coding: bytes) -> None:
    assert finding("{}", (b"content-encoding", coding)) is None
    assert finding('{"idToken":"x"}', (b"content-encoding", coding)) is Finding.MEMBER


def test_an_empty_body_passes_with_any_coding() -> None:
    assert finding(b"", (b"content-encoding", b"br")) is None


def test_the_search_ends_at_the_limit_of_the_decompressed_body() -> None:
    for size, expected in ((LIMIT - 100, Finding.MEMBER), (LIMIT, None)):
        text = json.dumps({"padding": "x" * size, "id_token": "x"})
        assert finding(text) is expected
        assert finding(gzip.compress(text.encode()), (b"content-encoding", b"gzip")) is expected


@pytest.mark.parametrize(
    ("media_type", "without_length", "small"),
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
def test_a_body_that_may_be_a_stream_is_not_searched(
    media_type: bytes, *, without_length: bool, small: bool
) -> None:
    assert searchable([(b"content-type", media_type)]) is without_length
    for length, expected in ((0, small), (LIMIT, small), (LIMIT + 1, False)):
        headers = [(b"content-type", media_type), (b"content-length", b"%d" % length)]
        assert searchable(headers) is expected


def test_a_small_body_without_a_media_type_is_searched() -> None:
    assert searchable([])
    assert searchable([(b"content-length", b"5")])
    assert not searchable([(b"content-length", b"%d" % (LIMIT + 1))])


def test_the_length_of_a_compressed_body_is_not_that_of_its_content() -> None:
    headers = [JSON, (b"content-length", b"%d" % (LIMIT + 1))]
    assert searchable([*headers, (b"content-encoding", b"gzip")])
    assert searchable([*headers, (b"content-encoding", b"compress")])
    assert not searchable([*headers, (b"content-encoding", b"identity")])
    assert not searchable([*headers, (b"content-encoding", b"utf-8")])


@pytest.mark.parametrize(
    "kind", [b"application/javascript", b"text/javascript; charset=utf-8", b"Application/X-JavaScript"]
)
@pytest.mark.parametrize("name", NAMES)
def test_a_property_named_like_a_token_is_found_in_javascript(kind: bytes, name: str) -> None:
    script = (b"content-type", kind)
    assert searchable([script])
    assert not searchable([script, (b"content-length", b"%d" % (LIMIT + 1))])
    for text in (
        'load({"%s": "x"})',
        "load({%s:'x'})",
        "a = {b: 1, '%s' :\n`x`}",
        'a["b"].%s = "x"',
        "var %s='x'",
    ):
        assert finding(text % name, script) is Finding.MEMBER
    for text in ("let %s = null", "let my_%s = 'x'", "%s == 'x'", "f(%s, 'x')", "%s = ''", "'\\\"%s\\\": x'"):
        assert finding(text % name, script) is None
    assert finding(b"a='" + OWN + b"'", script) is Finding.OWN_TOKEN


FORM = (b"content-type", b"application/x-www-form-urlencoded")


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_named_like_a_token_is_found_in_a_form(name: str) -> None:
    assert searchable([FORM])
    for text in (f"{name}=x", f"a=b&{name}=x&c", f"a=b&%{ord(name[0]):02x}{name[1:]}=%61"):
        assert finding(text, FORM) is Finding.MEMBER
    for text in (f"{name}=&a=b", f"a={name}", f"{name}s=x"):
        assert finding(text, FORM) is None
    assert finding("a=" + OWN.decode().replace("-", "%2D"), FORM) is Finding.OWN_TOKEN


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([b"image/png", b"application/json"], Finding.TYPES),
        ([b"application/json", b"application/json"], Finding.TYPES),
        ([b"image/png, application/json"], Finding.TYPES),
        ([b'image/png;a="b", application/json;c="d"'], Finding.TYPES),
        ([b'image/png;a="\\"b", application/json;c="d"'], Finding.TYPES),
        ([b'multipart/mixed; boundary="a,b"'], None),
        ([b"application/json"], None),
        ([], None),
    ],
)
def test_two_types_of_one_body_are_found(types: list[bytes], expected: Finding | None) -> None:
    assert found_in_head(head([(b"content-type", kind) for kind in types]), []) is expected


@pytest.mark.parametrize(
    ("header", "before", "token"),
    [
        (JSON, b'{"a":"', OWN),
        (JSON, b'{"a":"' + OWN[:5], OWN),
        (JSON, b'{"a":"', b"".join(b"\\u%04x" % one for one in OWN)),
        (JSON, '{"a":"'.encode("utf-16-le"), OWN.decode().encode("utf-16-le")[:-1]),
        (FORM, b"a=", b"".join(b"%%%02X" % one for one in OWN)),
    ],
    ids=["plain", "begun twice", "escaped", "UTF-16", "form"],
)
def test_a_search_is_undecided_from_the_first_byte_of_a_token(
    header: tuple[bytes, bytes], before: bytes, token: bytes
) -> None:
    search = BodySearch(head([header]), wanted([OWN]))
    assert search.feed(before) is None
    for at in range(len(token) - 1):
        assert search.feed(token[at : at + 1]) is None
        assert search.is_undecided
    assert search.feed(token[-1:]) is Finding.OWN_TOKEN


def test_a_search_is_undecided_where_a_part_may_end_within_a_block() -> None:
    pack = PACKINGS["zstd"]
    search = BodySearch(head([JSON, (b"content-encoding", b"zstd")]), wanted([OWN]))
    assert search.feed(pack(b'{"a":1,') + pack(b'"b":"' + OWN)[:-3]) is None
    assert search.is_undecided


def test_a_search_is_decided_where_no_token_can_have_begun() -> None:
    for text in (b"[", b'[{"id":1},', b'{"a":"aB3x', b'{"a":"b"}'):
        search = BodySearch(head([JSON]), wanted([OWN, b"another-token-of-it"]))
        assert search.feed(text) is None
        assert not search.is_undecided
    assert BodySearch(head([JSON]), []).feed(OWN[:9]) is None
