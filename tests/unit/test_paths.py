"""Paths and queries: they are sent as matched, and ambiguous ones are refused."""

from urllib.parse import parse_qsl, quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.api.paths import MAX_PATH, MAX_QUERY, check_query, parse_path, replace_owner
from bff.errors import InvalidRequest


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"/api/product/acme/products", ("product", "acme", "products")),
        (b"/api/x", ("x",)),
        (b"/api/a/urn:yaas:saasag:product:acme;p1", ("a", "urn:yaas:saasag:product:acme;p1")),
        (b"/api/a/!$&'()*+,;=:@-._~", ("a", "!$&'()*+,;=:@-._~")),
        (b"/api/a/b%20c/%C3%BC/%c3%bc", ("a", "b%20c", "%C3%BC", "%c3%bc")),
        (b"/api/a/urn%3Ax%3By", ("a", "urn%3Ax%3By")),
        (b"/api/a/100%25", ("a", "100%25")),
        (b"/api/a/50%25%20off", ("a", "50%25%20off")),
        (b"/api/a/what%3F", ("a", "what%3F")),
        (b"/api/a/...", ("a", "...")),
        (b"/api/a/.b", ("a", ".b")),
        (b"/api/a/b..", ("a", "b..")),
        (b"/api/api/x", ("api", "x")),
        (b"/api/a/" + b"x" * 8100, ("a", "x" * 8100)),
    ],
)
def test_path_in_normal_form_is_not_changed(raw: bytes, segments: tuple[str, ...]) -> None:
    path = parse_path(raw)
    assert path.target == raw.removeprefix(b"/api")
    assert path.segments == segments


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"/", b"/api", b"/api/", b"/apix", b"/apix/a", b"/API/a", b"api/a", b"/other/a", b"*"),
        *(b"http://host/api/a", b"//api/a", b"/api//a", b"/api/a//b", b"/api/a/", b"/api/a/b/"),
        *(b"/api/.", b"/api/..", b"/api/./a", b"/api/a/../b", b"/api/a/..", b"/api/../auth/session"),
        *(b"/api/a/..;/b", b"/api/a/.;x=1/b", b"/api/a/;/b", b"/api/a/;x", b"/api/a/..%3Bx/b"),
        *(b"/api/a/..%20/b", b"/api/a/%20../b", b"/api/a/%20/b"),
        *(b"/api/a/%2e%2e/b", b"/api/a/%2E/b", b"/api/a/.%2e/b", b"/api/a/x%2ey"),
        *(b"/api/a%2fb", b"/api/a%2Fb", b"/api/a%5cb", b"/api/a%5Cb", b"/api/a%23b", b"/api/a%00b"),
        *(b"/api/a%0d%0ab", b"/api/a%09", b"/api/a%1f", b"/api/a%7f", b"/api/a%c2%85b"),
        *(b"/api/%61", b"/api/a%41", b"/api/a%30", b"/api/a%2D", b"/api/a%5F", b"/api/a%7E"),
        *(b"/api/a%252e%252e", b"/api/a%252fb", b"/api/a%2500", b"/api/a%25zz%25ff"),
        *(b"/api/a%", b"/api/a%2", b"/api/a%zz", b"/api/a%u002e", b"/api/a%%20"),
        *(b"/api/a\\b", b"/api/a#b", b"/api/a?b", b"/api/a b", b"/api/a\tb", b"/api/a\x00b", b"/api/a\r\nb"),
        *(b"/api/a\xc3\xbc", b"/api/a\x7f", b'/api/a"b', b"/api/a<b", b"/api/a>b", b"/api/a^b"),
        *(b"/api/a`b", b"/api/a{b", b"/api/a|b", b"/api/a}b", b"/api/a[b]"),
        *(b"/api/%ff", b"/api/%c0%ae", b"/api/%c0%af", b"/api/%e0%80%af", b"/api/%ed%a0%80", b"/api/%c3"),
        b"/api/a\n",
        b"/api/" + b"x" * MAX_PATH,
    ],
)
def test_path_that_is_not_in_normal_form_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_path(raw)


def test_other_prefixes() -> None:
    assert parse_path(b"/shop/api/a/b", b"/shop/api").target == b"/a/b"
    assert parse_path(b"/a/b", b"").segments == ("a", "b")


PIECES = st.sampled_from(
    [
        b"/",
        b"..",
        b".",
        b";",
        b"a",
        b"%",
        b"25",
        b"2e",
        b"2f",
        b"%2",
        b"%25",
        b"%32",
        b"%45",
        b"%20",
        b"%3B",
        b"\xc3",
    ]
)


