"""Whatever a browser carries as a cookie, an app as a session id: it opens its own session or none."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.ground import CANARY, Ground
from tests.fuzz.profiles import fuzzed
from tests.live import TENANT

TARGETS = st.sampled_from(
    (
        ("GET", "/auth/session"),
        ("POST", "/auth/anonymous"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/logout"),
        ("GET", "/auth/validate"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions"),
        ("GET", f"/api/site/{TENANT}/sites"),
        ("GET", f"/api/customer/{TENANT}/me"),
    )
)
_BYTES = st.binary(max_size=60).map(lambda raw: raw.translate(None, b"\r\n\0"))
_GARBAGE = (
    _BYTES
    | st.from_regex(rb"[A-Za-z0-9_.-]{0,120}", fullmatch=True)
    | st.sampled_from([b"\xff", b"%00", b'"'])
)
_CARRIERS = st.sampled_from(("guest", "customer"))


def carried(ground: Ground, who: str) -> bytes:
    """Return the bare value of a visitor's cookie."""
    return ground.visitor(who)[0].removeprefix("Cookie: bff=").encode()


def let_in(ground: Ground, field: bytes) -> bool:
    """Say whether a look with this field is let in to somebody's session."""
    answer = ground.ask("GET", "/auth/session", field)
    return answer.status == 200 and answer.json()["kind"] != "none"


@fuzzed(120)
@given(target=TARGETS, value=_GARBAGE)
def test_garbage_in_a_cookie_is_never_a_fault(ground: Ground, target: tuple[str, str], value: bytes) -> None:
    ground.ask(*target, b"Cookie: bff=" + value)
    ground.ask(*target, b"Cookie: " + value + b"; " + CANARY.encode() + b"=1")
    assert not let_in(ground, b"Cookie: bff=" + value)


@fuzzed(60)
@given(target=TARGETS, value=_GARBAGE)
def test_garbage_for_a_session_id_is_never_a_fault(
    ground: Ground, target: tuple[str, str], value: bytes
) -> None:
    ground.ask(*target, b"X-Session-Id: " + value)
    assert not let_in(ground, b"X-Session-Id: " + value)


@fuzzed(150)
@given(who=_CARRIERS, at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_flipped_in_a_real_cookie_lets_nobody_in(ground: Ground, who: str, at: float, bit: int) -> None:
    value = bytearray(carried(ground, who))
    value[int(at * len(value))] ^= 1 << bit
    assert not let_in(ground, b"Cookie: bff=" + value)


@fuzzed(100)
@given(who=_CARRIERS, cut=st.floats(0, 1), more=_GARBAGE)
def test_a_part_of_a_real_cookie_and_more_lets_nobody_in(
    ground: Ground, who: str, cut: float, more: bytes
) -> None:
    whole = carried(ground, who)
    value = whole[: round(cut * len(whole))] + more.partition(b";")[0].rstrip(b" \t")
    assert let_in(ground, b"Cookie: bff=" + value) is (value == whole)


@fuzzed(60)
@given(
    target=TARGETS,
    others=st.lists(_GARBAGE, min_size=1, max_size=6),
    at=st.integers(0, 6),
    split=st.booleans(),
)
def test_cookies_of_one_name_are_refused_together(
    ground: Ground, target: tuple[str, str], others: list[bytes], at: int, *, split: bool
) -> None:
    mine = carried(ground, "guest")
    pairs = [b"bff=" + other.replace(b";", b"") for other in others]
    pairs.insert(min(at, len(pairs)), b"bff=" + mine)
    fields = [b"Cookie: " + pair for pair in pairs] if split else [b"Cookie: " + b"; ".join(pairs)]
    answer = ground.ask(*target, *fields)
    assert answer.status == 400, answer


@fuzzed(20)
@given(target=TARGETS, size=st.integers(500, 200_000), name=st.sampled_from((b"bff", b"x", b"bff-sso-x")))
def test_a_huge_cookie_is_never_a_fault(
    ground: Ground, target: tuple[str, str], size: int, name: bytes
) -> None:
    ground.ask(*target, b"Cookie: " + name + b"=" + b"A" * size)


@fuzzed(20)
@given(target=TARGETS, count=st.integers(2, 5000), name=st.sampled_from((b"bff", b"x", b"bff-sso-x")))
def test_any_number_of_cookies_is_never_a_fault(
    ground: Ground, target: tuple[str, str], count: int, name: bytes
) -> None:
    ground.ask(*target, b"Cookie: " + b"; ".join([name + b"=y"] * count))
