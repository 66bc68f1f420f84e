"""Which sealed values open, and which must not."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.security.keyring import KeyRing, MalformedError, Opened, Sealer, SealError, UnknownKeyError
from tests.support import new_ring

OLD, NEW = ("old", secrets.token_bytes(32)), ("new", secrets.token_bytes(32))
SEALER = new_ring().sealer("cookie")
RECORDS = new_ring().record_sealer()
SECRET, NAME = secrets.token_bytes(32), secrets.token_bytes(32)


def ring(*keys: tuple[str, bytes], tenant: str = "acmeshop") -> KeyRing:
    return KeyRing(keys, tenant, secrets.token_bytes)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text(blob: bytes) -> str:
    return base64.urlsafe_b64encode(blob).rstrip(b"=").decode()


@given(st.binary(max_size=200))
def test_sealed_value_opens(plain: bytes) -> None:
    assert SEALER.open(SEALER.seal(plain)) == plain
    blob = RECORDS.seal(plain, secret=SECRET, name=NAME)
    assert RECORDS.open(blob, secret=SECRET, name=NAME) == plain


@given(st.binary(min_size=8, max_size=64))
def test_sealed_value_does_not_contain_the_plain_bytes(plain: bytes) -> None:
    assert plain not in raw(SEALER.seal(plain))
    assert plain not in RECORDS.seal(plain, secret=SECRET, name=NAME)


@given(st.binary(max_size=64))
def test_the_same_bytes_sealed_twice_differ(plain: bytes) -> None:
    assert SEALER.seal(plain) != SEALER.seal(plain)
    one, other = (RECORDS.seal(plain, secret=SECRET, name=NAME) for _ in range(2))
    assert one != other


def test_every_flipped_byte_of_a_sealed_text_fails() -> None:
    sealed = raw(SEALER.seal(b"a ticket"))
    for at in range(len(sealed)):
        for flip in (0x01, 0x80, 0xFF):
            changed = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
            with pytest.raises(SealError):
                SEALER.open(text(changed))


def test_every_flipped_byte_of_a_sealed_record_fails() -> None:
    sealed = RECORDS.seal(b"a record", secret=SECRET, name=NAME)
    for at in range(len(sealed)):
        for flip in (0x01, 0x80, 0xFF):
            changed = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
            with pytest.raises(SealError):
                RECORDS.open(changed, secret=SECRET, name=NAME)


def test_every_truncated_value_fails() -> None:
    sealed = SEALER.seal(b"a ticket")
    record = RECORDS.seal(b"a record", secret=SECRET, name=NAME)
    for end in range(len(sealed)):
        with pytest.raises(SealError):
            SEALER.open(sealed[:end])
    for end in range(len(record)):
        with pytest.raises(SealError):
            RECORDS.open(record[:end], secret=SECRET, name=NAME)


def test_what_is_too_short_for_a_tag_was_never_a_sealed_value() -> None:
    header_and_nonce = len(raw(SEALER.seal(b""))) - 16
    for length in range(16):
        with pytest.raises(MalformedError):
            SEALER.open(text(raw(SEALER.seal(b""))[: header_and_nonce + length]))


@given(st.text(max_size=120))
def test_any_other_text_raises_seal_error(value: str) -> None:
    with pytest.raises(SealError):
        SEALER.open(value)


@given(st.binary(max_size=120))
def test_any_other_bytes_raise_seal_error(value: bytes) -> None:
    with pytest.raises(SealError):
        SEALER.open(text(value))
    with pytest.raises(SealError):
        RECORDS.open(value, secret=SECRET, name=NAME)


@pytest.mark.parametrize("more", ["=", "==", "\n", " ", "A", "%3D"])
def test_padding_blanks_and_extra_characters_are_refused(more: str) -> None:
    sealed = SEALER.seal(b"a ticket")
    for changed in (sealed + more, more + sealed):
        with pytest.raises(SealError):
            SEALER.open(changed)


def test_standard_base64_is_refused() -> None:
    sealed = next(s for s in iter(lambda: SEALER.seal(b"a ticket"), None) if "-" in s or "_" in s)
    with pytest.raises(SealError):
        SEALER.open(sealed.translate(str.maketrans("-_", "+/")))


@pytest.mark.parametrize("length", range(4))
def test_unused_bits_of_the_last_character_must_be_zero(length: int) -> None:
    sealed = SEALER.seal(b"x" * length)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    opened = 0
    for last in alphabet:
        try:
            SEALER.open(sealed[:-1] + last)
        except SealError:
            continue
        opened += 1
    assert opened == 1


def test_another_purpose_does_not_open() -> None:
    keys = ring(NEW)
    with pytest.raises(SealError):
        keys.sealer("session-id").open(keys.sealer("cookie").seal(b"a ticket"))


def test_another_tenant_does_not_open() -> None:
    here, there = ring(NEW), ring(NEW, tenant="othershop")
    with pytest.raises(SealError):
        there.sealer("cookie").open(here.sealer("cookie").seal(b"a ticket"))
    blob = here.record_sealer().seal(b"a record", secret=SECRET, name=NAME)
    with pytest.raises(SealError):
        there.record_sealer().open(blob, secret=SECRET, name=NAME)


def test_a_key_id_is_bound_to_its_key() -> None:
    """One key under two ids: a value sealed under one id does not open when its key id is replaced."""
    key = secrets.token_bytes(32)
    both = ring(("aaa", key), ("bbb", key))
    relabelled = raw(both.sealer("cookie").seal(b"a ticket")).replace(b"aaa", b"bbb", 1)
    with pytest.raises(SealError):
        both.sealer("cookie").open(text(relabelled))
    record = both.record_sealer().seal(b"a record", secret=SECRET, name=NAME)
    with pytest.raises(SealError):
        both.record_sealer().open(record.replace(b"aaa", b"bbb", 1), secret=SECRET, name=NAME)


def test_the_newest_key_seals_and_every_key_opens() -> None:
    before, after = ring(OLD), ring(NEW, OLD)
    old = before.sealer("cookie").seal(b"a ticket")
    new = after.sealer("cookie").seal(b"a ticket")
    assert after.sealer("cookie").open(old) == b"a ticket"
    assert b"\x03new" in raw(new)
    with pytest.raises(SealError):
        before.sealer("cookie").open(new)


def test_the_newest_key_seals_records_and_every_key_opens_them() -> None:
    before, after = ring(OLD).record_sealer(), ring(NEW, OLD).record_sealer()
    old = before.seal(b"a record", secret=SECRET, name=NAME)
    assert after.open(old, secret=SECRET, name=NAME) == b"a record"
    with pytest.raises(SealError):
        before.open(after.seal(b"a record", secret=SECRET, name=NAME), secret=SECRET, name=NAME)


def test_a_removed_key_opens_nothing() -> None:
    sealed = ring(OLD).sealer("cookie").seal(b"a ticket")
    with pytest.raises(SealError):
        ring(NEW).sealer("cookie").open(sealed)


def test_a_record_needs_the_visitors_secret_and_its_own_name() -> None:
    blob = RECORDS.seal(b"a record", secret=SECRET, name=NAME)
    with pytest.raises(SealError):
        RECORDS.open(blob, secret=secrets.token_bytes(32), name=NAME)
    with pytest.raises(SealError):
        RECORDS.open(blob, secret=SECRET, name=secrets.token_bytes(32))


def test_a_record_needs_the_servers_key() -> None:
    blob = ring(("new", secrets.token_bytes(32))).record_sealer().seal(b"a record", secret=SECRET, name=NAME)
    with pytest.raises(SealError):
        ring(NEW).record_sealer().open(blob, secret=SECRET, name=NAME)


def test_record_does_not_open_as_a_sealed_text_nor_a_sealed_text_as_a_record() -> None:
    keys = ring(NEW)
    blob = keys.record_sealer().seal(b"a record", secret=SECRET, name=NAME)
    openers: list[Sealer] = [
        keys.sealer(purpose) for purpose in ("cookie", "session-id", "session", "record")
    ]
    for sealer in openers:
        with pytest.raises(SealError):
            sealer.open(text(blob))
        with pytest.raises(SealError):
            keys.record_sealer().open(raw(sealer.seal(b"x")), secret=SECRET, name=NAME)


def test_digests_differ_by_purpose_tenant_and_key() -> None:
    digests = [
        ring(NEW).digest("a").newest(b"x"),
        ring(NEW).digest("b").newest(b"x"),
        ring(NEW, tenant="othershop").digest("a").newest(b"x"),
        ring(OLD).digest("a").newest(b"x"),
    ]
    assert len(set(digests)) == 4
    assert ring(NEW, OLD).digest("a").every(b"x") == (digests[0], digests[3])


@pytest.mark.parametrize("keys", [[], [("k", b"short")], [("k", bytes(32)), ("l", bytes(33))]])
def test_key_ring_without_keys_of_32_bytes_is_refused(keys: list[tuple[str, bytes]]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyRing(keys, "acmeshop", secrets.token_bytes)


def test_a_value_that_is_bound_to_a_place_opens_at_that_place_alone() -> None:
    sealed = SEALER.seal(b"a note", bound=b"here")
    assert SEALER.open(sealed, bound=b"here") == b"a note"
    for elsewhere in (b"", b"her", b"there"):
        with pytest.raises(SealError):
            SEALER.open(sealed, bound=elsewhere)


def test_replaced_keys_hold_in_everything_that_was_made_from_the_ring() -> None:
    """First all open with the new key, then it seals, then the old one is removed."""
    live, told = ring(OLD), list[str]()
    sealer, records, digest = live.sealer("cookie"), live.record_sealer(), live.digest("owner")
    live.on_replace(lambda: told.append("replaced"))
    old = sealer.seal(b"a ticket")
    record = records.seal(b"a record", secret=SECRET, name=NAME)
    assert live.replace([OLD, NEW])
    assert sealer.open(ring(NEW).sealer("cookie").seal(b"another's")) == b"another's"
    assert b"\x03old" in raw(sealer.seal(b"a ticket"))
    assert live.replace([NEW, OLD])
    assert sealer.open(old) == b"a ticket"
    assert records.open(record, secret=SECRET, name=NAME) == b"a record"
    assert b"\x03new" in raw(sealer.seal(b"a ticket"))
    assert b"\x03new" in records.seal(b"a record", secret=SECRET, name=NAME)
    assert digest.every(b"x") == ring(NEW, OLD).digest("owner").every(b"x")
    assert live.replace([NEW])
    with pytest.raises(UnknownKeyError):
        sealer.open(old)
    with pytest.raises(SealError):
        records.open(record, secret=SECRET, name=NAME)
    assert digest.every(b"x") == (digest.newest(b"x"),) == ring(NEW).digest("owner").every(b"x")
    assert told == ["replaced"] * 3


def test_the_same_or_wrong_keys_replace_nothing() -> None:
    live, told = ring(NEW, OLD), list[str]()
    sealer = live.sealer("cookie")
    live.on_replace(lambda: told.append("replaced"))
    assert not live.replace([NEW, OLD])
    for wrong in ([], [("k", b"short")]):
        with pytest.raises(ValueError, match="32 bytes"):
            live.replace(wrong)
    assert sealer.open(ring(OLD).sealer("cookie").seal(b"a ticket")) == b"a ticket"
    assert told == []


def test_what_is_opened_says_whether_the_newest_key_had_sealed_it() -> None:
    both = ring(NEW, OLD).sealer("cookie")
    for key, newest in ((NEW, True), (OLD, False)):
        assert both.opened(ring(key).sealer("cookie").seal(b"a ticket")) == Opened(b"a ticket", newest)