@given(st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=12).map(b"".join)))
@example(b"%2525252e")
@example(b"a/%25%32%65")
def test_accepted_path_is_unchanged_and_stays_in_normal_form_when_decoded_again(tail: bytes) -> None:
    raw = b"/api/" + tail
    try:
        path = parse_path(raw)
    except InvalidRequest:
        return
    assert b"/api" + path.target == raw
    assert "/" + "/".join(path.segments) == path.target.decode()
    for segment in path.segments:
        decoded = segment.encode()
        for _ in range(3):
            assert decoded.partition(b";")[0].strip() not in {b"", b".", b".."}
            assert not {0x2F, 0x5C, 0x00, 0x0A, 0x0D} & set(decoded)
            decoded = unquote_to_bytes(decoded)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), min_size=1)
)
def test_segments_encoded_by_encode_uri_component_pass(names: list[str]) -> None:
    tail = "/".join(quote(name, safe="!'()*") for name in names)
    ambiguous = any(set(n) & set("/\\#") or n.partition(";")[0].strip() in {"", ".", ".."} for n in names)
    double = any(quote(n, safe="").find("%25") >= 0 for n in names)
    if ambiguous or double or len(tail) > 8000:
        return
    assert parse_path(b"/api/" + tail.encode()).target.decode() == f"/{tail}"


@pytest.mark.parametrize(
    "query", [b"", b"a=1&b=%20+", b"q=(x:%22y%22)&sort=a:desc", b"&&=;", b'a={b}|^`\\"<>']
)
def test_valid_query_passes(query: bytes) -> None:
    check_query(query)


@pytest.mark.parametrize(
    "query", [b"a b", b"a#b", b"a\x00", b"a\r\nb", b"a\x7f", b"a\n", b"\xc3\xbc", b"x" * (MAX_QUERY + 1)]
)
def test_invalid_query_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        check_query(query)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", b""),
        (b"siteCode=main", b"siteCode=main"),
        (b"siteCode=main&sessionId=evil", b"siteCode=main&sessionId=own"),
        (b"sessionId=evil&siteCode=main", b"sessionId=own&siteCode=main"),
        (b"sessionId=a&x=1&sessionId=b&y=2", b"sessionId=own&x=1&y=2"),
        (b"a=1&customerId=evil&sessionId=evil", b"a=1&customerId=c%201&sessionId=own"),
        (b"SESSIONID=evil", b"sessionId=own"),
        (b"session%49d=evil", b"sessionId=own"),
        (b"+sessionId+=evil", b"sessionId=own"),
        (b"sessionId%00=evil", b"sessionId=own"),
        (b"sessionId", b"sessionId=own"),
        (b"a=1;sessionId=evil", b"a=1;sessionId=own"),
        (b"&&a&=b&", b"&&a&=b&"),
        (b"q=urn:x;y&z=%zz+", b"q=urn:x;y&z=%zz+"),
        (b"mysessionId=1&sessionIdx=2", b"mysessionId=1&sessionIdx=2"),
        (b"q=sessionId=evil", b"q=sessionId=evil"),
    ],
)
def test_owner_parameters_are_replaced_by_the_sessions_own(query: bytes, expected: bytes) -> None:
    assert replace_owner(query, session_id="own", customer_id="c 1") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"customerId=evil", b""),
        (b"customerId=evil&a=1", b"a=1"),
        (b"a=1&customerId=evil&b=2", b"a=1&b=2"),
        (b"customerId=x&customerid=y&a=1&CustomerId=z", b"a=1"),
    ],
)
def test_owner_parameter_without_an_own_value_is_removed(query: bytes, expected: bytes) -> None:
    assert replace_owner(query, session_id="own", customer_id=None) == expected


FIELDS = st.sampled_from(
    ["sessionId=evil", "SessionID=evil", "%73essionId=evil", "customerId=evil", "a=1", "", "b"]
)


@given(st.lists(st.tuples(FIELDS, st.sampled_from("&;"))), st.sampled_from([None, "own&x=1"]))
def test_no_foreign_owner_remains(fields: list[tuple[str, str]], own: str | None) -> None:
    query = "".join(field + separator for field, separator in fields).encode()
    replaced = replace_owner(query, session_id=own, customer_id=own)
    assert b"evil" not in replaced
    pairs = parse_qsl(replaced.decode().replace(";", "&"))
    names = [name for name, _ in pairs if name in {"sessionId", "customerId"}]
    assert len(names) == len(set(names))
    assert {value for name, value in pairs if name in names} <= {own}
    if b"evil" not in query:
        assert replaced == query
